"""When each request is sent: one even stream, shared by all users.

Locust's own `constant_throughput(rps / users)` gives every user a clock of its own, counted from the user's creation. Users
who start together then send together for ever (and staggering their first request does not help, because the wait counts
from the creation), and a user held up by a slow answer takes its share of the rate down with it. Here the users draw their
turns from one clock instead, so that the total rate does not depend on how many users there are, as long as one is free.
"""

from __future__ import annotations

import random

from .shapes import Shape

MAX_DEBT_SECONDS = 0.1
"""How far the clock may lag behind and still be caught up: enough for scheduling noise, too little for a burst after a stall."""


class Turns:
    """Hands out the moments at which requests start: exactly one in each interval in which the shape's total grows by 1.

    At a steady rate these are intervals of 1/rate seconds. The moment inside its interval is drawn from a seeded generator:
    a metronome could lock on to something else that is periodic (scrapes, round robin) and see only one side of it.
    """

    def __init__(self, shape: Shape, *, seed: int) -> None:
        self._shape = shape
        self._random = random.Random(seed)  # noqa: S311 - arrivals must be repeatable, not secret
        self._began: float | None = None
        self._due = 0.0

    def wait(self, now: float) -> float:
        """Seconds from `now` (a monotonic clock, the same at each call) until the caller's turn; the first call begins the shape.

        Turns that nobody was free to take are dropped: the achieved rate then shows the shortfall, and no burst hides it.
        """
        if self._began is None:
            self._began = now
        passed = now - self._began
        due = max(self._due, self._shape.total(passed - MAX_DEBT_SECONDS))
        self._due = due + 1
        return max(0.0, self._shape.time_of(due + self._random.random()) - passed)
