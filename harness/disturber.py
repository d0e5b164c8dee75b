"""Carries out the disturbances of one release, each when the canary's weight gets there, and tells what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harness.disturbances import LOAD, Disturbance
from harness.errors import UsageError
from harness.load import Load
from harness.observation.facts import Disturbed
from harness.platforms import Hand, Platform, Say

BACK_SECONDS = 30.0
"""How much longer than its time away a part may take to be ready again; what is not back then is judged so."""
NEVER = "the release was decided before it got there"


def hand_for(wanted: Sequence[Disturbance], platform: Platform) -> Hand | None:
    """What breaks parts of this platform on purpose, None where nothing is to be broken.

    Raises UsageError where nobody may break anything.
    """
    if not any(each.kind.components for each in wanted):
        return None
    hand = platform.hand()
    if hand is None:
        raise UsageError(f"disturb: nobody may kill parts of the platform {platform.name}; on the local one the harness may")
    return hand


@dataclass(kw_only=True)
class Disturber:
    """Looks at the weight from time to time, and breaks what is due."""

    wanted: Sequence[Disturbance]
    platform: Platform
    load: Load
    say: Say
    hand: Hand | None = field(init=False)
    clock: Callable[[], float] = time.monotonic
    _since: dict[int, float] = field(default_factory=dict)
    """When each weight was first seen."""
    _given: dict[tuple[Disturbance, int], tuple[str, float]] = field(default_factory=dict)
    """What was ordered: its key with the platform, and the moment by which it must be back."""

    def __post_init__(self) -> None:
        """Find the hand. Raises UsageError as `hand_for` does."""
        self.hand = hand_for(self.wanted, self.platform)

    @property
    def longest(self) -> float:
        """How many seconds may pass from now at the most until all is back."""
        return max((limit - self.clock() for _, limit in self._given.values()), default=0.0)

    def tick(self, weight: int | None) -> None:
        """Order what is due at this canary weight, in percent, and was not ordered before."""
        if not weight or weight == 100:
            return
        now = self.clock()
        since = self._since.setdefault(weight, now)
        for each in self.wanted:
            at = each.weight if each.weight is not None else weight
            if at == weight and (each, weight) not in self._given and now - since >= each.kind.delay_seconds:
                self._given[each, weight] = self._order(each), self._limit(now, each)
                self.say(f"disturbance: {each.kind.name} killed at {weight} %")

    def _limit(self, now: float, each: Disturbance) -> float:
        # Orders are carried out one after the other, so this one may have to wait for the last.
        begins = max((now, *(limit for _, limit in self._given.values())))
        return begins + each.seconds + BACK_SECONDS

    def _order(self, each: Disturbance) -> str:
        if each.kind.name == LOAD:
            self.load.kill()
        if not each.kind.components or self.hand is None:
            return ""
        return self.hand.disturb(each.kind.components, seconds=each.seconds, empty=each.kind.empty)

    def settled(self) -> bool:
        """Whether everything is back, or will not be."""
        return not any(self._away(key) and self.clock() < limit for key, limit in self._given.values())

    def _away(self, key: str) -> bool:
        if not key or self.hand is None:
            return False
        found = self.hand.downtime(key)
        return found is None or (found.up_at is None and not found.problem)

    def told(self) -> tuple[Disturbed, ...]:
        """What became of each, in the order of time; what never came about is among them."""
        found = []
        for (each, weight), (key, _) in self._given.items():
            fact = Disturbed(kind=each.kind.name, at_weight=weight, problem="nobody carried it out")
            if (seen := self.hand.downtime(key) if self.hand else None) is not None:
                fact = replace(fact, down_at=seen.down_at, up_at=seen.up_at, problem=seen.problem)
            found.append(fact)
        done = {each for each, _ in self._given}
        found += [Disturbed(kind=each.kind.name, at_weight=each.weight or 0, problem=NEVER)
                  for each in self.wanted if each not in done]
        return tuple(sorted(found, key=lambda fact: fact.down_at or float("inf")))
