"""The fault plan in force: it deals each request its fault, carries it out, counts it, and can be replaced at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from flask import Request, Response

from webapp.effects import Ballast, HungConnections, Unanswered, crash, reset
from webapp.faults import FaultInjector, FaultPlan
from webapp.metrics import Metrics
from webapp.middleware import FAULT_KEY
from webapp.problems import problem


class _Reign:
    """What belongs to one plan from when it comes into force until it is replaced."""

    def __init__(self, plan: FaultPlan, since: float) -> None:
        self.plan = plan
        # Without a fault to deal, nothing is drawn: nobody could tell, since the next plan draws from the start.
        self.injector = None if plan.is_idle else FaultInjector(plan)
        self.ballast = Ballast(plan.memory_cap_mib)
        self.since = since
        self.timer: threading.Timer | None = None


class FaultControl:
    """Holds the plan in force. `clock` gives seconds, `end` ends the process; both are given by tests only."""

    def __init__(
        self,
        plan: FaultPlan,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[str], object] = crash,
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._end = end
        self._hung = HungConnections()
        self._lock = threading.Lock()
        self._reign = _Reign(plan, clock())

    @property
    def plan(self) -> FaultPlan:
        """The plan in force."""
        return self._reign.plan

    def start(self) -> None:
        """The first request may come now: clocks run from here on. To be called once, in the process that serves."""
        self.replace(self.plan)

    def replace(self, plan: FaultPlan) -> None:
        """Put a plan in force, all of it afresh: draws, counts and clocks begin anew, and memory held so far is released."""
        reign = _Reign(plan, self._clock())
        with self._lock:
            old, self._reign = self._reign, reign
            if old.timer is not None:
                old.timer.cancel()
            if plan.crash_after_seconds > 0:
                reign.timer = threading.Timer(plan.crash_after_seconds, self._crash_in_time, args=(reign,))
                reign.timer.daemon = True
                reign.timer.start()
        old.ballast.release()

    def is_flapped(self) -> bool:
        """Whether /readyz has to say no now; each time it has is counted."""
        reign = self._reign
        flapped = reign.plan.is_flapped(self._clock() - reign.since)
        if flapped:
            self._metrics.count_fault("readiness")
        return flapped

    def count_slow_start(self) -> None:
        """The port opens late."""
        self._metrics.count_fault("slow_start")

    def inject(self, request: Request, route: str) -> Response | None:
        """Carry out the next request's fault; None when the request shall get its true answer."""
        reign = self._reign
        if reign.injector is None:
            return None
        fault = reign.injector.next(route, request.headers.get)
        if fault.memory_kib and reign.ballast.grow(fault.memory_kib):
            self._metrics.count_fault("memory")
        if fault.crash:
            self._metrics.count_fault("crash")
            request.environ[FAULT_KEY] = "crash"
            self._end(f"request {reign.plan.crash_after_requests}")
            return Unanswered()
        if fault.delay_seconds > 0:
            self._metrics.count_fault("latency")
            time.sleep(fault.delay_seconds)
        if fault.outcome is None:
            return None
        self._metrics.count_fault(fault.outcome)
        request.environ[FAULT_KEY] = fault.outcome
        if fault.status_code is not None:
            return problem(fault.status_code, "injected fault")
        (reset if fault.outcome == "reset" else self._hung.hold)(request.environ)
        return Unanswered()

    def _crash_in_time(self, reign: _Reign) -> None:
        with self._lock:
            due = reign is self._reign
        if due:
            self._metrics.count_fault("crash")
            self._end(f"{reign.plan.crash_after_seconds:g} seconds after the start")
