"""What clients got over time: nothing is lost between buckets, and each request is where it belongs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import verdict_world as w
from hypothesis import given
from hypothesis import strategies as st
from report_worlds import WORLDS, report

from harness.report.blast import Exposure
from harness.report.series import MAX_BUCKETS, percentile, readable_bucket, series_of


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("bucket", [1, 5])
def test_every_request_is_in_one_bucket(name: str, bucket: int) -> None:
    seen = report(name).observation
    series = series_of(seen, bucket_seconds=bucket)
    assert sum(series.total(index) for index in range(len(series))) == len(seen.responses)
    groups = (series.stable, series.candidate, series.nobody)
    assert sum(sum(group.failed) for group in groups) == sum(each.failed for each in seen.responses)
    assert sum(series.candidate.requests) == report(name).canary_requests
    assert sum(series.candidate.failed) == report(name).failures_by_canary
    for group in groups:
        assert [value is None for value in group.p95_ms] == [not count for count in group.requests]


def test_buckets_begin_with_whole_ones_before_the_release() -> None:
    series = report("rollback").series
    assert (series.start, series.bucket_seconds) == (-10, 1)
    assert series.candidate.requests[:13] == (0,) * 13
    assert series.stable.requests[:13] == (50,) * 13
    assert series.middle(10) == 0.5


def test_what_neither_version_answered_is_nobodys() -> None:
    seen = report("rollback").observation
    answers = list(seen.responses)
    answers[100] = replace(answers[100], status=0, version=None, pod=None)
    series = series_of(replace(seen, responses=tuple(answers)))
    assert (sum(series.nobody.requests), sum(series.nobody.failed)) == (1, 1)


def test_a_very_long_run_has_longer_buckets() -> None:
    seen = replace(report("rollback").observation, load=None, ended_at=w.START + 10 * MAX_BUCKETS)
    series = series_of(seen)
    assert series.bucket_seconds > 1
    assert len(series) <= MAX_BUCKETS + 1
    assert sum(series.stable.requests) + sum(series.candidate.requests) == len(seen.responses)


@pytest.mark.parametrize(
    ("rps", "window", "span", "seconds"),
    [(5, 60, 200, 5), (50, 8, 30, 1), (10, 8, 30, 2), (0.01, 600, 1000, 300), (100, 60, 3600, 30)],
)
def test_buckets_for_a_plot(rps: float, window: float, span: float, seconds: int) -> None:
    assert readable_bucket(rps, window, span) == seconds


@given(st.lists(st.floats(0, 1e3), min_size=1), st.floats(0.01, 1))
def test_the_percentile_is_the_smallest_value_that_enough_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found is not None
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_failures_by_step_are_all_failures_since_the_release() -> None:
    for name in WORLDS:
        told = report(name)
        released = told.observation.release_started_at
        assert sum(row.by_candidate + row.by_stable + row.by_nobody for row in told.failures_by_step) == sum(
            each.failed for each in told.observation.responses if released <= each.started < told.observation.ended_at
        )
    rows = report("rollback").failures_by_step
    assert [row.weight for row in rows] == [0, 10, 0]
    assert (rows[0].by_candidate, rows[1].by_candidate, rows[1].by_stable) == (0, 5, 0)


def test_who_asks_often_is_hit_more_often() -> None:
    exposure = Exposure(requests=1000, failed=5)
    assert exposure.affected_share(1) == pytest.approx(0.005)
    assert exposure.affected_share(100) == pytest.approx(1 - 0.995**100)
    assert Exposure(requests=0, failed=0).affected_share(10) is None
    assert report("rollback").exposure.failed == report("rollback").failures_by_canary
    assert report("slow-start").exposure.requests == 0
