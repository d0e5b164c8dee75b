"""How few requests are too few: never by chance alone, and never fewer than that takes."""

from __future__ import annotations

import pytest
from scipy import stats

from harness.thin import RARE, UNSEEN_SECONDS, fewest_requests

WINDOW = 10.0
EXPECTED = [0.05, 0.5, 3, 15, 30, 48, 80, 99.9, 100, 180, 499, 500, 501, 1000, 1e7]


@pytest.mark.parametrize("expected", EXPECTED)
def test_chance_alone_leaves_no_window_too_thin(expected: float) -> None:
    seen = expected * (1 - UNSEEN_SECONDS / WINDOW)
    least = fewest_requests(expected, WINDOW)
    # A window with nothing in it is too thin whatever chance says.
    assert stats.poisson.cdf(least - 1, seen) <= RARE or least == 1


@pytest.mark.parametrize("expected", EXPECTED)
def test_whoever_loses_half_of_the_traffic_is_seen_as_soon_as_chance_allows(expected: float) -> None:
    seen = expected * (1 - UNSEEN_SECONDS / WINDOW)
    assert fewest_requests(expected, WINDOW) == max(1, int(min(expected // 2, stats.poisson.ppf(RARE, seen))))


def test_a_minute_of_the_default_load_is_held_to_half() -> None:
    assert fewest_requests(300, 60) == 150


def test_a_candidate_that_comes_and_goes_is_held_to_next_to_nothing() -> None:
    assert (fewest_requests(300, 60, comes_and_goes=True), fewest_requests(10, 60, comes_and_goes=True)) == (6, 1)


def test_a_window_shorter_than_what_may_be_missing_must_hold_one() -> None:
    assert fewest_requests(100, 1) == 1
