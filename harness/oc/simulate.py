"""PURE: releases before a gate as the chain really works: arrivals, split, scrapes, `increase()`, evaluation. Seeded.

What `exact` takes for granted is played here. Of one release, in seconds from its first weight:

- arrivals: of all users together, as the harness' load sends them (one at a chance moment in each interval of 1/rps), or Poisson;
- each request goes to the canary with its weight's chance, and to any of its pods (ceil(replicas x weight), as the controller
  scales with a traffic router) with the same chance; it is in error with p and over the latency limit with s, independently;
- each pod has counters by status, which start at 0 (the app creates 200 and 500 itself), and is scraped every interval at a phase
  of its own, for the first time after it became ready, `lead` before its first requests. A sample holds what was counted so far;
- an analysis begins `settle` after its weight is in force, measures `late` after its due moment, and the next weight comes
  `react` after the last measurement passed: each uniform from 0 to its limit. So windows begin a little after their weight;
- a query is evaluated over those samples: extrapolated per series as Prometheus does it, added up, divided, rounded, and held
  against the condition. Windows longer than their step see the step before; overlapping ones see the same requests;
- failed measurements are counted metric by metric, and a measurement that finds no sample is taken again (decide.py);
- an analysis in the background begins `settle` after its step's weight; what is due after the last step has ended is not taken;
- a step that ends early (a row of successes) is played to its longest, and what came after its end is taken off again: the steps
  after it are as long and see as much. Only a window that reaches back beyond its own step then sees too much of the one before.

Not played: failed scrapes, pods that restart, and scrapes that take time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.oc.decide import Decided, measure, undecided
from harness.oc.gate import Cause, Gate, GateMetric, Step
from harness.oc.increase import counted, increase, latest, total
from harness.oc.query import Count, Floats, Value

CELLS = 1_500_000
"""Of one array; more releases are played in turns."""
CONFIDENCE = 0.95
_PASSED = -1


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The parts between users and verdict; seconds. The defaults of the small delays are of the order seen on one machine."""

    rps: float
    poisson: bool = False
    scrape_interval: float = 15.0
    settle: float = 1.0
    late: float = 0.5
    react: float = 1.0
    lead: float = 5.0


@dataclass(kw_only=True)
class Played:
    """What became of `runs` releases: how many were rolled back, at which step, for which cause; sums of seconds and failures."""

    runs: int = 0
    by_step: dict[int, int] = field(default_factory=dict)
    by_cause: dict[Cause, int] = field(default_factory=lambda: dict.fromkeys(Cause, 0))
    seconds: float = 0.0
    failed: float = 0.0

    @property
    def rollbacks(self) -> int:
        """All of them."""
        return sum(self.by_step.values())

    def add(self, steps: NDArray[np.int64], causes: NDArray[np.int64], seconds: Floats, failed: Floats) -> None:
        """Add releases: the step of each one's rollback (-1: none), its cause's place in Cause, and the rest."""
        self.runs += len(steps)
        for index in np.unique(steps[steps != _PASSED]):
            self.by_step[int(index)] = self.by_step.get(int(index), 0) + int(np.count_nonzero(steps == index))
        for position, each in enumerate(Cause):
            self.by_cause[each] += int(np.count_nonzero((steps != _PASSED) & (causes == position)))
        self.seconds += float(seconds.sum())
        self.failed += float(failed.sum())

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """The exact (Clopper-Pearson) interval of P(rollback)."""
        found = stats.binomtest(self.rollbacks, self.runs).proportion_ci(confidence, method="exact")
        return float(found.low), float(found.high)


def simulate(gate: Gate, chain: Chain, *, error_rate: float, slow_share: float = 0.0, runs: int, seed: int) -> Played:
    """Play `runs` releases of a version with these rates (from 0 to 1)."""
    random = np.random.default_rng(seed)
    played = Played()
    at_once = max(1, CELLS // _edges_per_run(gate, chain))
    while played.runs < runs:
        clock = _clock(gate, chain, min(at_once, runs - played.runs), random)
        _play(gate, clock, *_requests(gate, chain, clock, (error_rate, slow_share), random), played)
    return played


def _pods(gate: Gate) -> list[int]:
    """How many pods the canary has at each step."""
    found = [max(1, math.ceil(gate.replicas * step.weight / 100)) for step in gate.steps]
    return [int(each) for each in np.maximum.accumulate(found)]


def _longest(gate: Gate, chain: Chain) -> float:
    return sum(each.seconds + chain.settle + chain.late * (1 + len(each.measurements)) + chain.react for each in gate.steps)


def _edges_per_run(gate: Gate, chain: Chain) -> int:
    scrapes = math.ceil((_longest(gate, chain) + chain.lead) / chain.scrape_interval) + 2
    return _pods(gate)[-1] * scrapes + 2 * len(gate.steps)


@dataclass(frozen=True, kw_only=True)
class _Clock:
    """When things happen, one row per release: each step's weight, and each measurement by (step, its number there).

    `beside` are those of the background, in the order of its `looks`.
    """

    weights: Floats
    measured: dict[tuple[int, int], Floats]
    ends: Floats
    looks: list[tuple[float, float, list[tuple[GateMetric, bool]]]]
    beside: list[Floats]


def _clock(gate: Gate, chain: Chain, runs: int, random: np.random.Generator) -> _Clock:
    now, weights, measured = np.zeros(runs), [], {}
    for index, step in enumerate(gate.steps):
        weights.append(now)
        ends = now + step.pause
        if step.measurements:
            began = now + step.pause + random.uniform(0, chain.settle, runs)
            for number, each in enumerate(step.measurements):
                # Prometheus' clock has milliseconds.
                measured[index, number] = np.round(began + each.at + random.uniform(0, chain.late, runs), 3)
                ends = np.maximum(ends, measured[index, number])
        now = ends + random.uniform(0, chain.react, runs)
    looks, beside = _looks(gate, chain), []
    if gate.background is not None:
        began = weights[gate.background.step] + gate.background.after + random.uniform(0, chain.settle, runs)
        beside = [np.round(began + at + random.uniform(0, chain.late, runs), 3) for at, _, _ in looks]
    return _Clock(weights=np.stack(weights, axis=-1), measured=measured, ends=ends, looks=looks, beside=beside)


def _looks(gate: Gate, chain: Chain) -> list[tuple[float, float, list[tuple[GateMetric, bool]]]]:
    """(seconds since it began, window, metrics and whether it is their last time) of the background, for the longest release."""
    if gate.background is None:
        return []
    found: dict[tuple[float, float], list[tuple[GateMetric, bool]]] = {}
    for each in gate.background.metrics:
        for number, at in enumerate(each.moments(_longest(gate, chain))):
            found.setdefault((at, each.window), []).append((each.metric, number + 1 == each.metric.count))
    return [(at, window, metrics) for (at, window), metrics in sorted(found.items(), key=lambda item: item[0])]


@dataclass(frozen=True, kw_only=True)
class _Pod:
    """One pod's samples: when, which exist, and the four counters (status x speed) at each, along the last axis."""

    times: Floats
    there: NDArray[np.bool_]
    good_fast: Floats
    good_slow: Floats
    error_fast: Floats
    error_slow: Floats


@dataclass(frozen=True)
class _Sampled:
    """What Prometheus knows at the end of a window."""

    pods: list[_Pod]
    window: float
    end: Floats

    def increase(self, what: Count, *, extrapolated: bool) -> Value:
        """The sum over pods and statuses; each series is extrapolated by itself."""
        return self._total(what, increase if extrapolated else counted, self.window)

    def latest(self, what: Count, *, reach: float) -> Value:
        """The sum over pods and statuses of what each series grew by a second between its last two samples."""
        return self._total(what, latest, reach)

    def _total(self, what: Count, grown: Callable[..., Value], reach: float) -> Value:
        found: list[Value] = []
        for pod in self.pods:
            good, errors = pod.good_fast + pod.good_slow, pod.error_fast + pod.error_slow
            fast = (pod.good_fast, pod.error_fast)
            by_count = {Count.ALL: (good, errors), Count.GOOD: (good,), Count.ERRORS: (errors,), Count.FAST: fast}
            found += [grown(pod.times, each, pod.there, start=self.end - reach, end=self.end) for each in by_count[what]]
        return total(Value(np.stack([each.values for each in found], -1), np.stack([each.present for each in found], -1)))


def _play(gate: Gate, clock: _Clock, pods: list[_Pod], errors: list[Floats], played: Played) -> None:
    """Judge each release, and add it to what was played."""
    runs = len(clock.ends)
    decided, cause = np.full(runs, _PASSED), np.zeros(runs, dtype=np.int64)
    seconds, failed = clock.ends.copy(), errors[-1].copy()
    spared_seconds, spared_failed = np.zeros(runs), np.zeros(runs)
    mark = 0
    for index, step in enumerate(gate.steps):
        found = _analysis(step, clock, index, pods)
        count = len(step.measurements)
        at_marks = np.stack(errors[mark : mark + count], axis=-1) if count else np.zeros((runs, 1))
        now = (decided == _PASSED) & np.isfinite(found.lost)
        decided[now], cause[now] = index, found.cause[now]
        seconds[now] = found.lost[now] - spared_seconds[now]
        failed[now] = np.take_along_axis(at_marks, found.at[:, None], axis=-1)[now, 0] - spared_failed[now]
        early = np.isfinite(found.over)
        spared_seconds += np.where(early, clock.measured[index, count - 1] - found.over, 0.0) if count else 0.0
        spared_failed += np.where(early, at_marks[:, -1] - np.take_along_axis(at_marks, found.last[:, None], axis=-1)[:, 0], 0.0)
        mark += count
    passed = decided == _PASSED
    seconds[passed] -= spared_seconds[passed]
    failed[passed] -= spared_failed[passed]
    found = _background(clock, pods)
    # Beyond the steps' own end nothing is lost any more.
    now = found.lost < seconds
    decided[now] = (clock.weights <= found.lost[:, None]).sum(axis=-1)[now] - 1
    cause[now], seconds[now] = found.cause[now], found.lost[now]
    failed[now] = np.stack(errors[mark:], axis=-1)[now, found.at[now]]
    played.add(decided, cause, seconds, failed)


def _analysis(step: Step, clock: _Clock, index: int, pods: list[_Pod]) -> Decided:
    left = Counter(metric.name for each in step.measurements for metric in each.metrics)
    found = undecided(left, len(clock.ends))
    for number, each in enumerate(step.measurements):
        left.subtract(metric.name for metric in each.metrics)
        metrics = [(metric, not left[metric.name]) for metric in each.metrics]
        measure(found, metrics, number, clock.measured[index, number], partial(_Sampled, pods, each.window))
    return found


def _background(clock: _Clock, pods: list[_Pod]) -> Decided:
    found = undecided({metric.name for _, _, metrics in clock.looks for metric, _ in metrics}, len(clock.ends))
    for number, ((_, window, metrics), ends) in enumerate(zip(clock.looks, clock.beside, strict=True)):
        measure(found, metrics, number, ends, partial(_Sampled, pods, window))
    return found


def _requests(
    gate: Gate, chain: Chain, clock: _Clock, rates: tuple[float, float], random: np.random.Generator
) -> tuple[list[_Pod], list[Floats]]:
    """Each pod's samples; and the users' errors until each measurement, in order, and at the end."""
    runs, pods = clock.ends.shape[0], _pods(gate)
    count = math.ceil((_longest(gate, chain) + chain.lead) / chain.scrape_interval) + 2
    scrapes = np.arange(count) * chain.scrape_interval - chain.lead - chain.scrape_interval
    # A phase per pod; timestamps are whole milliseconds.
    times = [np.round(scrapes + random.uniform(0, chain.scrape_interval, (runs, 1)), 3) for _ in range(pods[-1])]
    marks = [*clock.measured.values(), *clock.beside, clock.ends]
    edges = np.concatenate([clock.weights, *times, np.stack(marks, axis=-1)], axis=-1)
    order = np.argsort(edges, axis=-1, kind="stable")
    where = np.argsort(order, axis=-1, kind="stable")
    # The step in force in the interval that ends at each edge: -1 before the first.
    begun = np.cumsum(order < len(gate.steps), axis=-1) - 1 - (order < len(gate.steps))
    arrived = _arrivals(np.take_along_axis(edges, order, axis=-1), chain, random)
    weights, active = np.array([0.0, *(step.weight / 100 for step in gate.steps)]), np.array([1, *pods])
    canary = random.binomial(arrived, weights[begun + 1])
    failures = np.zeros(edges.shape)
    found = []
    for number, moments in enumerate(times):
        left = active[begun + 1] - number
        mine = np.where(left > 0, random.binomial(canary, 1.0 / np.maximum(left, 1)), 0)
        canary = canary - mine
        errors = random.binomial(mine, rates[0])
        slow = [random.binomial(each, rates[1]) for each in (mine - errors, errors)]
        at = where[:, len(gate.steps) + number * count : len(gate.steps) + (number + 1) * count]
        first = next(index for index, each in enumerate(pods) if each > number)
        ready = clock.weights[:, first : first + 1] - random.uniform(0, chain.lead, (runs, 1))
        counters = [
            np.take_along_axis(np.cumsum(each, axis=-1), at, axis=-1).astype(np.float64)
            for each in (mine - errors - slow[0], slow[0], errors - slow[1], slow[1])
        ]
        found.append(
            _Pod(times=moments, there=moments >= ready, good_fast=counters[0], good_slow=counters[1], error_fast=counters[2],
                 error_slow=counters[3])
        )  # fmt: skip
        failures += np.cumsum(errors, axis=-1)
    at_marks = np.take_along_axis(failures, where[:, -len(marks) :], axis=-1)
    return found, [at_marks[:, index] for index in range(len(marks))]


def _arrivals(edges: Floats, chain: Chain, random: np.random.Generator) -> NDArray[np.int64]:
    """How many requests arrive in the interval that ends at each edge (ascending; none before the first)."""
    if chain.poisson:
        return random.poisson(np.diff(edges, axis=-1, prepend=edges[:, :1]) * chain.rps)
    turns = (edges - edges[:, :1]) * chain.rps + random.uniform(0, 1, (len(edges), 1))
    turn = np.floor(turns)
    # One moment per turn, also when several edges fall into it.
    fresh = np.concatenate([np.ones((len(edges), 1), dtype=bool), np.diff(turn, axis=-1) > 0], axis=-1)
    own = np.maximum.accumulate(np.where(fresh, np.arange(edges.shape[-1]), 0), axis=-1)
    moment = np.take_along_axis(random.uniform(0, 1, edges.shape), own, axis=-1)
    counted_until = turn + (moment < turns - turn)
    return np.diff(counted_until, axis=-1, prepend=counted_until[:, :1]).astype(np.int64)
