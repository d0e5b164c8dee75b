"""One component's life under the supervisor: a small state machine that is moved on by looking at it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path

import psutil

from harness.supervisor.component import Component
from harness.supervisor.errors import ComponentExited, ComponentNotReady, ComponentNotStarted
from harness.supervisor.guard import Guard
from harness.supervisor.probe import Answer, Prober
from harness.supervisor.process import Process
from harness.supervisor.procfs import Snapshot
from harness.supervisor.status import ComponentStatus, State

PROBE_INTERVAL = 0.05  # seconds between an answer and the next question

SETTLED = frozenset({State.READY, State.DONE})  # what others that need it wait for
ENDED = frozenset({State.WAITING, State.STOPPED})  # nothing of it runs

Told = Callable[[str, State, str], None]


class Record:
    """A component, its process and its state. ``tell`` is called at each change of state."""

    def __init__(self, component: Component, log_dir: Path, tell: Told) -> None:
        self.component = component
        self.state = State.WAITING
        self.ready_after: float | None = None
        self.failure: ComponentExited | None = None
        self.process: Process | None = None
        self._log = log_dir / f"{component.name}.log"
        self._tell = tell
        self._lock = threading.Lock()
        self._prober: Prober | None = None
        self._question: Future[Answer] | None = None
        self._ask_at = 0.0
        self._last_answer = "no answer yet"

    @property
    def name(self) -> str:
        """The component's name."""
        return self.component.name

    def start(self, guard: Guard | None) -> None:
        """Start the program, which may have run before. Raises ComponentNotStarted."""
        component = self.component
        self.ready_after, self.failure, self._question, self._ask_at = None, None, None, 0.0
        self._last_answer = "no answer yet"
        self.process = Process(component.argv, env=component.env, cwd=component.cwd, log=self._log, guard=guard)
        self.state = State.STARTING
        try:
            self.process.start()
        except OSError as error:
            self.process = None
            self._enter(State.FAILED, str(error))
            raise ComponentNotStarted(self.name, f"could not be started: {error}") from error
        self._prober = Prober(component, self.process)
        self._tell(self.name, State.STARTING, f"pid {self.process.pid}")

    def advance_start(self, pool: Executor) -> None:
        """One look at a component that is starting. Raises ComponentExited or ComponentNotReady."""
        if self.process is None or self._prober is None:
            return
        now = time.monotonic()
        returncode = self.process.poll()
        if returncode is not None:
            self._task_ended(returncode) if self.component.kind == "task" else self._fail_exited(returncode)
        elif self._question is not None and self._question.done():
            answer = self._question.result()
            self._question, self._ask_at, self._last_answer = None, now + PROBE_INTERVAL, answer.text
            if answer.ready:
                self._become(State.READY, answer.text)
        elif self._question is None and self.component.ready is not None and now >= self._ask_at:
            self._question = pool.submit(self._prober.ask)
        if self.state is State.STARTING and now >= self.process.started_at + self.component.start_timeout:
            self._fail_late()

    def look(self) -> ComponentExited | None:
        """Notice that a ready service has ended; answers its failure, again at each later look."""
        process = self.process
        if self.state is State.READY and process is not None:
            returncode = process.poll()
            with self._lock:
                # The state is read again: a stop on purpose may have begun in another thread since.
                died = returncode is not None and self.state is State.READY
                if died and returncode is not None:
                    self.failure = self._exited(returncode, "while it was in use")
                    self.state = State.DIED
            if died:
                self._tell(self.name, State.DIED, str(self.failure).splitlines()[0])
        return self.failure if self.state is State.DIED else None

    def kill(self) -> None:
        """End its program without warning, on purpose: no look takes it for a death."""
        if self.process is None or self.state is not State.READY:
            return
        with self._lock:
            self.state = State.KILLED  # before the signal
        self.process.crash()
        self._tell(self.name, State.KILLED, signal.SIGKILL.name)

    def begin_stop(self) -> None:
        """Ask what is left of it to end."""
        if self.process is None or self.state in ENDED | {State.STOPPING}:
            return
        with self._lock:
            self.state = State.STOPPING  # before the signal, so that no look takes the stop for a death
        self.process.begin_stop(self.component.stop_signal, self.component.stop_timeout)
        self._tell(self.name, State.STOPPING, self.component.stop_signal.name)

    def advance_stop(self, seen: Snapshot | None = None) -> bool:
        """One look at a component that is stopping: True once nothing of it is left."""
        if self.process is None or self.state in ENDED:
            return True
        if not self.process.advance_stop(seen):
            return False
        self._enter(State.STOPPED, "some of it had to be killed" if self.process.killed else "")
        return True

    def status(self, seen: Snapshot) -> ComponentStatus:
        """The component now."""
        members = () if self.process is None else self.process.members(seen)
        return ComponentStatus(
            name=self.name,
            pid=self.process.pid if self.process is not None and members else None,
            state=self.state,
            ready_after_seconds=self.ready_after,
            rss_bytes=sum(_rss(entry.pid) for entry in members) if members else None,
        )

    def _task_ended(self, returncode: int) -> None:
        if returncode != 0:
            self._fail_exited(returncode)
        self._become(State.DONE, "exit code 0")

    def _become(self, state: State, detail: str) -> None:
        if self.process is not None:
            self.ready_after = time.monotonic() - self.process.started_at
            self.process.members()  # remembered: should it die, what it had started by now is still found
        self._enter(state, detail)

    def _fail_exited(self, returncode: int) -> None:
        task = self.component.kind == "task"
        failure = self._exited(returncode, "instead of 0" if task and returncode > 0 else "before it was ready")
        self._enter(State.FAILED, str(failure).splitlines()[0])
        raise failure

    def _fail_late(self) -> None:
        limit = f"{self.component.start_timeout:g} s"
        what = (
            f"did not end within {limit}"
            if self.component.kind == "task"
            else f"was not ready within {limit}: {self.component.ready}: {self._last_answer}"
        )
        self._enter(State.FAILED, what)
        tail = self.process.log_tail() if self.process is not None else ()
        raise ComponentNotReady(self.name, what, log=str(self._log), log_tail=tail)

    def _exited(self, returncode: int, when: str) -> ComponentExited:
        tail = self.process.log_tail() if self.process is not None else ()
        return ComponentExited(self.name, returncode, when, log=str(self._log), log_tail=tail)

    def _enter(self, state: State, detail: str) -> None:
        self.state = state
        self._tell(self.name, state, detail)


def _rss(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
