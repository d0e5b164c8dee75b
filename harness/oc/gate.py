"""PURE: a gate as its chances are computed from: steps, what each measures, and what each metric lets pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from harness.oc.query import Booleans, Count, Floats, Query, Unreadable, Value

_NEVER = "its condition passes again at more {}: a gate that is not one limit cannot be computed here"


class Cause(Enum):
    """Why a measurement fails."""

    TRAFFIC = "too little traffic"
    ERRORS = "errors"
    LATENCY = "latency"


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Which values a condition lets pass: a step function of the value.

    `bounds` ascend. `at[i]` is the answer at bounds[i], `between[i]` just below it, `between[-1]` above all of them.
    """

    bounds: Floats
    at: Booleans
    between: Booleans
    nan: bool
    empty: bool

    def of(self, value: Value) -> Booleans:
        """Whether each value passes."""
        low = np.searchsorted(self.bounds, value.values, side="left")
        high = np.searchsorted(self.bounds, value.values, side="right")
        # A value that equals a bound lies between its two positions.
        passed = np.where(low != high, self.at[np.minimum(low, len(self.at) - 1)], self.between[low]) if len(self.bounds) else (
            np.full(value.values.shape, bool(self.between[0]))
        )
        passed = np.where(np.isnan(value.values), self.nan, passed)
        return np.where(value.present, passed, self.empty)


@dataclass(frozen=True, kw_only=True)
class GateMetric:
    """One metric: its query, and what its condition lets pass."""

    name: str
    condition: str
    query: Query
    acceptance: Acceptance

    @property
    def cause(self) -> Cause:
        """What it looks at. Raises Unreadable when that is more than one thing."""
        counts = self.query.counts - {Count.ALL}
        if counts & {Count.ERRORS, Count.GOOD} and Count.FAST in counts:
            raise Unreadable(f"metric {self.name}: its query mixes errors and latency")
        return Cause.LATENCY if Count.FAST in counts else Cause.ERRORS if counts else Cause.TRAFFIC

    def passes(self, requests: Floats, bad: Floats, *, window: float) -> Booleans:
        """Whether it passes a window of so many requests, of which so many are bad (in error, or too slow)."""
        return self.acceptance.of(self.query.evaluate(_Exact(requests, bad, window)))


@dataclass(frozen=True)
class _Exact:
    """Counts as they are: every counter is there from the start, and the query sees all of the window and nothing else."""

    requests: Floats
    bad: Floats
    window: float

    def increase(self, what: Count, *, extrapolated: bool) -> Value:  # noqa: ARG002 -- the whole window: nothing to extrapolate
        values = {Count.ALL: self.requests, Count.ERRORS: self.bad}.get(what, self.requests - self.bad)
        return Value(values.astype(np.float64), np.ones(values.shape, dtype=bool))


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Metrics that look at the same requests: `window` seconds back from `at` seconds after the analysis began."""

    at: float
    window: float
    metrics: tuple[GateMetric, ...]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One weight (percent of the traffic), `pause` seconds, then the measurements of its analysis, if it has one."""

    weight: float
    pause: float = 0.0
    measurements: tuple[Measurement, ...] = ()

    @property
    def seconds(self) -> float:
        """How long the weight is in force at least, when nothing fails."""
        return self.pause + max((each.at for each in self.measurements), default=0.0)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """All of it. `replicas` are the stable pods; `notes` what was left out or taken for granted."""

    name: str
    steps: tuple[Step, ...]
    replicas: int = 1
    notes: tuple[str, ...] = ()

    @property
    def measured(self) -> tuple[Step, ...]:
        """The steps that measure something."""
        return tuple(step for step in self.steps if step.measurements)

    @property
    def metrics(self) -> tuple[GateMetric, ...]:
        """Its metrics, each name once."""
        found = {each.name: each for step in self.steps for m in step.measurements for each in m.metrics}
        return tuple(found.values())

    @property
    def window(self) -> float:
        """The seconds of its first window."""
        return self.measured[0].measurements[0].window

    def with_window(self, seconds: float) -> Gate:
        """The same gate with every window so long, and every measurement as many windows after the analysis began as before."""

        def changed(each: Measurement) -> Measurement:
            return replace(each, at=each.at * seconds / each.window, window=seconds)

        steps = (replace(step, measurements=tuple(map(changed, step.measurements))) for step in self.steps)
        return replace(self, steps=tuple(steps))


def most_bad(metrics: tuple[GateMetric, ...], requests: Floats, *, window: float) -> Floats:
    """For each number of requests, the most bad ones that all these metrics let pass; -1 where they pass none at all.

    Found by halving, which rests on a metric passing up to a limit and no further; that is looked at too.

    Raises:
        Unreadable: a metric passes again beyond its limit.

    """

    def passes(bad: Floats) -> Booleans:
        good = np.ones(requests.shape, dtype=bool)
        for metric in metrics:
            good &= metric.passes(requests, bad, window=window)
        return good

    low, high = np.full(requests.shape, -1.0), requests + 1.0  # passes nothing below 0, and not more than there are
    low = np.where(passes(np.zeros_like(requests)), 0.0, low)
    high = np.where(low < 0, 0.0, high)
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2)
        good = passes(middle)
        low, high = np.where((high - low > 1) & good, middle, low), np.where((high - low > 1) & ~good, middle, high)
    _one_limit(passes, requests, low, metrics)
    return low


def _one_limit(passes: Callable[[Floats], Booleans], requests: Floats, limit: Floats, metrics: tuple[GateMetric, ...]) -> None:
    for part in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0):
        below, above = np.floor(limit * part), np.ceil(limit + 1 + (requests - limit - 1) * part)
        fails_early = ~passes(np.maximum(below, 0.0)) & (limit >= 0)
        if np.any(fails_early) or np.any(passes(above) & (limit < requests) & (above <= requests)):
            names = ", ".join(metric.name for metric in metrics)
            raise Unreadable(f"metric {names}: {_NEVER.format('bad requests')}")


__all__ = ["Acceptance", "Cause", "Gate", "GateMetric", "Measurement", "Step", "Unreadable", "most_bad"]
