"""One child process with everything that it starts, from fork to the last of it being gone."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from harness.supervisor.component import Component
from harness.supervisor.guard import Guard
from harness.supervisor.plan import programs
from harness.supervisor.procfs import Entry, Snapshot, family, snapshot
from harness.supervisor.spawn import spawn

TAIL_LINES = 20
TAIL_BYTES = 64 * 1024
ORPHAN_GRACE = 1.0  # seconds for what a program leaves behind, once the program itself has ended
KILL_TIMEOUT = 5.0  # seconds after SIGKILL: what is still there then hangs in the kernel, and waiting is of no use
POLL_INTERVAL = 0.02


def runnable_programs(components: Iterable[Component]) -> frozenset[str]:
    """Which programs of these components exist as files that we may run: the facts that ``plan.plan`` wants."""
    return frozenset(path for path in programs(components) if Path(path).is_file() and os.access(path, os.X_OK))


class Process:
    """A child in a session and process group of its own; it dies with this process, however that ends.

    The child stays a zombie until the rest of its group is gone: so its id, which is also the group's, cannot come to
    belong to anybody else while we still send signals to it. Methods may be called from any thread.
    """

    def __init__(
        self, argv: tuple[str, ...], *, env: Mapping[str, str], cwd: Path | None, log: Path, guard: Guard | None = None
    ) -> None:
        self.log = log
        self.log_start = 0
        self.started_at = 0.0
        self.killed = False
        self.left = False
        self._argv, self._env, self._cwd, self._guard = argv, env, cwd, guard
        self._forked: Future[subprocess.Popen[bytes]] | None = None
        self._lock = threading.RLock()
        self._returncode: int | None = None
        self._gone = False
        self._deadline: float | None = None
        self._orphans_since: float | None = None
        self._known: tuple[Entry, ...] = ()

    def start(self) -> None:
        """Start the program with its output appended to the log; the working folder is made if it is missing.

        Raises OSError if the program cannot be run.
        """
        if self._cwd is not None:
            self._cwd.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self.log_start = output.tell()
            self.started_at = time.monotonic()
            # Kept before it is waited for: a Ctrl-C in between must not lose the child.
            self._forked = spawn(self._argv, env=self._env, cwd=self._cwd, output=output)
            child = self._forked.result()
        if self._guard is not None:
            self._guard.watch(child.pid)

    @property
    def pid(self) -> int | None:
        """The child's process id, which is its group's and session's too; None if it was never started."""
        child = self._child()
        return None if child is None else child.pid

    def poll(self) -> int | None:
        """The exit code, minus the signal's number if one ended it; None while it runs or if it never started."""
        with self._lock:
            child = self._child()
            if child is not None and self._returncode is None:
                ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is not None:
                    self._returncode = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            return self._returncode

    def members(self, seen: Snapshot | None = None) -> tuple[Entry, ...]:
        """What is alive of it: the child, its group and session, and its descendants.

        Each look remembers what it found: once a parent is gone, nobody else can tell whose a process in a session of its
        own was. So what was never seen while its parent lived is never found.
        """
        with self._lock:
            pid = self.pid
            if pid is None or self._gone:
                return ()
            alive = family(pid, seen or snapshot(), self._known)
            self._known = tuple({entry.pid: entry for entry in (*self._known, *alive)}.values())
            return alive

    def crash(self) -> None:
        """End the program alone with SIGKILL, as the kernel does when memory runs out; the rest is left for a stop."""
        with self._lock:
            pid = self.pid
            if pid is not None and not self._gone:
                self.members()  # remembered: nobody can tell whose they were once it is gone
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def begin_stop(self, number: signal.Signals, timeout: float) -> None:
        """Ask the whole group to end; what remains after ``timeout`` seconds is killed by ``advance_stop``."""
        with self._lock:
            if self._gone or self._deadline is not None:
                return
            self._deadline = time.monotonic() + timeout  # whatever is raised now, advance_stop brings the end
            self._signal(number, self.members())
            self._deadline = time.monotonic() + timeout  # what the look for its members took is not taken from its time

    def advance_stop(self, seen: Snapshot | None = None) -> bool:
        """One look at a stop that was begun: True once nothing is left, or nothing more can be done (``left``)."""
        with self._lock:
            if self._gone or self._deadline is None:
                return True
            now = time.monotonic()
            alive = self.members(seen)
            if not alive and (self.pid is None or self.poll() is not None):
                self._reap()
                return True
            if self.poll() is not None and not self.killed:
                self._orphans_since = self._orphans_since or now
                self._deadline = min(self._deadline, self._orphans_since + ORPHAN_GRACE)
            if now < self._deadline:
                return False
            if self.killed and now >= self._deadline + KILL_TIMEOUT:
                self.left = True
                return True
            self.killed = True
            self._signal(signal.SIGKILL, alive)
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 10.0) -> bool:
        """Stop it and wait until nothing of it is left; True if anything had to be killed. Safe to call twice."""
        self.begin_stop(number, timeout)
        while not self.advance_stop():
            time.sleep(POLL_INTERVAL)
        return self.killed

    def log_tail(self, lines: int = TAIL_LINES) -> tuple[str, ...]:
        """The last lines written since the last start."""
        try:
            with self.log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self.log_start, size - TAIL_BYTES))
                return tuple(log.read().decode(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ()

    def _child(self) -> subprocess.Popen[bytes] | None:
        if self._forked is None or self._forked.exception() is not None:
            return None
        return self._forked.result()

    def _signal(self, number: signal.Signals, members: Iterable[Entry]) -> None:
        pid = self.pid
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(pid, number)
        for entry in members:
            if entry.group != pid:
                with suppress(ProcessLookupError):
                    os.kill(entry.pid, number)

    def _reap(self) -> None:
        self._gone = True
        child = self._child()
        if child is None:
            return
        child.wait()
        with suppress(ChildProcessError):
            while os.waitpid(-child.pid, os.WNOHANG)[0]:  # orphans of its group that we adopted
                pass
        seen = snapshot()
        for entry in self._known:  # and those that had left the group
            now = seen.get(entry.pid)
            if now is not None and now.start == entry.start and now.parent == os.getpid():
                with suppress(ChildProcessError):
                    os.waitpid(entry.pid, os.WNOHANG)
        if self._guard is not None:
            self._guard.forget(child.pid)
