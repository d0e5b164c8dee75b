"""Starting child processes that cannot outlive this one.

Linux sends the parent-death signal when the *thread* that forked the child ends, not the process. So every child is forked
by one thread of this module, which lives as long as the process does: a child started from a short-lived worker thread
would otherwise be killed when that worker returns. The setting is lost if the program is set-user-ID or has file
capabilities, and it does not pass to grandchildren: see ``guard``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import IO

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

# Looked up now, because between fork and exec as little as possible may run: another thread may have held any lock at the
# moment of the fork. PyDLL calls the function without touching the interpreter lock.
_prctl = ctypes.PyDLL(None, use_errno=True).prctl
_prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]
_prctl.restype = ctypes.c_int

_Job = tuple[Callable[[], subprocess.Popen[bytes]], "Future[subprocess.Popen[bytes]]"]


def set_parent_death_signal(number: int) -> None:
    """Have the kernel send this signal to this process when the thread that forked it ends; 0 for none. Raises OSError."""
    if _prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends, so that it can be found and reaped."""
    if _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def spawn(
    argv: tuple[str, ...], *, env: Mapping[str, str], cwd: Path | None, output: IO[bytes] | int
) -> Future[subprocess.Popen[bytes]]:
    """Have the child forked as the leader of a session of its own, and return at once.

    The future raises OSError if the program cannot be run. ``env`` is the child's whole environment; its standard input is
    empty, and both its outputs go to ``output``.
    """
    die_with_parent = _before_exec(os.getpid())

    def fork() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it makes two system calls and takes no lock
        )

    return _spawner().submit(fork)


def _before_exec(parent: int) -> Callable[[], None]:
    def die_with_parent() -> None:
        set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(127)  # the parent died before the setting was in place

    return die_with_parent


class _Spawner:
    """The one thread that forks. A daemon: it ends only with the process, after every exit handler has run."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        threading.Thread(target=self._work, name="spawner", daemon=True).start()

    def submit(self, fork: Callable[[], subprocess.Popen[bytes]]) -> Future[subprocess.Popen[bytes]]:
        future: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((fork, future))
        return future

    def _work(self) -> None:
        while True:
            fork, future = self._jobs.get()
            try:
                future.set_result(fork())
            except BaseException as error:
                future.set_exception(error)


_lock = threading.Lock()
_current: _Spawner | None = None


def _spawner() -> _Spawner:
    """The spawner of this process; one inherited through a fork has no thread any more."""
    global _current  # noqa: PLW0603 - one per process is the point
    with _lock:
        if _current is None or _current.owner != os.getpid():
            _current = _Spawner()
        return _current
