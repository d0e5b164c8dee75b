"""Runs a plan: everything up as fast as its needs allow, watched while it is in use, and down without a trace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import Interrupted
from harness.supervisor.errors import ComponentExited, ComponentNotStarted
from harness.supervisor.guard import Guard
from harness.supervisor.plan import Plan
from harness.supervisor.ports import check_ports
from harness.supervisor.procfs import snapshot
from harness.supervisor.record import ENDED, SETTLED, Record
from harness.supervisor.spawn import adopt_orphans
from harness.supervisor.status import ComponentStatus, Event, State, StopReport

START_INTERVAL = 0.01  # seconds between two looks while components start or stop
WATCH_INTERVAL = 0.05  # seconds between two looks at components in use


class Supervisor:
    """Starts the components of one plan, once, and answers for them until they are stopped.

    A context manager: leaving the block stops everything; entering it starts nothing. Every component dies with this
    process, however that ends. Each writes to ``<log_dir>/<name>.log``, which is appended to. ``on_event`` is called at
    each change of state, from the thread in which it happened.

    ``start``, ``stop`` and what ends in ``_one`` wait for each other; the rest may be called at any time from any thread, and
    ``request_stop`` from a signal handler too. Starting makes this process adopt orphaned descendants.
    """

    def __init__(self, plan: Plan, log_dir: Path, on_event: Callable[[Event], None] = lambda _: None) -> None:
        self._log_dir = log_dir
        self._on_event = on_event
        self._origin = time.monotonic()
        self._records = {component.name: Record(component, log_dir, self._tell) for component in plan.components}
        self._guard: Guard | None = None
        self._changing = threading.RLock()
        self._stop_requested = False
        self._used = False
        self._report: StopReport | None = None

    def start(self) -> None:
        """Start every component as soon as what it needs is ready, and return once all are.

        Raises PortTaken before anything runs; ComponentNotStarted, ComponentExited or ComponentNotReady for the first that
        fails; Interrupted after ``request_stop``. Whatever is raised, all that was started is stopped first.
        """
        with self._changing:
            if self._used:
                raise RuntimeError("a Supervisor starts its plan once: make another one")
            self._used = True
            try:
                check_ports(record.component for record in self._records.values())
                self._log_dir.mkdir(parents=True, exist_ok=True)
                adopt_orphans()
                self._guard = Guard()
                self._bring_up(self._records.values())
            except BaseException:
                self._take_down()
                raise

    def request_stop(self) -> None:
        """Have ``start`` give up, and ``wait`` return. It only sets a flag, so a signal handler may call it."""
        self._stop_requested = True

    def check(self) -> None:
        """Raise ComponentExited if a service that was ready has ended, unless it was stopped on purpose."""
        failure = self._first_death()
        if failure is not None:
            raise failure

    def wait(self, timeout: float) -> bool:
        """Watch for up to ``timeout`` seconds: True as soon as a stop is requested, False when the time is up.

        Raises ComponentExited as soon as a service ends.
        """
        deadline = time.monotonic() + timeout
        while not self._stop_requested:
            self.check()
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, WATCH_INTERVAL))
        return True

    def stop(self) -> StopReport:
        """Stop everything in the mirror of the start order, what is independent at the same time; then report.

        Never raises for a component. A second call changes nothing and answers the first one's report.
        """
        self._stop_requested = True
        with self._changing:
            return self._report or self._take_down()

    def stop_one(self, name: str) -> StopReport:
        """Stop one component on purpose: from now on it counts as stopped, not as died. Nothing else is touched."""
        with self._changing:
            return self._stop_records([self._records[name]])

    def kill_one(self, name: str) -> None:
        """End one component that is ready with SIGKILL, on purpose: it counts as killed, not as died, until it is restarted.

        Raises ComponentNotStarted when it is not ready, so that there is nothing to kill.
        """
        with self._changing:
            record = self._records[name]
            self._first_death()
            if record.state is not State.READY:
                raise ComponentNotStarted(name, f"cannot be killed: it is {record.state}, not ready")
            record.kill()

    def restart_one(self, name: str) -> None:
        """Stop one component if it runs, start it again and wait until it is ready. Nothing else is touched.

        Raises what ``start`` raises for it; then this component is stopped, and the others still run.
        """
        with self._changing:
            if self._report is not None or self._guard is None:
                raise RuntimeError("nothing runs: a component can be restarted only between start and stop")
            record = self._records[name]
            missing = [need for need in record.component.needs if self._records[need].state not in SETTLED]
            if missing:
                raise ComponentNotStarted(name, f"cannot be restarted: it needs {', '.join(missing)}, not ready now")
            self._stop_records([record])
            record.state = State.WAITING
            try:
                check_ports([record.component])
                self._bring_up([record])
            except BaseException:
                self._stop_records([record])
                raise

    def statuses(self) -> list[ComponentStatus]:
        """Every component now, in start order."""
        self._first_death()
        seen = snapshot()
        return [record.status(seen) for record in self._records.values()]

    def __enter__(self) -> Self:
        """Start nothing: ``start`` is the caller's, inside the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop everything, whatever happened."""
        self.stop()

    def _tell(self, name: str, state: State, detail: str) -> None:
        self._on_event(Event(component=name, state=state, detail=detail, seconds=time.monotonic() - self._origin))

    def _first_death(self) -> ComponentExited | None:
        deaths = [failure for record in self._records.values() if (failure := record.look()) is not None]
        return deaths[0] if deaths else None

    def _bring_up(self, records: Collection[Record]) -> None:
        pool = ThreadPoolExecutor(max_workers=max(1, len(records)), thread_name_prefix="probe")
        try:
            while any(record.state not in SETTLED for record in records):
                if self._stop_requested:
                    raise Interrupted("interrupted while components were starting: what had been started was stopped again")
                for record in records:
                    if record.state is State.WAITING and self._needs_met(record):
                        record.start(self._guard)
                    if record.state is State.STARTING:
                        record.advance_start(pool)
                for record in records:
                    failure = record.look()
                    if failure is not None:
                        raise failure
                time.sleep(START_INTERVAL)
        finally:
            # Not waited for: each question ends by itself within its own time-out.
            pool.shutdown(wait=False, cancel_futures=True)

    def _needs_met(self, record: Record) -> bool:
        return all(self._records[need].state in SETTLED for need in record.component.needs)

    def _take_down(self) -> StopReport:
        try:
            self._report = self._stop_records(self._records.values())
        finally:
            # A stop cut short by a second Ctrl-C: the guard kills what is left.
            if self._guard is not None:
                self._guard.close()
        return self._report

    def _stop_records(self, records: Collection[Record]) -> StopReport:
        """Stop these; each only once those among them that need it are gone."""
        problems: list[str] = []
        stopped: list[Record] = []
        remaining = [record for record in reversed(list(records)) if record.state not in ENDED]
        while remaining:
            seen = snapshot()
            for record in tuple(remaining):
                if any(record.name in other.component.needs for other in remaining):
                    continue
                try:
                    record.begin_stop()
                    gone = record.advance_stop(seen)
                except Exception as error:
                    problems.append(f"{record.name}: {error}")
                    continue  # to look again: each look brings the end nearer, whatever was raised
                if gone:
                    remaining.remove(record)
                    stopped.append(record)
            if remaining:
                time.sleep(START_INTERVAL)
        problems.extend(f"{record.name}: some of it is still there after SIGKILL" for record in stopped if _left(record))
        return StopReport(
            stopped=tuple(record.name for record in stopped),
            killed=tuple(record.name for record in stopped if record.process is not None and record.process.killed),
            problems=tuple(dict.fromkeys(problems)),
        )


def _left(record: Record) -> bool:
    return record.process is not None and record.process.left
