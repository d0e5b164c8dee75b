"""Trials: what makes one valid, what they say together, and what an interrupted campaign keeps."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import verdict_world as w
from hypothesis import given
from hypothesis import strategies as st
from verdict_mutations import by_hand, starve, unshown

from harness.campaign.store import Store
from harness.campaign.throttle import FULL_PERCENT, LANE_BYTES, Sample, Throttle
from harness.campaign.trial import Trial, clopper_pearson, summarize, trial_of
from harness.errors import UsageError
from harness.verdict import judge


def trial(world: w.World) -> Trial:
    observation = world.observation()
    return trial_of(1, 7, world.scenario, observation, judge(world.scenario, observation), seconds=30.0)


def test_a_rollback_is_a_valid_trial_with_its_times() -> None:
    found = trial(w.good_rollback())
    assert (found.valid, found.rolled_back, found.step) == (True, True, 0)
    assert found.detect_seconds == pytest.approx(w.WINDOW + 1, abs=1.5)
    assert found.safe_seconds is not None
    assert 0 <= found.safe_seconds < 1
    assert found.failed_requests == 5
    assert found.canary_requests > 90


def test_a_promotion_is_as_valid_whatever_was_expected() -> None:
    healthy, missed = trial(w.good_promote()), trial(w.good_promote(w.FAILED_SCENARIO, error_every=20))
    assert (healthy.valid, healthy.rolled_back, healthy.failed_requests) == (True, False, 0)
    assert (missed.valid, missed.rolled_back) == (True, False)
    assert missed.failed_requests > 50


def test_bad_luck_is_a_part_of_the_probability() -> None:
    world = w.good_promote(w.FAILED_SCENARIO, error_every=20)
    lucky = world.clone()
    unshown(lucky)
    assert "fault shown" in {check.name for check in judge(lucky.scenario, lucky.observation()).failures}
    assert trial(lucky).why_invalid.startswith("measured outcomes")  # only because this world measured what nobody got
    lucky.facts["responses"] = tuple(
        dataclasses.replace(each, status=200, error=None) if each.status == 500 and each.at < lucky.services[2][0] else each
        for each in world.observation().responses
    )
    found = trial(lucky)
    assert "fault shown" not in found.why_invalid


@pytest.mark.parametrize(
    ("world", "mutate", "why"),
    [
        (w.good_rollback, by_hand, "decided by the gate: aborted from outside"),
        (w.good_rollback, starve, "client share at 10 %"),
        (w.good_rollback, lambda x: x.facts.update(prometheus_ok=False), "prometheus: not reachable"),
        (w.good_promote, lambda x: x.rollouts.pop(), "decided by the gate: no decision"),
    ],
)
def test_what_proves_nothing_is_no_trial(world: Any, mutate: Any, why: str) -> None:
    made = world()
    mutate(made)
    found = trial(made)
    assert not found.valid
    assert why in found.why_invalid
    assert not found.rolled_back


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # The two closed forms, (alpha/2)^(1/n) and its mirror, and a table value for 5 of 20.
    [(20, 20, 0.025 ** (1 / 20), 1.0), (0, 20, 0.0, 1 - 0.025 ** (1 / 20)), (5, 20, 0.0866, 0.4910), (0, 0, 0.0, 1.0)],
)
def test_clopper_pearson(successes: int, trials: int, low: float, high: float) -> None:
    found = clopper_pearson(successes, trials)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert math.isnan(found.share) is (trials == 0)


def test_a_campaign_in_numbers_leaves_the_invalid_out() -> None:
    back = [
        Trial(index=i, seed=i, valid=True, rolled_back=True, step=i % 2, detect_seconds=float(i), decided_seconds=float(i),
              safe_seconds=0.0, failed_requests=i, canary_requests=10)
        for i in range(1, 11)
    ]  # fmt: skip
    through = [Trial(index=20, seed=20, valid=True, decided_seconds=99.0, canary_requests=100)]
    broken = [Trial(index=30, seed=30, valid=False, why_invalid="x", rolled_back=True, failed_requests=1000)]
    summary = summarize([*back, *through, *broken], 3)
    assert (summary.rollback.successes, summary.rollback.trials, summary.invalid) == (10, 11, 1)
    assert summary.rollbacks_by_step == (5, 5, 0)
    assert summary.detect_seconds == (5.5, 9.0, 10.0)
    assert summary.failed_requests == (5.0, 9.0, 10.0)
    assert summarize(broken, 3).rollback.trials == 0


SPEC = {"scenario": "x", "rps": 50.0}
DONE = Trial(index=1, seed=1, valid=True, rolled_back=True, detect_seconds=1.5)


def test_an_interrupted_campaign_goes_on_where_it_stopped(tmp_path: Path) -> None:
    store = Store(folder=tmp_path / "campaign")
    assert store.look(SPEC) == []
    assert not (tmp_path / "campaign").exists(), "what is only looked at is not made"
    store.begin(SPEC)
    store.add(DONE)
    store.add(dataclasses.replace(DONE, index=2, valid=False, why_invalid="a dead Prometheus"))
    assert [each.index for each in Store(folder=tmp_path / "campaign").look(SPEC)] == [1, 2]


def test_a_trial_that_was_being_written_is_run_again(tmp_path: Path) -> None:
    store = Store(folder=tmp_path)
    store.begin(SPEC)
    store.add(DONE)
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write('{"index": 2, "seed"')
    assert store.look(SPEC) == [DONE]
    store.begin(SPEC)
    store.add(dataclasses.replace(DONE, index=2))
    assert [each.index for each in store.look(SPEC)] == [1, 2]


def test_another_campaigns_folder_is_refused(tmp_path: Path) -> None:
    Store(folder=tmp_path).begin(SPEC)
    with pytest.raises(UsageError, match=r"a campaign with another rps: repeat its options"):
        Store(folder=tmp_path).look({**SPEC, "rps": 10.0})
    (tmp_path / "trials.jsonl").write_text('{"what": 1}\n')
    with pytest.raises(UsageError, match=r"trials\.jsonl, line 1"):
        Store(folder=tmp_path).look(SPEC)
    (tmp_path / "campaign.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        Store(folder=tmp_path).look(SPEC)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("")
    with pytest.raises(UsageError, match="holds things that are no campaign"):
        Store(folder=other).look(SPEC)
    assert json.loads(json.dumps(SPEC)) == SPEC


def looks(throttle: Throttle, cpu: float, *, seconds: int, start: float = 0.0, available: int = 10 * LANE_BYTES) -> float:
    for second in range(seconds):
        sample = Sample(at=start + second, cpu_percent=cpu, available_bytes=available)
        throttle.look(sample, active=throttle.allowed)
    return start + seconds


def test_lanes_are_added_while_there_is_room_and_one_at_a_time() -> None:
    throttle = Throttle(most=8, cores=2)
    after = looks(throttle, 30.0, seconds=19)
    assert throttle.allowed == 3
    after = looks(throttle, 30.0, seconds=19, start=after)
    assert throttle.allowed == 4
    looks(throttle, 80.0, seconds=40, start=after)
    assert (throttle.allowed, throttle.peak) == (4, 4)
    assert throttle.reason == "CPU: 80 % of 2 cores busy with 4 lanes"


def test_lanes_are_taken_away_when_the_machine_is_full_or_a_release_starves() -> None:
    throttle = Throttle(most=8, cores=2, allowed=4)
    looks(throttle, FULL_PERCENT + 1, seconds=19)
    assert throttle.allowed == 3
    throttle.starved()
    assert (throttle.allowed, throttle.peak) == (2, 4)
    assert "fell short of its rate with 3 lanes" in throttle.reason


@pytest.mark.parametrize(
    ("most", "available", "reason"), [(2, 10 * LANE_BYTES, "the number of releases"), (8, LANE_BYTES - 1, "memory")]
)
def test_other_bounds_are_named(most: int, available: int, reason: str) -> None:
    throttle = Throttle(most=most, cores=2)
    looks(throttle, 10.0, seconds=60, available=available)
    assert throttle.allowed == 2
    assert throttle.reason.startswith(reason)


def test_lanes_that_have_no_work_are_no_sign_of_room() -> None:
    throttle = Throttle(most=8, cores=2)
    for second in range(60):
        throttle.look(Sample(at=float(second), cpu_percent=5.0, available_bytes=10 * LANE_BYTES), active=1)
    assert throttle.allowed == 2


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=200), st.integers(1, 12))
def test_the_number_of_lanes_stays_within_its_bounds(events: list[tuple[float, bool]], most: int) -> None:
    throttle = Throttle(most=most, cores=2)
    for second, (cpu, starved) in enumerate(events):
        throttle.look(Sample(at=float(second), cpu_percent=cpu, available_bytes=10 * LANE_BYTES), active=throttle.allowed)
        if starved:
            throttle.starved()
        assert 1 <= throttle.allowed <= throttle.peak <= most
