"""PURE: a gate as its chances are computed from: steps, what each measures, and what each metric lets pass."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from harness.oc.query import Booleans, Count, Floats, Query, Unreadable, Value

Integers = NDArray[np.int64]
MOMENTS_AT_MOST = 1000
"""Measurements of one metric in one analysis."""
LATEST = "its irate() sees the last two scrapes"
PASSES, INCONCLUSIVE, FAILS, ERROR = range(4)
"""What one metric's measurement can be, as a number in arrays."""
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
class Limits:
    """How much a metric bears: more `failures` (-1: any number), or more `inconclusive`, end the release.

    So many `successes` in a row (0: there is no such rule) end the metric before its count is reached.
    """

    failures: int = 0
    inconclusive: int = 0
    successes: int = 0


@dataclass(frozen=True, kw_only=True)
class GateMetric:
    """One metric: its query, what its condition lets pass, and how many measurements may fail.

    `tolerated` are the values that are no failure (None: the same that pass); what is only tolerated is inconclusive.
    `count` is how often it is measured (None: until something else ends it). `retries`: how often a measurement that finds no
    sample is taken again, because its condition is then an Error; None where it is something else.
    """

    name: str
    condition: str
    query: Query
    acceptance: Acceptance
    tolerated: Acceptance | None = None
    limits: Limits = Limits()
    count: int | None = 1
    retries: int | None = None

    @property
    def cause(self) -> Cause:
        """What it looks at. Raises Unreadable when that is more than one thing."""
        counts = self.query.counts - {Count.ALL}
        if counts & {Count.ERRORS, Count.GOOD} and Count.FAST in counts:
            raise Unreadable(f"metric {self.name}: its query mixes errors and latency")
        return Cause.LATENCY if Count.FAST in counts else Cause.ERRORS if counts else Cause.TRAFFIC

    def passes(self, requests: Floats, bad: Floats, *, window: float, blind: bool = False) -> Booleans:
        """Whether it passes a window of so many requests, of which so many are bad (in error, or too slow).

        `blind`: nothing was there to be counted, so that there are no samples at all.
        """
        return self.acceptance.of(self.query.evaluate(_Exact(requests, bad, window, not blind)))

    def bears(self, requests: Floats, bad: Floats, *, window: float, blind: bool = False) -> Booleans:
        """Whether it passes such a window or is inconclusive."""
        counted = self.query.evaluate(_Exact(requests, bad, window, not blind))
        return (self.tolerated or self.acceptance).of(counted)

    def outcome(self, value: Value) -> Integers:
        """What each value makes of its measurement."""
        found = np.where((self.tolerated or self.acceptance).of(value), INCONCLUSIVE, FAILS)
        found = np.where(self.acceptance.of(value), PASSES, found)
        return found if self.retries is None else np.where(value.present, found, ERROR)


@dataclass(frozen=True)
class _Exact:
    """Counts as they are: every counter is there from the start, and the query sees all of the window and nothing else."""

    requests: Floats
    bad: Floats
    window: float
    there: bool = True

    def increase(self, what: Count, *, extrapolated: bool) -> Value:  # noqa: ARG002 -- the whole window: nothing to extrapolate
        values = {Count.ALL: self.requests, Count.ERRORS: self.bad}.get(what, self.requests - self.bad)
        return Value(values.astype(np.float64), np.full(values.shape, self.there))

    def latest(self, what: Count, *, reach: float) -> Value:  # noqa: ARG002 -- the window is what lies between the last two scrapes
        found = self.increase(what, extrapolated=True)
        return Value(found.values / self.window, found.present)


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
class Repeated:
    """A metric that is measured `delay` seconds after its analysis began, and then every `interval` seconds."""

    metric: GateMetric
    delay: float
    interval: float
    window: float

    def moments(self, until: float) -> list[float]:
        """When it is measured, before `until`; seconds after its analysis began."""
        if not self.interval:
            return [self.delay] if self.delay < until else []
        fit = max((until - self.delay) / self.interval - 1e-9, 0.0)
        number = math.ceil(fit if self.metric.count is None else min(fit, self.metric.count))
        if number > MOMENTS_AT_MOST:
            raise Unreadable(f"metric {self.metric.name}: {number} measurements are more than are computed here")
        return [self.delay + index * self.interval for index in range(number)]


    def with_window(self, seconds: float) -> Repeated:
        """With another window, and delay and interval in proportion."""
        part = seconds / self.window
        return replace(self, delay=self.delay * part, interval=self.interval * part, window=seconds)


@dataclass(frozen=True, kw_only=True)
class Background:
    """An analysis beside the steps. It begins `after` seconds after the weight of a step, and ends with the last step."""

    step: int
    after: float
    metrics: tuple[Repeated, ...]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """All of it. `replicas` are the stable pods; `notes` what was left out or taken for granted."""

    name: str
    steps: tuple[Step, ...]
    background: Background | None = None
    replicas: int = 1
    notes: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether one failed measurement ends the release, and all of them belong to steps."""
        return self.background is None and all(each.limits == Limits() for each in self.metrics)

    @property
    def judged(self) -> tuple[int, ...]:
        """The steps during which something is measured."""
        begins = len(self.steps) if self.background is None else self.background.step
        return tuple(index for index, step in enumerate(self.steps) if step.measurements or index >= begins)

    @property
    def beginnings(self) -> tuple[float, ...]:
        """When each weight comes into force at the earliest, and the end; seconds."""
        return tuple(itertools.accumulate((step.seconds for step in self.steps), initial=0.0))

    @property
    def metrics(self) -> tuple[GateMetric, ...]:
        """Its metrics, each name once."""
        found = {each.name: each for step in self.steps for m in step.measurements for each in m.metrics}
        beside = self.background.metrics if self.background else ()
        return tuple({**found, **{each.metric.name: each.metric for each in beside}}.values())

    @property
    def window(self) -> float:
        """The seconds of its first window."""
        found = [each.window for step in self.steps for each in step.measurements]
        return found[0] if found or self.background is None else self.background.metrics[0].window

    def with_window(self, seconds: float) -> Gate:
        """The same gate with every window so long, and every measurement as many windows after the analysis began as before.

        Raises:
            Unreadable: a metric looks at the last two scrapes, whatever its range is.

        """
        for metric in self.metrics:
            if metric.query.latest:
                if seconds == self.window:
                    return self
                raise Unreadable(f"metric {metric.name}: {LATEST}, whatever its range is: it has no other window")

        def changed(each: Measurement) -> Measurement:
            return replace(each, at=each.at * seconds / each.window, window=seconds)

        steps = tuple(replace(step, measurements=tuple(map(changed, step.measurements))) for step in self.steps)
        if self.background is None:
            return replace(self, steps=steps)
        beside = tuple(each.with_window(seconds) for each in self.background.metrics)
        return replace(self, steps=steps, background=replace(self.background, metrics=beside))


def most_bad(
    metrics: tuple[GateMetric, ...], requests: Floats, *, window: float, blind: bool = False, bearing: bool = False
) -> Floats:
    """For each number of requests, the most bad ones that all these metrics let pass; -1 where they pass none at all.

    With `bearing` the most that are no failure.

    Found by halving, which rests on a metric passing up to a limit and no further; that is looked at too.

    Raises:
        Unreadable: a metric passes again beyond its limit.

    """

    def passes(bad: Floats) -> Booleans:
        good = np.ones(requests.shape, dtype=bool)
        for metric in metrics:
            good &= (metric.bears if bearing else metric.passes)(requests, bad, window=window, blind=blind)
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


__all__ = [
    "Acceptance", "Background", "Cause", "Gate", "GateMetric", "Limits", "Measurement", "Repeated", "Step", "Unreadable",
    "most_bad",
]  # fmt: skip
