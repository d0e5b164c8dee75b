"""PURE: a condition as a step function of the measured value."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from harness.lint.expr.syntax import Malformed, Unknown
from harness.lint.subject import ERROR, INCONCLUSIVE, SUCCESSFUL, Metric
from harness.oc.gate import Acceptance
from harness.oc.query import Unreadable


def acceptances(metric: Metric) -> tuple[Acceptance, Acceptance | None]:
    """What a metric's conditions let pass, and what they do not fail, where that is more.

    Raises:
        Unreadable: a condition is not understood, or an error whatever the value is.

    """
    for which in ("successCondition", "failureCondition"):
        try:
            metric.condition(which)
        except Malformed as error:
            raise Unreadable(f"its {which} is no expression: {error}") from None
        except Unknown:
            raise Unreadable(f"its {which} is not understood here") from None
    if all(metric.outcome(value) == ERROR for value in metric.probes):
        raise Unreadable("its condition is an error at every value")
    passing = _acceptance(metric, (SUCCESSFUL,))
    gap = any(metric.outcome(value) == INCONCLUSIVE for value in metric.probes)
    return passing, _acceptance(metric, (SUCCESSFUL, INCONCLUSIVE)) if gap else None


def _acceptance(metric: Metric, phases: tuple[str, ...]) -> Acceptance:
    """Every place where the answer changes, found among probes and then by halving."""

    def passes(value: float) -> bool:
        phase = metric.outcome(value)
        if phase is None:
            raise Unreadable("its condition uses something that is not understood here")
        return phase in phases

    bounds = {*metric.written}
    for low, high in itertools.pairwise(metric.probes):
        if passes(low) != passes(high) and not any(low <= each <= high for each in bounds):
            bounds.add(_where_it_changes(passes, low, high))
    ordered = sorted(bounds)
    between = [passes(_inside(ordered, index)) for index in range(len(ordered) + 1)]
    return Acceptance(
        bounds=np.array(ordered, dtype=np.float64), at=np.array([passes(each) for each in ordered], dtype=bool),
        between=np.array(between, dtype=bool), nan=metric.outcome(math.nan) in phases, empty=metric.outcome() in phases,
    )  # fmt: skip


def _where_it_changes(passes: Callable[[float], bool], low: float, high: float) -> float:
    """The last number with the answer of `low`."""
    first = passes(low)
    while math.nextafter(low, math.inf) < high:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if passes(middle) == first else (low, middle)
    return low


def _inside(bounds: list[float], index: int) -> float:
    """A number just below bounds[index], above the one before; above all of them for the last."""
    if not bounds:
        return 0.5
    if index == len(bounds):
        return bounds[-1] + abs(bounds[-1]) + 1
    below = bounds[index - 1] if index else bounds[0] - abs(bounds[0]) - 1
    return (below + bounds[index]) / 2
