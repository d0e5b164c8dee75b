"""A small process that outlives the harness for a moment and ends what the harness, killed with SIGKILL, could not.

The parent-death signal reaches only a component's first process; what that process started itself would live on. So the
harness writes ``+<process group>`` and ``-<process group>`` into this program's standard input, and when that pipe closes,
however the harness came to its end, every group that is still listed gets SIGKILL.

Run as ``python -I -S guard.py``, in a session of its own: it imports nothing of the harness, and starts in milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

END_TIMEOUT = 2.0  # seconds: how long the guard may take to end once its pipe is closed


class Guard:
    """The harness' end of the pipe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """End this process group if the harness dies."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The process group is empty, and its number may soon belong to somebody else."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the guard, which ends what it still watches. Safe to call twice."""
        if self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.close()
        try:
            self._child.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _tell(self, line: str) -> None:
        # A guard that somebody killed is no reason to fail: the parent-death signal is still there.
        with self._lock, contextlib.suppress(OSError, ValueError):
            if self._child.stdin is not None:
                self._child.stdin.write(line.encode())
                self._child.stdin.flush()


def main() -> None:
    """Keep the list until the pipe closes, then end what is on it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        change, group = line[:1], int(line[1:])
        (groups.add if change == "+" else groups.discard)(group)
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
