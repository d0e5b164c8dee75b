"""How few requests a window may hold before a gate's decision on it counts for nothing. PURE: no I/O."""

from __future__ import annotations

import math

SHARE = 0.5
"""Of the requests that are expected. Half, because load that runs as asked never falls there: the count is nearly Poisson with
mean m, so half lies sqrt(m)/2 standard deviations below (8.7 at the default m = 300), while a gateway, a load generator or a
scrape that lost half of the traffic is seen."""

OUTAGE_SHARE = 0.02
"""The same for a candidate whose pods come and go: most of its traffic is taken away meanwhile, by design."""

MANY = 500.0
"""Expected requests from which on chance never takes half of them away."""

RARE = 5e-7
"""What does not happen by chance: once in two million windows."""

UNSEEN_SECONDS = 2.0
"""What a window's count may lack: traffic that came late, answers under way, the time since the last scrape."""


def fewest_requests(expected: float, window_seconds: float, *, comes_and_goes: bool = False) -> int:
    """The fewest requests that a window may hold of which `expected` are expected: half, or less where chance alone goes lower.

    It does in one window of 700 at 40 requests, so there it is the quantile RARE of a Poisson distribution, over the part of the
    window that is sure to be seen. At least 1: of nothing, nothing follows.
    """
    if comes_and_goes:
        return max(1, math.floor(OUTAGE_SHARE * expected))
    half = math.floor(SHARE * expected)
    seen = expected * max(0.0, 1 - UNSEEN_SECONDS / window_seconds)
    return max(1, half if expected >= MANY else min(half, _poisson_quantile(RARE, seen)))


def _poisson_quantile(p: float, mean: float) -> int:
    """The smallest k with P(X <= k) > p; by summing up, which takes k steps and no scipy (half a second to import)."""
    k, term = 0, math.exp(-mean)
    total = term
    while total <= p:
        k += 1
        term *= mean / k
        total += term
    return k
