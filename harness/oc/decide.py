"""PURE: what a gate decides about simulated releases, many at once, from what Prometheus knows of them.

A measurement that is an Error (it finds no sample) is taken again every 10 s, as often as the metric bears errors in a row; only
then the release is lost. What is measured after it keeps its own moments, which the controller puts off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.oc.gate import ERROR, FAILS, INCONCLUSIVE, PASSES, Cause, GateMetric, Integers
from harness.oc.query import Booleans, Counted, Floats
from harness.oc.schedule import RETRY_SECONDS

NEVER = np.inf
Sight = Callable[[Floats], Counted]
"""What is known at the end of a window, for each release."""


@dataclass(kw_only=True)
class _Counts:
    """One metric's tally in each release."""

    failed: Integers
    inconclusive: Integers
    successes: Integers
    done: Booleans


@dataclass(kw_only=True)
class Decided:
    """An analysis' decisions: when it ended a release (NEVER: it did not), for which cause, and after which measurement.

    `over` is when all its metrics were decided, and `last` after which measurement; NEVER and -1 where that did not happen.
    """

    lost: Floats
    cause: NDArray[np.int64]
    at: NDArray[np.int64]
    over: Floats
    last: NDArray[np.int64]
    tallies: dict[str, _Counts]


def undecided(names: Iterable[str], runs: int) -> Decided:
    """An analysis of the metrics with these names, before its first measurement."""
    never, none, zero = np.full(runs, NEVER), np.full(runs, -1), np.zeros(runs, dtype=np.int64)
    tallies = {name: _Counts(failed=zero, inconclusive=zero, successes=zero, done=np.zeros(runs, dtype=bool)) for name in names}
    return Decided(lost=never, cause=none, at=none, over=never, last=none, tallies=tallies)


def measure(
    analysis: Decided, metrics: Sequence[tuple[GateMetric, bool]], number: int, ends: Floats, sight: Sight
) -> None:  # fmt: skip
    """Take one measurement of these metrics (True: its last one) at `ends`. `number` is its own, to be remembered."""
    open_ = np.isinf(analysis.lost)
    seen = sight(ends)
    for position, cause in reversed(list(enumerate(Cause))):
        for metric, last in metrics:
            if metric.cause is not cause:
                continue
            tally = analysis.tallies[metric.name]
            measured = open_ & ~tally.done
            outcome, when = _outcome(metric, seen, ends, sight, measured)
            lost = measured & _add(tally, metric, outcome, measured, last=last)
            first = lost & (when <= analysis.lost)
            analysis.lost = np.where(first, when, analysis.lost)
            analysis.cause = np.where(first, position, analysis.cause)
            analysis.at = np.where(first, number, analysis.at)
    decided = np.logical_and.reduce([tally.done for tally in analysis.tallies.values()])
    over = open_ & decided & np.isinf(analysis.over)
    analysis.over = np.where(over, ends, analysis.over)
    analysis.last = np.where(over, number, analysis.last)


def _outcome(metric: GateMetric, seen: Counted, ends: Floats, sight: Sight, measured: Booleans) -> tuple[Integers, Floats]:
    """What is measured, and when it is known: an Error is tried again."""
    found, when = metric.outcome(metric.query.evaluate(seen)), ends
    for _ in range(metric.retries or 0):
        again = measured & (found == ERROR)
        if not again.any():
            break
        when = np.where(again, when + RETRY_SECONDS, when)
        found = np.where(again, metric.outcome(metric.query.evaluate(sight(when))), found)
    return found, when


def _add(tally: _Counts, metric: GateMetric, outcome: Integers, measured: Booleans, *, last: bool) -> Booleans:
    """Count one measurement more, as timeline.count does. Returns where the metric has lost the release."""
    limits = metric.limits
    tally.failed = tally.failed + (measured & (outcome == FAILS))
    tally.inconclusive = tally.inconclusive + (measured & (outcome == INCONCLUSIVE))
    tally.successes = np.where(measured, np.where(outcome == PASSES, tally.successes + 1, 0), tally.successes)
    lost: Booleans = (outcome == ERROR) | (tally.inconclusive > limits.inconclusive)
    if limits.failures >= 0:
        lost |= tally.failed > limits.failures
    complete = (tally.successes >= limits.successes) if limits.successes else np.zeros_like(lost)
    if last and limits.successes:
        lost |= ~complete
    tally.done = tally.done | (measured & ~lost & (complete | last))
    return lost
