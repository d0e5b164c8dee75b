"""PURE: what the measurements of one moment can find together, and with which probability, for any version."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.oc.gate import ERROR, FAILS, INCONCLUSIVE, PASSES, Cause, Gate, GateMetric, Integers, most_bad
from harness.oc.query import Floats, Value
from harness.oc.timeline import Event, parts
from harness.oc.traffic import Segment, is_blind, requests_in, seen

_KINDS = 4
"""Of outcomes: a base in which those of several metrics are one number."""


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


def chances(look: Look, p: Floats, s: Floats) -> dict[int, Floats]:
    """The probability of each code of outcomes for each version."""
    found: dict[int, Floats] = {}
    for by_errors, among_errors in zip(_bands(look.errors, look), _between(look.errors, look, p), strict=True):
        for by_speed, among_slow in zip(_bands(look.slow, look), _between(look.slow, look, s), strict=True):
            codes = _fixed(look) + by_errors + by_speed
            chance = among_errors * among_slow * look.probabilities
            for code in np.unique(codes):
                found[int(code)] = found.get(int(code), 0.0) + chance[:, codes == code].sum(axis=1)
    return found


def codes(look: Look) -> list[int]:
    """Every code of outcomes that can come, whatever the version is."""
    both = itertools.product(_bands(look.errors, look), _bands(look.slow, look))
    return sorted({int(code) for by_errors, by_speed in both for code in np.unique(_fixed(look) + by_errors + by_speed)})


def outcomes_of(code: int, metrics: int) -> tuple[int, ...]:
    """What each of so many metrics makes of a measurement, by its place."""
    return tuple(code // _KINDS**place % _KINDS for place in range(metrics))


def _fixed(look: Look) -> Integers:
    return sum((outcome * _KINDS**place for place, outcome in look.fixed), start=np.zeros(look.numbers.shape, dtype=np.int64))


_Bearing = Sequence[tuple[int, Floats, Floats]]


def _edges(metrics: _Bearing) -> list[Floats]:
    """Every limit of these metrics at each n, ascending."""
    rows = [row for _, passing, borne in metrics for row in ((passing,) if passing is borne else (passing, borne))]
    return list(np.sort(np.array(rows), axis=0)) if rows else []


def _bands(metrics: _Bearing, look: Look) -> Iterator[Integers]:
    """The code of the outcomes at each n, up to each limit and beyond the last."""
    edges = _edges(metrics)
    for highest in [*edges, edges[-1] + 1] if edges else [look.numbers]:
        code = np.zeros(look.numbers.shape, dtype=np.int64)
        for place, passing, borne in metrics:
            outcome = np.where(highest <= passing, PASSES, np.where(highest <= borne, INCONCLUSIVE, FAILS))
            code += outcome * _KINDS**place
        yield code


def _between(metrics: _Bearing, look: Look, rates: Floats) -> Iterator[Floats]:
    """The probability of each band, for each rate and n."""
    before: Floats = np.zeros((len(rates), len(look.numbers)))
    for bad in _edges(metrics):
        until = at_most(bad, look.numbers, rates)
        yield np.maximum(until - before, 0.0)
        before = until
    yield 1.0 - before


def at_most(most: Floats, n: Floats, rates: Floats) -> Floats:
    """P(Binomial(n, rate) <= most), one row per rate. Where all or nothing passes it is 1 or 0, and not computed."""
    found = np.broadcast_to(np.where(most < 0, 0.0, 1.0), (len(rates), len(n))).copy()
    open_ = (most >= 0) & (most < n)
    if open_.any():
        found[:, open_] = stats.binom.cdf(most[open_], n[open_], rates[:, None])
    return found
