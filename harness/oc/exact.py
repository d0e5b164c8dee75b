"""PURE: P(rollback) of a gate, exactly.

Let a window hold n canary requests, of which x are in error and y too slow. What is assumed, and why:

- x is Binomial(n, p): each answer fails by itself with probability p. True of the harness' own fault (webapp/faults.py draws
  one number per request); real errors come in bursts, which makes a window less telling than is computed here.
- y is Binomial(n, s), independent of x: a request too slow with probability s. An error that is slow too breaks it.
- n is random as traffic.py says: GATE.md's formula has it fixed, which makes rates near a limit look jumpy.
- the query sees the window's requests, all of them and no others, and no scrape fails: simulate.py does without this.
- the windows of different steps hold different requests, so that they are independent (GATE.md, "The mathematics"); a window
  longer than its step, or measurements closer than their window, overlap. simulate.py does without this too.
- here one failed measurement ends the release (failureLimit 0); counting.py has the gates whose metrics bear more, and those with
  an analysis in the background.
- a window in which the canary could not have had a request holds no samples, and a measurement that fails there lacks traffic.

For a given gate P(rollback) rises with p and with s. In the rate of requests and in the window's length it is not monotone:
the most errors that pass are the whole number below limit x n, and jump where that does. Nor is P(rollback at step k) monotone in
p beyond the first step (a worse version is caught earlier), nor are the failed requests that users see until the decision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.oc import counting
from harness.oc.counting import Course
from harness.oc.gate import Cause, Gate, Measurement, most_bad
from harness.oc.looks import at_most
from harness.oc.query import Floats, Unreadable
from harness.oc.result import Characteristic
from harness.oc.traffic import is_blind, requests_in, segments

REQUESTS_AT_MOST = 5e7
"""Canary requests in one window; more only costs memory, and the answer is 0 or 1 by then."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """One measurement, ready for any error rate: n and its probability, and what passes at each n."""

    step: int
    numbers: Floats
    probabilities: Floats
    enough: Floats
    """1 where the traffic suffices, else 0."""
    most_errors: Floats
    most_slow: Floats


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A gate at one rate of requests (`rps`, all users together) and one kind of traffic.

    `windows` of a plain gate, else `courses`, one for each step.
    """

    gate: Gate
    rps: float
    kind: str
    windows: tuple[Window, ...] = ()
    courses: tuple[Course, ...] = ()

    @property
    def means(self) -> list[float]:
        """How many canary requests each window holds on average."""
        looks = [move.look for course in self.courses for move in course.moves]
        found = [(each.numbers, each.probabilities) for each in self.windows] + [(e.numbers, e.probabilities) for e in looks]
        return [float(numbers @ probabilities) for numbers, probabilities in found]


def prepare(gate: Gate, *, rps: float, kind: str = "split") -> Plan:
    """All that does not depend on the version. `rps`: requests per second of all users together.

    Raises:
        Unreadable: a metric's condition is not one limit, or the numbers are beyond what is computed.

    """
    beside = gate.background.metrics if gate.background else ()
    for step in gate.steps:
        for window in (*(each.window for each in step.measurements), *(each.window for each in beside)):
            if rps * window * step.weight / 100 > REQUESTS_AT_MOST:
                raise Unreadable(f"more than {REQUESTS_AT_MOST:g} canary requests in one window are not computed")
    if not gate.plain:
        return Plan(gate=gate, rps=rps, kind=kind, courses=counting.courses(gate, rps, kind))
    windows = [_window(gate, index, each, rps, kind) for index, step in enumerate(gate.steps) for each in step.measurements]
    return Plan(gate=gate, rps=rps, kind=kind, windows=tuple(windows))


def _window(gate: Gate, index: int, measurement: Measurement, rps: float, kind: str) -> Window:
    parts = segments(gate, index, measurement.at, measurement.window)
    seen, blind = requests_in(parts, rps, kind), is_blind(parts)
    by = {cause: tuple(each for each in measurement.metrics if each.cause is cause) for cause in Cause}
    enough = np.ones(seen.numbers.shape, dtype=bool)
    for metric in measurement.metrics if blind else by[Cause.TRAFFIC]:
        enough &= metric.passes(seen.numbers, np.zeros_like(seen.numbers), window=measurement.window, blind=blind)
    by = dict.fromkeys(Cause, ()) if blind else by
    errors, slow = (most_bad(by[cause], seen.numbers, window=measurement.window) for cause in (Cause.ERRORS, Cause.LATENCY))
    return Window(
        step=index, numbers=seen.numbers, probabilities=seen.probabilities, enough=enough.astype(np.float64),
        most_errors=errors, most_slow=slow,
    )  # fmt: skip


def characteristic(plan: Plan, error_rates: Floats, slow_shares: Floats | float = 0.0) -> Characteristic:
    """P(rollback) and the rest for each error rate, and share of requests over the latency limit (both from 0 to 1)."""
    p, s = (np.asarray(each, dtype=np.float64) for each in np.broadcast_arrays(np.atleast_1d(error_rates), slow_shares))
    if not plan.gate.plain:
        return counting.characteristic(plan.gate, plan.rps, plan.courses, p, s)
    reached = np.ones(p.shape)
    steps = plan.gate.steps
    by_step, by_cause = np.zeros((len(steps), *p.shape)), {cause: np.zeros(p.shape) for cause in Cause}
    time, failed, before = np.zeros(p.shape), np.zeros(p.shape), 0.0
    for index, step in enumerate(steps):
        ends = before
        for window, measurement in zip((each for each in plan.windows if each.step == index), step.measurements, strict=True):
            begins, ends = ends, before + step.pause + measurement.at
            # The requests of a span are had by whoever reaches it, whatever its measurement then says of them.
            time += reached * (ends - begins)
            failed += reached * (ends - begins) * plan.rps * step.weight / 100 * p
            fails = _failing(window, p, s)
            for cause in Cause:
                by_cause[cause] += reached * fails[cause]
            lost = reached * sum(fails.values())
            by_step[index] += lost
            reached = np.maximum(reached - lost, 0.0)
        rest = before + step.seconds - ends
        time += reached * rest
        failed += reached * rest * plan.rps * step.weight / 100 * p
        before += step.seconds
    return Characteristic(rollback=1.0 - reached, by_step=by_step, by_cause=by_cause, seconds=time, failed=failed)


def _failing(window: Window, p: Floats, s: Floats) -> dict[Cause, Floats]:
    """P(a measurement fails for each cause), summed over n."""
    n, weights = window.numbers, window.probabilities * window.enough
    good = at_most(window.most_errors, n, p)
    fast = at_most(window.most_slow, n, s)
    return {
        Cause.TRAFFIC: np.full(p.shape, float(window.probabilities @ (1 - window.enough))),
        Cause.ERRORS: (1 - good) @ weights,
        Cause.LATENCY: (good * (1 - fast)) @ weights,
    }
