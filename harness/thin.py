"""How few requests a window may hold before a gate's decision on it counts for nothing. PURE: no I/O."""

from __future__ import annotations

import math
from statistics import NormalDist

SHARE = 0.5
"""Of the requests that are expected. Half, because load that runs as asked never falls there: the count is nearly Poisson with
mean m, so half lies sqrt(m)/2 standard deviations below (8.7 at the default m = 300), while a gateway, a load generator or a
scrape that lost half of the traffic is seen."""

OUTAGE_SHARE = 0.02
"""The same for a candidate whose pods come and go: most of its traffic is taken away meanwhile, by design."""

LEAST_ANSWERED = 0.5
"""Where the app leaves requests without an answer, no less than this share is expected to be counted: most gates go by the
gateway, which counts them all."""

RARE = 1e-5
"""What does not happen by chance: once in a hundred thousand windows."""

MANY = 500.0
"""Requests from which on the normal distribution stands for the Poisson's: its quantile is a few requests lower."""

UNSEEN_SECONDS = 2.0
"""What a window's count may lack: traffic that came late, and the time since the last scrape."""


def fewest_requests(expected: float, window_seconds: float, *, answer_seconds: float = 0.0) -> int:
    """The fewest requests that a window may hold of which `expected` are expected: half, or less where chance alone goes lower.

    It does in one window of 700 at 40 requests, so there it is the quantile RARE of a Poisson distribution, over the part of the
    window that is sure to be seen: what takes `answer_seconds` is counted that much later. At least 1: of nothing, nothing
    follows.
    """
    seen = expected * max(0.0, 1 - (UNSEEN_SECONDS + answer_seconds) / window_seconds)
    return max(1, min(math.floor(SHARE * expected), _poisson_quantile(seen)))


def fewest_of_an_outage(expected: float) -> int:
    """The same for a candidate whose pods come and go."""
    return max(1, math.floor(OUTAGE_SHARE * expected))


def _poisson_quantile(mean: float) -> int:
    """The smallest k with P(X <= k) > RARE; without scipy, which takes half a second to import."""
    if mean >= MANY:
        return math.floor(mean + NormalDist().inv_cdf(RARE) * math.sqrt(mean))
    k, term = 0, math.exp(-mean)
    total = term
    while total <= RARE:
        k += 1
        term *= mean / k
        total += term
    return k
