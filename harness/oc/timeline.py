"""PURE: all measurements of a gate in the order in which they are taken, and what counted failures make of a metric.

A measurement of the background that is due at the very moment when the last step ends is not taken: the controller measures a
little later than due, each time after the one before, and ends the analysis with the steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.oc.gate import ERROR, FAILS, INCONCLUSIVE, PASSES, Gate, GateMetric, Limits

LOST = "lost"
"""What a metric ends with that was not promoted."""
DONE = "done"
Tally = tuple[int, int, int] | str
"""Failed, inconclusive, and successful in a row; or LOST or DONE."""
START: Tally = (0, 0, 0)
_DIGITS = 6
"""Of a second, to which moments are told apart."""


def count(limits: Limits, tally: Tally, outcome: int, *, last: bool) -> Tally:
    """A metric's tally after one more measurement; `last`: its count is reached.

    The controller's rules (analysis/analysis.go, assessMetricStatus); an outcome that is an Error is one that stays an Error when
    it is taken again. A metric that is decided is not measured any more.
    """
    if isinstance(tally, str):
        return tally
    failed, inconclusive, successes = tally
    failed += outcome == FAILS
    inconclusive += outcome == INCONCLUSIVE
    successes = min(successes + 1, limits.successes) if outcome == PASSES else 0
    if outcome == ERROR or failed > limits.failures >= 0 or inconclusive > limits.inconclusive:
        return LOST
    if 0 < limits.successes <= successes:
        return DONE
    if last:
        return LOST if limits.successes else DONE
    return (failed if limits.failures >= 0 else 0), inconclusive, successes


@dataclass(frozen=True)
class Taken:
    """One metric at one moment. `slot`: its place among those that are counted; `last`: by its count, it is the last time."""

    slot: int
    metric: GateMetric
    last: bool


@dataclass(frozen=True, kw_only=True)
class Event:
    """Metrics that look at the same requests. Seconds from the first weight (`time`), and from the weight in force (`since`)."""

    step: int
    time: float
    since: float
    window: float
    taken: tuple[Taken, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A step with all that is measured during it. Its own metrics have the slots from `first` on, `slots` in all.

    `early`: it ends as soon as all of its own metrics are decided.
    """

    first: int
    slots: int
    early: bool
    events: tuple[Event, ...]


def parts(gate: Gate) -> tuple[Part, ...]:
    """One for each step. Raises Unreadable when the background is measured too often."""
    beside = _beside(gate)
    names = [each.metric.name for each in gate.background.metrics] if gate.background else []
    found = []
    for index, step in enumerate(gate.steps):
        begins, ends = gate.beginnings[index], gate.beginnings[index + 1]
        taken: dict[tuple[float, float], list[Taken]] = {}
        own: dict[str, int] = {}
        left = {metric.name: 0 for each in step.measurements for metric in each.metrics}
        for each in step.measurements:
            for metric in each.metrics:
                left[metric.name] += 1
        for each in step.measurements:
            group = taken.setdefault((round(begins + step.pause + each.at, _DIGITS), each.window), [])
            for metric in each.metrics:
                slot = own.setdefault(metric.name, len(names) + len(own))
                left[metric.name] -= 1
                group.append(Taken(slot, metric, left[metric.name] == 0))
        for time, window, one in beside if gate.background and index >= gate.background.step else ():
            # What is due when a step ends belongs to it: it may look at the same requests as the step's last measurement.
            after = round(begins, _DIGITS) < time or (gate.background and index == gate.background.step)
            if after and (time <= round(ends, _DIGITS) or index == len(gate.steps) - 1):
                taken.setdefault((time, window), []).append(one)
        events = tuple(
            Event(step=index, time=time, since=time - begins, window=window, taken=tuple(each))
            for (time, window), each in sorted(taken.items(), key=lambda item: item[0])
        )
        early = any(metric.limits.successes for each in step.measurements for metric in each.metrics)
        found.append(Part(first=len(names), slots=len(names) + len(own), early=early, events=events))
    return tuple(found)


def _beside(gate: Gate) -> list[tuple[float, float, Taken]]:
    """(time, window, what is taken) of the analysis in the background, unordered."""
    if gate.background is None:
        return []
    begins, end = gate.beginnings[gate.background.step] + gate.background.after, gate.beginnings[-1]
    return [
        (round(begins + moment, _DIGITS), each.window, Taken(slot, each.metric, index + 1 == each.metric.count))
        for slot, each in enumerate(gate.background.metrics)
        for index, moment in enumerate(each.moments(end - begins))
    ]
