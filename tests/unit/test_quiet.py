"""After how long a row of the winner's answers the loser is called gone, and that the verdict asks for such a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import verdict_world as w
from hypothesis import given
from hypothesis import strategies as st

from harness.disturbances import parse_all
from harness.observation import parse_response
from harness.quiet import DOUBT, after_seconds, quiet_row, row_at_the_end, row_needed
from harness.scenario import Scenario, failure, success
from harness.verdict import judge


def chance_of_a_row(share: float, row: int, among: int) -> float:
    """The exact probability that a version with this share leaves `row` answers in a row to others, by the row under way."""
    under_way, seen = [1.0] + [0.0] * (row - 1), 0.0
    for _ in range(among):
        seen += under_way[-1] * (1 - share)
        under_way = [sum(under_way) * share, *(each * (1 - share) for each in under_way[:-1])]
    return seen


@given(share=st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.4, 0.9]), among=st.integers(1, 400))
def test_a_loser_that_is_still_there_is_missed_once_in_a_thousand_at_most(share: float, among: int) -> None:
    row = row_needed(share, among=among)
    if row is None:
        assert (1 - share) ** among > DOUBT
    else:
        # No more than is needed either: half as long a row would be seen by accident far more often.
        assert chance_of_a_row(share, row, among) <= DOUBT < chance_of_a_row(share, max(1, row // 2), among) or row == 1


@pytest.mark.parametrize(
    ("scenario", "row"),
    [
        (success(), 25), (failure(), 97), (failure(latency_ms=400), 97), (failure(fault="memory"), 25),
        (failure(rps=300), 150), (failure(latency_ms=500, rps=300), 300), (failure(steps=(50,), latency_ms=500), 50),
        (failure(latency_ms=600), None), (failure(fault="hang"), None), (failure(fault="crash"), None),
        (failure(fault="crash-loop"), None), (failure(rps=5), None), (success(rps=5), None), (success(rps=20), 18),
        (failure(steps=(50,)), 25), (replace(success(), disturbances=parse_all(("istiod@10",), (10, 30, 60))), None),
    ],
)  # fmt: skip
def test_a_row_is_as_long_as_the_losers_share_and_the_rate_call_for(scenario: Scenario, row: int | None) -> None:
    assert quiet_row(scenario) == row


def test_where_no_row_tells_users_are_watched_beyond_the_limit() -> None:
    assert (after_seconds(failure()), after_seconds(failure(fault="crash")), after_seconds(success())) == (7.0, 17.0, 2.0)


def test_a_row_is_counted_from_the_request_that_was_started_last() -> None:
    assert row_at_the_end([(1, "a"), (2, "b"), (4, "a"), (3, "a")], "a") == 2
    assert row_at_the_end([(1, "a"), (2, None)], "a") == row_at_the_end([], "a") == 0


def ended(world: w.World, seconds: float) -> float:
    """Cut the load so many seconds after the abort; the moment of the abort."""
    aborted = world.rollouts[-1][0]
    world.records = [each for each in world.records if each["started"] < aborted + seconds]
    return aborted


def failures(world: w.World) -> dict[str, str]:
    return {check.name: check.actual for check in judge(world.scenario, world.observation()).failures}


@pytest.mark.parametrize(("seconds", "enough"), [(6.0, True), (2.2, True), (1.5, False), (0.0, False)])
def test_the_verdict_asks_for_the_row_or_the_time(seconds: float, enough: bool) -> None:
    world = w.good_rollback()
    ended(world, seconds)
    assert ("load after the abort" not in failures(world)) is enough


def late_canary(record: dict[str, Any]) -> None:
    record.update(version="v1.1", pod=f"webapp-{w.CANDIDATE}-q")


def nobody(record: dict[str, Any]) -> None:
    record.update(version=None, pod=None, status=503, error="HTTP 503")


@pytest.mark.parametrize("loud", [late_canary, nobody])
def test_whatever_is_no_answer_of_the_winner_breaks_the_row(loud: Callable[[dict[str, Any]], None]) -> None:
    world = w.good_rollback()
    aborted = ended(world, 3.0)
    assert failures(world) == {}
    loud(next(each for each in world.records if each["started"] >= aborted + 2.0))
    assert "load after the abort" in failures(world)
    assert parse_response(world.records[-1]).version == "v1.0"


def test_a_row_that_tells_nothing_is_none_for_the_verdict_either() -> None:
    world = w.good_rollback()
    world.facts.update(silence_tells=False)
    assert failures(world) == {}
    ended(world, 4.0)
    assert "load after the abort" in failures(world)


def test_a_straggler_that_was_asked_for_before_the_row_does_not_break_it() -> None:
    world = w.good_rollback()
    aborted = ended(world, 3.0)
    first = next(each for each in world.records if each["started"] >= aborted)
    late_canary(first)
    first["at"] = aborted + 2.95
    assert "load after the abort" not in failures(world)


def test_slow_answers_thin_out_the_load_where_no_row_tells() -> None:
    world = w.good_rollback()
    world.facts.update(silence_tells=False)
    aborted = world.rollouts[-1][0]
    world.records = [each for index, each in enumerate(world.records) if each["started"] < aborted or index % 2]
    assert "load after the abort" in failures(world)
