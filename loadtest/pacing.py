"""When each request is sent: one even stream, shared by all users.

Locust's own `constant_throughput(rps / users)` gives every user a clock of its own, counted from the user's creation. Users
who start together then send together for ever (and staggering their first request does not help, because the wait counts
from the creation), and a user held up by a slow answer takes its share of the rate down with it. Here the users draw their
turns from one clock instead, so that the total rate does not depend on how many users there are, as long as one is free.
"""

from __future__ import annotations

import random

MAX_DEBT_SECONDS = 0.1
"""How far the clock may lag behind and still be caught up: enough for scheduling noise, too little for a burst after a stall."""


class Turns:
    """Hands out the moments at which requests start: exactly one in each interval of 1/rate seconds.

    The moment inside its interval is drawn from a seeded generator: a metronome could lock on to something else that is
    periodic (scrapes, round robin) and see only one side of it.
    """

    def __init__(self, *, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - arrivals must be repeatable, not secret
        self._next: float | None = None

    def wait(self, now: float, rate: float) -> float:
        """Seconds from `now` (a monotonic clock, the same at each call) until the caller's turn, at `rate` turns per second.

        Turns that nobody was free to take are dropped: the achieved rate then shows the shortfall, and no burst hides it.
        """
        interval = 1.0 / rate
        start = now if self._next is None else max(self._next, now - MAX_DEBT_SECONDS)
        self._next = start + interval
        return max(0.0, start + self._random.random() * interval - now)
