"""PURE: P(rollback) of a gate whose metrics bear failures, or that has an analysis in the background; as exactly as exact.py.

By dynamic programming over what is counted: the state is every metric's tally (failed, inconclusive, successful in a row), and
each moment moves the probability of each state on. Assumed beyond what exact.py assumes:

- measurements at different moments see different requests. Where their windows overlap that is not so, and then failures come
  together: more of them than computed happen in few releases. The simulation does without this.
- measurements at one moment with one window see the same requests: the same n, and the same x (or y) for all that look at errors
  (or latency). A metric with the lower limit then fails whenever the one with the higher limit does.
- a measurement that finds no samples because the canary has had no request is what the condition makes of it.
- a metric whose row of successes is complete is not measured any more, and its step ends with the last of its metrics. A later
  window that reaches back beyond its own step takes the step before for as long as it can last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.oc.gate import ERROR, FAILS, INCONCLUSIVE, PASSES, Cause, Gate, GateMetric, Integers, most_bad
from harness.oc.query import Floats, Unreadable, Value
from harness.oc.result import Characteristic
from harness.oc.timeline import DONE, LOST, START, Event, Part, Taken, Tally, count, parts
from harness.oc.traffic import Segment, is_blind, requests_in, seen

STATES_AT_MOST = 20_000
_KINDS = 4
"""Of outcomes: a base in which those of several metrics are one number."""
_State = tuple[Tally, ...]
_Masses = dict[_State, Floats]


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What a measurement can find: n and its probability, and for each n what each metric makes of it.

    `fixed` are outcomes that only n decides, by the metric's place in its event; `errors` and `slow` the (place, most that pass,
    most that are no failure) of metrics that look at either.
    """

    numbers: Floats
    probabilities: Floats
    fixed: tuple[tuple[int, Integers], ...]
    errors: tuple[tuple[int, Floats, Floats], ...]
    slow: tuple[tuple[int, Floats, Floats], ...]
    blind: bool


def looks(gate: Gate, rps: float, kind: str) -> tuple[tuple[Look, ...], ...]:
    """For each step and each of its events what can be found, whatever the version is.

    Raises:
        Unreadable: a metric's condition is not one limit.

    """
    made: dict[tuple[tuple[Segment, ...], float, tuple[int, ...]], Look] = {}

    def look(event: Event) -> Look:
        past = tuple(seen(gate, event.step, event.since, event.window))
        metrics = tuple(each.metric for each in event.taken)
        key = past, event.window, tuple(map(id, metrics))
        if key not in made:
            made[key] = _look(metrics, past, event.window, rps, kind)
        return made[key]

    return tuple(tuple(look(event) for event in part.events) for part in parts(gate))


def _look(metrics: tuple[GateMetric, ...], past: tuple[Segment, ...], window: float, rps: float, kind: str) -> Look:
    found, blind = requests_in(past, rps, kind), is_blind(past)
    n, none = found.numbers, np.zeros_like(found.numbers)
    fixed, by = [], {Cause.ERRORS: [], Cause.LATENCY: []}  # type: ignore[var-annotated]
    for place, metric in enumerate(metrics):
        if blind and metric.retries is not None and not metric.query.evaluate(_Nothing(window)).present[0]:
            fixed.append((place, np.full(n.shape, ERROR)))
        elif blind or metric.cause is Cause.TRAFFIC:
            passes, bears = (of(n, none, window=window, blind=blind) for of in (metric.passes, metric.bears))
            fixed.append((place, np.where(passes, PASSES, np.where(bears, INCONCLUSIVE, FAILS))))
        else:
            passing = most_bad((metric,), n, window=window)
            borne = passing if metric.tolerated is None else most_bad((metric,), n, window=window, bearing=True)
            by[metric.cause].append((place, passing, borne))
    return Look(
        numbers=n, probabilities=found.probabilities, fixed=tuple(fixed), errors=tuple(by[Cause.ERRORS]),
        slow=tuple(by[Cause.LATENCY]), blind=blind,
    )  # fmt: skip


@dataclass(frozen=True)
class _Nothing:
    """No samples at all."""

    window: float

    def increase(self, what: object, *, extrapolated: bool) -> Value:  # noqa: ARG002 -- nothing to choose from
        return Value(np.zeros(1), np.zeros(1, dtype=bool))

    def latest(self, what: object, *, reach: float) -> Value:  # noqa: ARG002
        return self.increase(what, extrapolated=True)


_Chances = list[tuple[tuple[int, ...], Floats]]


def _chances(look: Look, metrics: int, p: Floats, s: Floats) -> _Chances:
    """(each metric's outcome, its probability for each version), of all that can come together."""
    found: dict[int, Floats] = {}
    n = look.numbers
    fixed = sum((outcome * _KINDS**place for place, outcome in look.fixed), start=np.zeros(n.shape, dtype=np.int64))
    for by_errors, among_errors in _bands(look.errors, n, p):
        for by_speed, among_slow in _bands(look.slow, n, s):
            codes = fixed + by_errors + by_speed
            chance = among_errors * among_slow * look.probabilities
            for code in np.unique(codes):
                found[int(code)] = found.get(int(code), 0.0) + chance[:, codes == code].sum(axis=1)
    return [(tuple(code // _KINDS**place % _KINDS for place in range(metrics)), chance) for code, chance in found.items()]


def _bands(metrics: Sequence[tuple[int, Floats, Floats]], n: Floats, rates: Floats) -> Iterator[tuple[Integers, Floats]]:
    """(code of the outcomes at each n, probability for each rate and n) between any two limits of these metrics."""
    rows = [row for _, passing, borne in metrics for row in ((passing,) if passing is borne else (passing, borne))]
    before: Floats = np.zeros((len(rates), len(n)))
    edges = np.sort(np.array(rows), axis=0) if rows else np.zeros((0, len(n)))
    for bad in (*edges, None):
        until = np.ones_like(before) if bad is None else at_most(bad, n, rates)
        highest = (edges[-1] if len(edges) else np.zeros_like(n)) + 1 if bad is None else bad
        code = np.zeros(n.shape, dtype=np.int64)
        for place, passing, borne in metrics:
            outcome = np.where(highest <= passing, PASSES, np.where(highest <= borne, INCONCLUSIVE, FAILS))
            code += outcome * _KINDS**place
        yield code, np.maximum(until - before, 0.0)
        before = until


def at_most(most: Floats, n: Floats, rates: Floats) -> Floats:
    """P(Binomial(n, rate) <= most), one row per rate. Where all or nothing passes it is 1 or 0, and not computed."""
    found = np.broadcast_to(np.where(most < 0, 0.0, 1.0), (len(rates), len(n))).copy()
    open_ = (most >= 0) & (most < n)
    if open_.any():
        found[:, open_] = stats.binom.cdf(most[open_], n[open_], rates[:, None])
    return found


class _Walk:
    """The probability of each state, moved through the steps."""

    def __init__(self, gate: Gate, rps: float, p: Floats, s: Floats) -> None:
        self._gate, self._rps, self._p, self._s = gate, rps, p, s
        self._known: dict[tuple[int, int], _Chances] = {}
        beside = len(gate.background.metrics) if gate.background else 0
        self.live: _Masses = {(START,) * beside: np.ones(p.shape)}
        self.by_step = np.zeros((len(gate.steps), *p.shape))
        self.by_cause = {cause: np.zeros(p.shape) for cause in Cause}
        self.seconds, self.failed = np.zeros(p.shape), np.zeros(p.shape)

    def step(self, index: int, part: Part, seen_there: tuple[Look, ...]) -> None:
        """One step: wait, measure, and go on with those that are not lost."""
        now, ends = self._gate.beginnings[index : index + 2]
        own = (START,) * (part.slots - part.first)
        live = {(*state, *own): mass for state, mass in self.live.items()}
        passed: _Masses = {}
        for event, look in zip(part.events, seen_there, strict=True):
            if event.time > now:
                live = self._leave(live, passed, part) if part.early else live
                now = self._wait(index, live, now, event.time)
            live = self._measure(index, live, event, look)
        self._wait(index, self._leave(live, passed, part) if part.early else live, now, ends)
        for state, mass in live.items():
            kept = state[: part.first]
            passed[kept] = passed[kept] + mass if kept in passed else mass
        self.live = passed

    def _wait(self, index: int, live: _Masses, now: float, until: float) -> float:
        reached: Floats = sum(live.values(), start=np.zeros(self._p.shape))
        self.seconds += reached * (until - now)
        self.failed += reached * (until - now) * self._rps * self._gate.steps[index].weight / 100 * self._p
        return until

    @staticmethod
    def _leave(live: _Masses, passed: _Masses, part: Part) -> _Masses:
        """Those whose metrics are all decided go on to the next step at once."""
        left: _Masses = {}
        for state, mass in live.items():
            if all(tally == DONE for tally in state[part.first :]):
                kept = state[: part.first]
                passed[kept] = passed[kept] + mass if kept in passed else mass
            else:
                left[state] = mass
        live.clear()
        live.update(left)
        return live

    def _measure(self, index: int, live: _Masses, event: Event, look: Look) -> _Masses:
        key = id(look), len(event.taken)
        if key not in self._known:
            self._known[key] = _chances(look, len(event.taken), self._p, self._s)
        following: _Masses = {}
        for state, mass in live.items():
            for outcomes, chance in self._known[key]:
                moved = mass * chance
                if not moved.any():
                    continue
                after, cause = _after(state, event.taken, outcomes)
                if cause is not None:
                    cause = Cause.TRAFFIC if look.blind else cause
                    self.by_step[index] += moved
                    self.by_cause[cause] += moved
                elif after in following:
                    following[after] = following[after] + moved
                else:
                    following[after] = moved
        if len(following) > STATES_AT_MOST:
            raise Unreadable("its metrics can be counted in too many ways together: leave some out with --without")
        return following


def _after(state: _State, taken: tuple[Taken, ...], outcomes: tuple[int, ...]) -> tuple[_State, Cause | None]:
    """The tallies after one moment, and what the release is lost for, if it is: lack of traffic first, then errors."""
    found, lost = list(state), []
    for each, outcome in zip(taken, outcomes, strict=True):
        found[each.slot] = count(each.metric.limits, state[each.slot], outcome, last=each.last)
        if found[each.slot] == LOST:
            lost.append(each.metric.cause)
    return tuple(found), min(lost, key=list(Cause).index, default=None)


def characteristic(gate: Gate, rps: float, found: tuple[tuple[Look, ...], ...], p: Floats, s: Floats) -> Characteristic:
    """The same as exact.characteristic, for any gate."""
    walk = _Walk(gate, rps, p, s)
    for index, (part, seen_there) in enumerate(zip(parts(gate), found, strict=True)):
        walk.step(index, part, seen_there)
    return Characteristic(
        rollback=np.minimum(walk.by_step.sum(axis=0), 1.0), by_step=walk.by_step, by_cause=walk.by_cause, seconds=walk.seconds,
        failed=walk.failed,
    )  # fmt: skip
