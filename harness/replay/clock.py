"""PURE: how an AnalysisRun is hurried for the real controller without changing what it sees.

The controller cannot be told another time. So its delays and intervals are shortened, all by one factor, and every query that
arrives is evaluated at the moment at which it would have come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.replay.analysis import RETRY_MS, Metric

UNIT_MS = 2000
"""What the smallest step of the schedule becomes: the API keeps moments in whole seconds."""
RETRY_GAP_MS = 6000
"""A gap longer than an interval and at least this long is the controller's retry after an Error, which nobody can shorten."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """By how much time is shortened; 0: everything is measured at once."""

    factor: float

    def real(self, milliseconds: int) -> str:
        """A delay or interval as the hurried run has it, as a Go duration."""
        return f"{max(1, round(milliseconds * self.factor))}ms"


def pace(metrics: Sequence[Metric]) -> Pace:
    """The shortest schedule that keeps the order in which the metrics are measured."""
    delays = {each.delay_ms for each in metrics}
    repeated = [each for each in metrics if each.count != 1 and each.interval_ms]
    if len(delays) <= 1 and not repeated:
        return Pace(factor=0.0)
    steps = [each.interval_ms or 0 for each in repeated] + [delay - min(delays) for delay in delays]
    smallest = math.gcd(*steps) or 1
    return Pace(factor=min(1.0, UNIT_MS / smallest))


@dataclass(kw_only=True)
class Schedule:
    """When the queries of one metric count as asked, by when they really arrive. Times in milliseconds."""

    metric: Metric
    start_ms: int
    pace: Pace
    asked: list[int] = field(default_factory=list)
    _last_real: float = 0.0

    def moment(self, real_ms: float) -> int:
        """The moment at which the query that arrives now is evaluated."""
        if not self.asked:
            at = self.start_ms + self.metric.delay_ms
        else:
            interval = self.metric.interval_ms
            gap = real_ms - self._last_real
            retried = interval is None or (gap >= RETRY_GAP_MS and gap > 1.5 * interval * self.pace.factor + UNIT_MS)
            at = self.asked[-1] + (RETRY_MS if retried or interval is None else interval)
        self.asked.append(at)
        self._last_real = real_ms
        return at


def hurried(spec: dict[str, Any], metric: Metric | None, pace: Pace, lead_ms: int, address: str) -> dict[str, Any]:
    """A metric's spec for the controller: another address, no credentials, shorter times; arguments are left to the controller.

    `metric` is what we read from it; None when the controller shall refuse it: then it is left as it is.
    """
    asked = dict(spec.get("provider", {}).get("prometheus") or {})
    asked["address"] = address
    for key in ("authentication", "headers", "insecure"):
        asked.pop(key, None)
    made = {**spec, "provider": {"prometheus": asked}}
    if metric is None:
        return made
    made.pop("initialDelay", None)
    if metric.delay_ms > lead_ms:
        made["initialDelay"] = pace.real(metric.delay_ms - lead_ms)
    if metric.interval_ms:
        made["interval"] = pace.real(metric.interval_ms) if pace.factor else f"{metric.interval_ms}ms"
    return made
