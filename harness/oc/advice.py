"""PURE: what a characteristic means for someone who has to choose: power, false rollbacks, and the window or traffic it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from harness.oc.exact import Plan, characteristic, prepare
from harness.oc.gate import LATEST, Cause, Gate, GateMetric, most_bad
from harness.oc.query import Unreadable
from harness.oc.result import Characteristic

WINDOW_AT_MOST = 86_400.0
RPS_AT_MOST = 5_000.0
"""Between these and one request or second a solution is looked for."""
_GRID, _TREND = 1.1, 4.0
_MANY = 1e6
ERRORS, LATENCY = "errors", "latency"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a gate shall do. Rates are shares from 0 to 1; `axis` says of what: errors, or requests over the latency limit."""

    bad: float
    power: float
    healthy: float
    max_false: float
    axis: str = ERRORS


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The least `value` (seconds of window, or requests per second) from which on a gate does what is wanted, or the reason."""

    value: float | None
    reason: str = ""
    power: float = 0.0
    false: float = 0.0


def of(plan: Plan, rates: Iterable[float], *, axis: str, other: float = 0.0) -> Characteristic:
    """The characteristic over one of the two rates; `other` is the one that stays."""
    values = np.array(list(rates), dtype=np.float64)
    fixed = np.full(values.shape, other)
    return characteristic(plan, values, fixed) if axis == ERRORS else characteristic(plan, fixed, values)


def threshold(gate: Gate, axis: str) -> float | None:
    """The share of bad requests at which one of the gate's windows would turn with endless traffic; None when it looks at none.

    A metric that bears as many failures as it is measured times turns nothing.
    """
    cause = Cause.ERRORS if axis == ERRORS else Cause.LATENCY
    found = []
    for metrics, window in _windows(gate):
        looking = tuple(metric for metric in metrics if metric.cause is cause)
        if looking:
            found.append(float(most_bad(looking, np.array([_MANY]), window=window)[0]) / _MANY)
    # The last count that passes is up to one below the limit.
    return round(min(found) + 0.5 / _MANY, 5) if found else None


def _windows(gate: Gate) -> Iterator[tuple[tuple[GateMetric, ...], float]]:
    """(metrics that can end a release, their window), of each step's measurements and of the background."""
    for step in gate.steps:
        taken = Counter(metric.name for each in step.measurements for metric in each.metrics)
        for each in step.measurements:
            yield tuple(metric for metric in each.metrics if _can_lose(metric, taken[metric.name])), each.window
    if gate.background is not None:
        until = gate.beginnings[-1] - gate.beginnings[gate.background.step] - gate.background.after
        for one in gate.background.metrics:
            if _can_lose(one.metric, len(one.moments(until))):
                yield (one.metric,), one.window


def _can_lose(metric: GateMetric, times: int) -> bool:
    limits = metric.limits
    gap = metric.tolerated is not None and times > limits.inconclusive
    return bool(limits.successes) or times > limits.failures >= 0 or gap


def smallest_caught(plan: Plan, power: float, *, axis: str, other: float = 0.0) -> float | None:
    """The least rate that is rolled back for what it is with at least this probability; None when none is.

    By halving: the probability rises with the rate.
    """

    def caught(rate: float) -> float:
        return float(of(plan, [rate], axis=axis, other=other).caught[0])

    if caught(1.0) < power:
        return None
    low, high = 0.0, 1.0
    if caught(low) >= power:
        return 0.0
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (low, middle) if caught(middle) >= power else (middle, high)
    return high


def window_for(gate: Gate, wanted: Wanted, *, rps: float, kind: str, other: float = 0.0) -> Solution:
    """The least window in whole seconds, the same in every step, from which on the gate does what is wanted at this traffic."""

    def at(seconds: float) -> Plan:
        return prepare(gate.with_window(seconds), rps=rps, kind=kind)

    refusal = _refusal(gate, wanted)
    if any(metric.query.latest for metric in gate.metrics):
        refusal = f"{LATEST}, whatever its range is: use rate()"
    return _least(at, wanted, refusal, low=1.0, high=WINDOW_AT_MOST, unit="s of window", other=other)


def rps_for(gate: Gate, wanted: Wanted, *, kind: str, other: float = 0.0) -> Solution:
    """The least whole number of requests per second from which on the gate does what is wanted with the windows that it has."""

    def at(rps: float) -> Plan:
        return prepare(gate, rps=rps, kind=kind)

    return _least(at, wanted, _refusal(gate, wanted), low=1.0, high=RPS_AT_MOST, unit="requests/s", other=other)


def _refusal(gate: Gate, wanted: Wanted) -> str:
    limit = threshold(gate, wanted.axis)
    if limit is None:
        return f"the gate does not look at {wanted.axis}"
    if wanted.healthy >= limit:
        return (
            f"{100 * wanted.healthy:g} % is at or beyond the gate's own limit of {100 * limit:g} %: the more traffic, the more "
            "surely it rolls such a release back; choose another limit"
        )
    if wanted.bad <= limit:
        return (
            f"{100 * wanted.bad:g} % is at or under the gate's own limit of {100 * limit:g} %: the more traffic, the more surely "
            "it lets such a release pass; choose another limit"
        )
    return ""


def _least(
    at: Callable[[float], Plan], wanted: Wanted, refusal: str, *, low: float, high: float, unit: str, other: float
) -> Solution:
    """The least whole number from which on what is wanted is done, up to four times as much, on a grid of steps of 10 %.

    "From which on": the chances are not monotone in traffic, and a lucky value below is no advice; the jumps get smaller as the
    traffic grows, so that four times as much shows the trend. From the last number of the grid that fails, all whole numbers up
    to the next are looked at where there are few, and halved where there are many.
    """
    if refusal:
        return Solution(value=None, reason=refusal)

    def chances(value: float) -> tuple[float, float]:
        found = of(at(value), [wanted.bad, wanted.healthy], axis=wanted.axis, other=other)
        return float(found.caught[0]), float(found.rollback[1])

    def does(value: float) -> bool:
        power, false = chances(value)
        return power >= wanted.power and false <= wanted.max_false

    grid = _grid(low, high)
    best = None
    for value in grid:
        if best is not None and value > _TREND * best:
            break
        try:
            good = does(value)
        except Unreadable:  # beyond what is computed
            break
        best = (best or value) if good else None
    if best is None:
        return Solution(value=None, reason=f"not even with {grid[-1]:g} {unit}")
    start = grid[grid.index(best) - 1] if best != grid[0] else best
    found = _between(does, start, best)
    power, false = chances(found)
    return Solution(value=found, power=power, false=false)


def _grid(low: float, high: float) -> list[float]:
    found = [low]
    while found[-1] < high:
        found.append(min(max(found[-1] + 1, round(found[-1] * _GRID)), high))
    return found


def _between(does: Callable[[float], bool], bad: float, good: float) -> float:
    """The least whole number above `bad` from which on all do, up to `good`; halved when they are more than a hundred."""
    while good - bad > 100:
        middle = float(round((bad + good) / 2))
        bad, good = (bad, middle) if does(middle) else (middle, good)
    while good - 1 > bad and does(good - 1):
        good -= 1
    return good
