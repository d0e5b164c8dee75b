"""PURE: P(rollback) of a gate, exactly.

Let a window hold n canary requests, of which x are in error and y too slow. What is assumed, and why:

- x is Binomial(n, p): each answer fails by itself with probability p. True of the harness' own fault (webapp/faults.py draws
  one number per request); real errors come in bursts, which makes a window less telling than is computed here.
- y is Binomial(n, s), independent of x: a request too slow with probability s. An error that is slow too breaks it.
- n is random as traffic.py says: GATE.md's formula has it fixed, which makes rates near a limit look jumpy.
- the query sees the window's requests, all of them and no others, and no scrape fails: simulate.py does without this.
- the windows of different steps hold different requests, so that they are independent (GATE.md, "The mathematics"); a window
  longer than its step, or measurements closer than their window, overlap. simulate.py does without this too.
- one failed measurement ends the release (failureLimit 0), and the steps before have then been passed.

For a given gate P(rollback) rises with p and with s. In the rate of requests and in the window's length it is not monotone:
the most errors that pass are the whole number below limit x n, and jump where that does. Nor is P(rollback at step k) monotone in
p beyond the first step (a worse version is caught earlier), nor are the failed requests that users see until the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.oc.gate import Cause, Gate, Measurement, most_bad
from harness.oc.query import Floats, Unreadable
from harness.oc.traffic import requests_in, segments

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
    """A gate at one rate of requests (`rps`, all users together) and one kind of traffic."""

    gate: Gate
    rps: float
    kind: str
    windows: tuple[Window, ...]


@dataclass(frozen=True, kw_only=True)
class Characteristic:
    """What a gate does, for each of many versions (one per column of `by_step` and per entry of the rest).

    `by_cause` splits `rollback` by what a measurement failed for: too little traffic, whatever else; then errors; then latency.
    `seconds` is the expected time from the first weight to the decision, without the time that pods and controller take.
    `failed` are the users' requests in error expected until then; what users get after a promotion is not in it.
    """

    rollback: Floats
    by_step: Floats
    by_cause: Mapping[Cause, Floats]
    seconds: Floats
    failed: Floats

    @property
    def caught(self) -> Floats:
        """P(rolled back for what the version does): without those for lack of traffic, which are right by accident only."""
        found: Floats = self.by_cause[Cause.ERRORS] + self.by_cause[Cause.LATENCY]
        return found


def prepare(gate: Gate, *, rps: float, kind: str = "split") -> Plan:
    """All that does not depend on the version. `rps`: requests per second of all users together.

    Raises:
        Unreadable: a metric's condition is not one limit, or the numbers are beyond what is computed.

    """
    windows = []
    for index, step in enumerate(gate.steps):
        for measurement in step.measurements:
            if rps * measurement.window * step.weight / 100 > REQUESTS_AT_MOST:
                raise Unreadable(f"more than {REQUESTS_AT_MOST:g} canary requests in one window are not computed")
            windows.append(_window(gate, index, measurement, rps, kind))
    return Plan(gate=gate, rps=rps, kind=kind, windows=tuple(windows))


def _window(gate: Gate, index: int, measurement: Measurement, rps: float, kind: str) -> Window:
    seen = requests_in(segments(gate, index, measurement.at, measurement.window), rps, kind)
    by = {cause: tuple(each for each in measurement.metrics if each.cause is cause) for cause in Cause}
    enough = np.ones(seen.numbers.shape, dtype=bool)
    for metric in by[Cause.TRAFFIC]:
        enough &= metric.passes(seen.numbers, np.zeros_like(seen.numbers), window=measurement.window)
    errors, slow = (most_bad(by[cause], seen.numbers, window=measurement.window) for cause in (Cause.ERRORS, Cause.LATENCY))
    return Window(
        step=index, numbers=seen.numbers, probabilities=seen.probabilities, enough=enough.astype(np.float64),
        most_errors=errors, most_slow=slow,
    )  # fmt: skip


def characteristic(plan: Plan, error_rates: Floats, slow_shares: Floats | float = 0.0) -> Characteristic:
    """P(rollback) and the rest for each error rate, and share of requests over the latency limit (both from 0 to 1)."""
    p, s = (np.asarray(each, dtype=np.float64) for each in np.broadcast_arrays(np.atleast_1d(error_rates), slow_shares))
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
    good = _at_most(window.most_errors, n, p)
    fast = _at_most(window.most_slow, n, s)
    return {
        Cause.TRAFFIC: np.full(p.shape, float(window.probabilities @ (1 - window.enough))),
        Cause.ERRORS: (1 - good) @ weights,
        Cause.LATENCY: (good * (1 - fast)) @ weights,
    }


def _at_most(most: Floats, n: Floats, rates: Floats) -> Floats:
    """P(Binomial(n, rate) <= most), one row per rate. Where all or nothing passes it is 1 or 0, and not computed."""
    found = np.broadcast_to(np.where(most < 0, 0.0, 1.0), (len(rates), len(n))).copy()
    open_ = (most >= 0) & (most < n)
    if open_.any():
        found[:, open_] = stats.binom.cdf(most[open_], n[open_], rates[:, None])
    return found
