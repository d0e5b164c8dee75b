"""PURE: how many canary requests a window holds: a distribution, from the rate, the weights and the time.

Three kinds of traffic:

- `split`: the harness' own load (one request in each interval of 1/rate seconds, loadtest/traffic/pacing.py), so the total of a
  window is fixed up to one; each request then goes to the canary by chance, independently, as Envoy chooses among weighted
  clusters. The canary's count is binomial.
- `poisson`: users who know nothing of each other. The total is Poisson, and so is what a random split leaves of it.
- `fixed`: rate x seconds x weight, rounded, and no chance at all: the textbook's figure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.oc.gate import Gate
from harness.oc.query import Floats

KINDS = ("split", "poisson", "fixed")
TAIL = 1e-15
"""What is cut off at either end of a distribution."""


@dataclass(frozen=True)
class Requests:
    """The possible numbers of canary requests in a window, ascending, and the probability of each."""

    numbers: Floats
    probabilities: Floats

    @property
    def mean(self) -> float:
        """Their expectation."""
        return float(self.numbers @ self.probabilities)


Segment = tuple[float, float]
"""(seconds, share of the traffic from 0 to 1)."""


def segments(gate: Gate, step: int, at: float, window: float) -> list[Segment]:
    """What a window saw that ends `at` seconds after the analysis of a step began: latest first."""
    return seen(gate, step, gate.steps[step].pause + at, window)


def seen(gate: Gate, step: int, since: float, window: float) -> list[Segment]:
    """What a window saw that ends `since` seconds after the weight of a step came into force: latest first.

    A window that reaches behind its own step sees what the steps before sent; before the first step there was nothing.
    """
    left, found = window, []
    for seconds, weight in itertools.chain(
        [(since, gate.steps[step].weight)], ((each.seconds, each.weight) for each in reversed(gate.steps[:step]))
    ):
        if left <= 0:
            break
        taken = min(left, seconds)
        if taken > 0:
            found.append((taken, weight / 100))
        left -= taken
    return found


def is_blind(parts: Sequence[Segment]) -> bool:
    """Whether the canary cannot have had a request in these parts, so that nothing has been counted."""
    return not any(seconds * weight > 0 for seconds, weight in parts)


def requests_in(parts: Sequence[Segment], rps: float, kind: str) -> Requests:
    """The distribution of canary requests over these parts of a window."""
    if kind == "fixed":
        return Requests(np.array([math.floor(sum(rps * s * w for s, w in parts) + 0.5)], dtype=np.float64), np.ones(1))
    if kind == "poisson":
        return _cut(stats.poisson(sum(rps * s * w for s, w in parts)))
    found = Requests(np.zeros(1), np.ones(1))
    for seconds, weight in parts:
        found = _sum(found, _split(rps * seconds, weight))
    return found


def _split(total: float, weight: float) -> Requests:
    """Binomial out of a total that is not whole: the whole number below or above, with the chance that their mean demands."""
    low = math.floor(total + 1e-9)
    part = max(total - low, 0.0)
    below = _cut(stats.binom(low, weight))
    return below if part < 1e-9 else _mix(below, _cut(stats.binom(low + 1, weight)), part)


def _cut(distribution: stats.rv_discrete) -> Requests:
    low, high = int(distribution.ppf(TAIL)), int(distribution.isf(TAIL))
    numbers = np.arange(max(low, 0), max(high, low, 0) + 1, dtype=np.float64)
    return _normal(numbers, np.asarray(distribution.pmf(numbers), dtype=np.float64))


def _normal(numbers: Floats, probabilities: Floats) -> Requests:
    return Requests(numbers, probabilities / probabilities.sum())


def _mix(first: Requests, second: Requests, share: float) -> Requests:
    low, high = min(first.numbers[0], second.numbers[0]), max(first.numbers[-1], second.numbers[-1])
    numbers = np.arange(low, high + 1)
    mixed = np.zeros(len(numbers))
    for each, part in ((first, 1 - share), (second, share)):
        start = int(each.numbers[0] - low)
        mixed[start : start + len(each.numbers)] += part * each.probabilities
    return _normal(numbers, mixed)


def _sum(first: Requests, second: Requests) -> Requests:
    numbers = np.arange(len(first.numbers) + len(second.numbers) - 1) + first.numbers[0] + second.numbers[0]
    return _normal(numbers, np.convolve(first.probabilities, second.probabilities))
