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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.oc.gate import Cause, Gate, Integers
from harness.oc.looks import Look, chances, codes, looks, outcomes_of
from harness.oc.query import Floats, Unreadable
from harness.oc.result import Characteristic
from harness.oc.timeline import DONE, LOST, START, Event, Part, Taken, Tally, count, parts

STATES_AT_MOST = 20_000
_State = tuple[Tally, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Move:
    """What one event makes of each state, by its number: per code of outcomes, (from, to) of those that go on, and those lost.

    `after` is how many states there are then.
    """

    look: Look
    on: dict[int, tuple[Integers, Integers]]
    lost: dict[int, list[tuple[Cause, Integers]]]
    after: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """A step: its states at the beginning (each the one of that number at the end of the step before), and its moves.

    `done[i]` are the states before move i whose own metrics are all decided; `ends` is the number that each state has in the
    next step, and `leaves[i]` the same for `done[i]`.
    """

    part: Part
    moves: tuple[Move, ...]
    done: tuple[Integers, ...]
    leaves: tuple[Integers, ...]
    ends: Integers
    following: int


def courses(gate: Gate, rps: float, kind: str) -> tuple[Course, ...]:
    """All that does not depend on the version.

    Raises:
        Unreadable: a metric's condition is not one limit, or there are too many states.

    """
    beside = len(gate.background.metrics) if gate.background else 0
    states: list[_State] = [(START,) * beside]
    found = []
    for part, there in zip(parts(gate), looks(gate, rps, kind), strict=True):
        live = [(*state, *(START,) * (part.slots - part.first)) for state in states]
        numbers: dict[_State, int] = {}
        moves, done, leaves = [], [], []

        def leave(live: list[_State], part: Part = part, numbers: dict[_State, int] = numbers) -> tuple[Integers, Integers]:
            over = [i for i, state in enumerate(live) if part.early and all(tally == DONE for tally in state[part.first :])]
            kept = [numbers.setdefault(live[i][: part.first], len(numbers)) for i in over]
            return np.array(over, dtype=np.int64), np.array(kept, dtype=np.int64)

        for event, look in zip(part.events, there, strict=True):
            over, kept = leave(live)
            move, live = _move(live, event, look)
            moves.append(move)
            done.append(over)
            leaves.append(kept)
        ends = np.array([numbers.setdefault(state[: part.first], len(numbers)) for state in live], dtype=np.int64)
        states = list(numbers)
        found.append(
            Course(part=part, moves=tuple(moves), done=tuple(done), leaves=tuple(leaves), ends=ends, following=len(states))
        )  # fmt: skip
    return tuple(found)


def _move(live: Sequence[_State], event: Event, look: Look) -> tuple[Move, list[_State]]:
    numbers: dict[_State, int] = {}
    on, lost = {}, {}
    for code in codes(look):
        outcomes = outcomes_of(code, len(event.taken))
        going: list[tuple[int, int]] = []
        ending: dict[Cause, list[int]] = {}
        for number, state in enumerate(live):
            after, cause = _after(state, event.taken, outcomes)
            if cause is None:
                going.append((number, numbers.setdefault(after, len(numbers))))
            else:
                ending.setdefault(Cause.TRAFFIC if look.blind else cause, []).append(number)
        pairs = np.array(going, dtype=np.int64).reshape(-1, 2)
        on[code] = pairs[:, 0], pairs[:, 1]
        lost[code] = [(cause, np.array(those, dtype=np.int64)) for cause, those in ending.items()]
        if len(numbers) > STATES_AT_MOST:
            raise Unreadable("its metrics can be counted in too many ways together: leave some out with --without")
    return Move(look=look, on=on, lost=lost, after=len(numbers)), list(numbers)


def _after(state: _State, taken: tuple[Taken, ...], outcomes: tuple[int, ...]) -> tuple[_State, Cause | None]:
    """The tallies after one moment, and what the release is lost for, if it is: lack of traffic first, then errors."""
    found, lost = list(state), []
    for each, outcome in zip(taken, outcomes, strict=True):
        found[each.slot] = count(each.metric.limits, state[each.slot], outcome, last=each.last)
        if found[each.slot] == LOST:
            lost.append(each.metric.cause)
    return tuple(found), min(lost, key=list(Cause).index, default=None)


class _Walk:
    """The probability of each state, one row each, moved through the steps."""

    def __init__(self, gate: Gate, rps: float, p: Floats, s: Floats) -> None:
        self._gate, self._rps, self._p, self._s = gate, rps, p, s
        self._known: dict[int, dict[int, Floats]] = {}
        self.live: Floats = np.ones((1, *p.shape))
        self.by_step = np.zeros((len(gate.steps), *p.shape))
        self.by_cause = {cause: np.zeros(p.shape) for cause in Cause}
        self.seconds, self.failed = np.zeros(p.shape), np.zeros(p.shape)

    def step(self, index: int, course: Course) -> None:
        """One step: wait, measure, and go on with those that are not lost."""
        now, end = self._gate.beginnings[index : index + 2]
        passed = np.zeros((course.following, *self._p.shape))
        events = course.part.events
        for number, (event, move) in enumerate(zip(events, course.moves, strict=True)):
            if event.time > now:
                np.add.at(passed, course.leaves[number], self.live[course.done[number]])
                self.live[course.done[number]] = 0.0
                self._wait(index, event.time - now)
                now = event.time
            self._measure(index, move)
        if not course.part.early:
            self._wait(index, end - now)
        np.add.at(passed, course.ends, self.live)
        self.live = passed

    def _wait(self, index: int, seconds: float) -> None:
        reached: Floats = self.live.sum(axis=0)
        self.seconds += reached * seconds
        self.failed += reached * seconds * self._rps * self._gate.steps[index].weight / 100 * self._p

    def _measure(self, index: int, move: Move) -> None:
        if id(move.look) not in self._known:
            self._known[id(move.look)] = chances(move.look, self._p, self._s)
        following = np.zeros((move.after, *self._p.shape))
        for code, chance in self._known[id(move.look)].items():
            before, after = move.on[code]
            np.add.at(following, after, self.live[before] * chance)
            for cause, those in move.lost[code]:
                lost = self.live[those].sum(axis=0) * chance
                self.by_step[index] += lost
                self.by_cause[cause] += lost
        self.live = following


def characteristic(gate: Gate, rps: float, found: tuple[Course, ...], p: Floats, s: Floats) -> Characteristic:
    """The same as exact.characteristic, for any gate."""
    walk = _Walk(gate, rps, p, s)
    for index, course in enumerate(found):
        walk.step(index, course)
    return Characteristic(
        rollback=np.minimum(walk.by_step.sum(axis=0), 1.0), by_step=walk.by_step, by_cause=walk.by_cause, seconds=walk.seconds,
        failed=walk.failed,
    )  # fmt: skip
