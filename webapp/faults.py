"""PURE: which fault the k-th user request of this process gets.

No I/O and no clock: it decides, others sleep and answer. Each request draws one number for its error and one for its
latency, always both, so that for a given seed the k-th decision about an error is the same whatever the latency is.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass


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
        """
        if u <= 0.5:
            return self.p50_ms * u / 0.5
        if u <= 0.9:
            return self.p50_ms + (self.p90_ms - self.p50_ms) * (u - 0.5) / 0.4
        return self.p90_ms + (self.p99_ms - self.p90_ms) * (u - 0.9) / 0.09


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """What to inject: errors as a percentage of user requests, latency in milliseconds (uniform ± jitter, or by quantiles)."""

    error_rate: float = 0.0
    status_code: int = 500
    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    quantiles: LatencyQuantiles | None = None
    seed: int | None = None

    def latency_at(self, u: float) -> float:
        """The latency in milliseconds for a uniform draw `u` in [0, 1)."""
        if self.quantiles is not None:
            return self.quantiles.at(u)
        return self.latency_ms + (2 * u - 1) * self.jitter_ms


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What one request gets: first the delay in seconds, then the status code, or None for the true answer."""

    delay_seconds: float
    status_code: int | None


class FaultInjector:
    """Deals the faults of a plan, one request at a time; threads may share it."""

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self._random = random.Random(plan.seed)  # noqa: S311  a fault must be repeatable, not unpredictable
        self._lock = threading.Lock()

    def next(self) -> Fault:
        """The next request's fault. Of rate 0 none fails and of rate 100 all do, because random() is in [0, 1)."""
        with self._lock:
            error_draw, latency_draw = self._random.random(), self._random.random()
        fails = error_draw * 100 < self.plan.error_rate
        return Fault(
            delay_seconds=self.plan.latency_at(latency_draw) / 1000,
            status_code=self.plan.status_code if fails else None,
        )
