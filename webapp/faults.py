"""PURE: which fault the k-th user request of this process gets.

No I/O and no clock: it decides, others sleep, answer and break things (effects.py). Each request draws one number for its
outcome and one for its latency, always both, also when no fault may hit it, so that for a given seed the k-th decision
about an error is the same whatever else is injected.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

Header = Callable[[str], str | None]
"""Gives the value of a request's header by its name, in any case, or None when the request has none."""


@dataclass(frozen=True, kw_only=True)
class LatencyQuantiles:
    """Three quantiles, in milliseconds, that the injected latency shall really have (p50 ≤ p90 ≤ p99)."""

    p50_ms: float
    p90_ms: float
    p99_ms: float

    def at(self, u: float) -> float:
        """The quantile function at `u` in [0, 1), in milliseconds.

        Piecewise linear through (0, 0), (0.5, p50), (0.9, p90), (0.99, p99), and on with the last slope: inverse transform
        sampling (Devroye, Non-Uniform Random Variate Generation, 1986, II.2) then has exactly the three asked-for quantiles.
        So P95 lies five ninths of the way from p90 to p99, and nothing takes longer than p99 + (p99 - p90) / 9.
        """
        if u <= 0.5:
            return self.p50_ms * u / 0.5
        if u <= 0.9:
            return self.p50_ms + (self.p90_ms - self.p50_ms) * (u - 0.5) / 0.4
        return self.p90_ms + (self.p99_ms - self.p90_ms) * (u - 0.9) / 0.09


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which user requests may be hit: those on `routes` (all when empty) that have `header` (any when blank).

    `header` is `Name`, or `Name: value` for a request whose header has exactly this value.
    """

    routes: tuple[str, ...] = ()
    header: str = ""

    def covers(self, route: str, header: Header) -> bool:
        """Whether a request on the route template `route` may be hit."""
        if self.routes and route not in self.routes:
            return False
        if not self.header:
            return True
        name, colon, value = self.header.partition(":")
        seen = header(name)
        return seen is not None and (not colon or seen.strip() == value.strip())


@dataclass(frozen=True, kw_only=True)
class RequestFaults:
    """What one request may get: rates in percent of requests, latency in milliseconds (uniform ± jitter, or by quantiles)."""

    scope: Scope = field(default_factory=Scope)
    error_rate: float = 0.0
    status_code: int = 500
    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    quantiles: LatencyQuantiles | None = None
    hang_rate: float = 0.0
    reset_rate: float = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing can happen to any request."""
        rates = self.error_rate or self.hang_rate or self.reset_rate
        return not (rates or self.latency_ms or self.jitter_ms or self.quantiles)

    def latency_at(self, u: float) -> float:
        """The latency in milliseconds for a uniform draw `u` in [0, 1)."""
        if self.quantiles is not None:
            return self.quantiles.at(u)
        return self.latency_ms + (2 * u - 1) * self.jitter_ms

    def outcome_at(self, u: float) -> str | None:
        """The kind of fault for a uniform draw `u` in [0, 1): `error`, `hang`, `reset`, or None for the true answer.

        Errors take the lowest draws and resets the highest, so that neither moves when another rate changes. Of rate 0 none
        and of rate 100 all are hit, because u is in [0, 1).
        """
        percent = u * 100
        if percent < self.error_rate:
            return "error"
        if percent < self.error_rate + self.hang_rate:
            return "hang"
        return "reset" if percent >= 100 - self.reset_rate else None


@dataclass(frozen=True, kw_only=True)
class FaultPlan(RequestFaults):
    """All that is injected: the faults of a request, further rules that come before them, and the faults of the process.

    Seconds, KiB and MiB as the names say; 0 means never. Requests outside the plan's own scope count neither for a crash nor
    for the memory.
    """

    rules: tuple[RequestFaults, ...] = ()
    slow_start_seconds: float = 0.0
    crash_after_requests: int = 0
    crash_after_seconds: float = 0.0
    memory_kib_per_request: int = 0
    memory_cap_mib: int = 256
    readiness_flap_seconds: float = 0.0
    clock_behind_seconds: float = 0.0
    seed: int | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing can happen to any request, by a rule or otherwise; the process may have faults all the same."""
        counted = self.crash_after_requests or self.memory_kib_per_request
        return not counted and super().is_idle and all(rule.is_idle for rule in self.rules)

    def is_flapped(self, elapsed_seconds: float) -> bool:
        """Whether, so long after the plan came into force, readiness is in one of its phases of not being ready."""
        period = self.readiness_flap_seconds
        return period > 0 and int(elapsed_seconds // period) % 2 == 1


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What one request gets, in this order: memory in KiB, a crash, a delay in seconds, and then its outcome.

    `outcome` is `error` (then `status_code` is set), `hang`, `reset`, or None for the true answer.
    """

    memory_kib: int = 0
    crash: bool = False
    delay_seconds: float = 0.0
    outcome: str | None = None
    status_code: int | None = None


def no_header(_name: str) -> str | None:
    """The headers of a request that has none."""
    return None


class FaultInjector:
    """Deals the faults of a plan, one request at a time; threads may share it."""

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self._random = random.Random(plan.seed)  # noqa: S311  a fault must be repeatable, not unpredictable
        self._hits = 0
        self._lock = threading.Lock()

    def next(self, route: str = "/", header: Header = no_header) -> Fault:
        """The fault of the next request, which is on the route template `route`."""
        plan = self.plan
        covered = plan.scope.covers(route, header)
        with self._lock:
            outcome_draw, latency_draw = self._random.random(), self._random.random()
            self._hits += covered
            crash = covered and self._hits == plan.crash_after_requests
        faults = next((rule for rule in plan.rules if rule.scope.covers(route, header)), plan if covered else None)
        memory_kib = plan.memory_kib_per_request if covered else 0
        if faults is None:
            return Fault(memory_kib=memory_kib, crash=crash)
        outcome = faults.outcome_at(outcome_draw)
        return Fault(
            memory_kib=memory_kib,
            crash=crash,
            delay_seconds=faults.latency_at(latency_draw) / 1000,
            outcome=outcome,
            status_code=faults.status_code if outcome == "error" else None,
        )
