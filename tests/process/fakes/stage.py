"""Where fakes play: builds components that run them, and finds every process that a test left behind by its mark."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from harness.supervisor.component import Component, HttpProbe, LogProbe, Port
from harness.supervisor.plan import Plan, plan
from harness.supervisor.ports import free_port
from harness.supervisor.process import runnable_programs
from harness.supervisor.status import Event, State
from harness.supervisor.supervisor import Supervisor

FAKES = Path(__file__).parent
MARK = "SUPERVISOR_TEST_MARK"


class Stage:
    """Components made here carry a mark in their environment, which all their descendants inherit."""

    def __init__(self, folder: Path, mark: str | None = None) -> None:
        self.logs = folder / "logs"
        self.go = folder / "go"
        """Touch it to let the fakes go on that wait for it."""
        self.mark = mark or uuid.uuid4().hex
        self.events: list[Event] = []

    def component(self, name: str, script: str, *arguments: object, **settings: Any) -> Component:
        argv = (sys.executable, "-I", "-S", str(FAKES / script), *map(str, arguments))
        return Component(name=name, argv=argv, env={MARK: self.mark}, **settings)

    def task(self, name: str, code: int, *words: str, delay: float = 0.0, **settings: Any) -> Component:
        return self.component(name, "exits.py", code, delay, *words, kind="task", **settings)

    def up(self, name: str, script: str, *arguments: object, pattern: str = "^up$", **settings: Any) -> Component:
        return self.component(name, script, *arguments, ready=LogProbe(pattern=pattern), **settings)

    def web(self, name: str, *, delay: float | Path = 0.0, status: int = 200, number: int = 0, **settings: Any) -> Component:
        number = number or free_port()
        return self.component(
            name,
            "listens.py",
            number,
            delay,
            status,
            ports=(Port(name="http", host="127.0.0.1", number=number),),
            ready=HttpProbe(url=f"http://127.0.0.1:{number}/"),
            **settings,
        )

    def plan(self, *components: Component) -> Plan:
        return plan(components, existing=runnable_programs(components))

    @contextmanager
    def supervisor(self, *components: Component) -> Iterator[Supervisor]:
        with Supervisor(self.plan(*components), self.logs, self.events.append) as supervisor:
            yield supervisor

    def states(self, name: str) -> list[State]:
        return [event.state for event in self.events if event.component == name]

    def order(self, state: State) -> list[str]:
        return [event.component for event in self.events if event.state is state]

    def survivors(self) -> list[int]:
        return [process.pid for process in psutil.process_iter() if self._is_ours(process)]

    def clear(self) -> list[int]:
        """End whatever a test left behind, and say what it was; return once it is gone."""
        left = self.survivors()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: self.survivors() == [], "what was killed is gone")
        return left

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark
        except psutil.Error:
            return False


def eventually(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
