"""How few requests are too few: never by chance alone, and never fewer than that takes."""

from __future__ import annotations

import pytest
from scipy import stats

from harness.thin import RARE, fewest_of_an_outage, fewest_requests

EXPECTED = [0.05, 0.5, 3, 15, 30, 48, 80, 99.9, 100, 180, 499, 500, 501, 1000, 1e7]
SEEN = {5: 0.6, 10: 0.8, 60: 58 / 60}
"""The part of a window of so many seconds that is sure to be counted: all but two."""


@pytest.mark.parametrize("expected", EXPECTED)
@pytest.mark.parametrize("window", SEEN)
def test_chance_alone_leaves_no_window_too_thin(expected: float, window: float) -> None:
    least = fewest_requests(expected, window)
    # A window with nothing in it is too thin whatever chance says. The normal distribution is a little off.
    assert stats.poisson.cdf(least - 1, expected * SEEN[window]) <= 1.2 * RARE or least == 1


@pytest.mark.parametrize("expected", EXPECTED)
@pytest.mark.parametrize("window", SEEN)
def test_whoever_loses_half_of_the_traffic_is_seen_as_soon_as_chance_allows(expected: float, window: float) -> None:
    least = fewest_requests(expected, window)
    one_more = stats.poisson.cdf(least + 1, expected * SEEN[window])
    assert least == expected // 2 or one_more > 0.5 * RARE


@pytest.mark.parametrize(
    ("expected", "window", "least"),
    [(300, 60, 150), (80, 8, 30), (48, 8, 14), (20, 10, 2), (2.5, 5, 1), (500, 5, 229), (100, 1, 1)],
)
def test_figures(expected: float, window: float, least: int) -> None:
    assert fewest_requests(expected, window) == least


def test_slow_answers_are_counted_later() -> None:
    assert [fewest_requests(100, 10, answer_seconds=seconds) for seconds in (0, 3, 9)] == [45, 23, 1]


def test_a_candidate_that_comes_and_goes_is_held_to_next_to_nothing() -> None:
    assert (fewest_of_an_outage(300), fewest_of_an_outage(10)) == (6, 1)
