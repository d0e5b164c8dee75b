"""The rules of an AnalysisRun. That they are the controller's is tested against the controller (tests/chart)."""

from __future__ import annotations

from typing import Any

import pytest

from harness.replay.analysis import Invalid, Measurement, Metric, Outcome, metric_of, play
from harness.replay.clock import Schedule, pace
from harness.replay.judge import NotModelled, measurement, moment, phase_of

ANY = {"prometheus": {"query": "x"}}


def metric(name: str = "m", **spec: Any) -> Metric:
    return metric_of({"name": name, "provider": ANY, **spec}, dry_run=bool(spec.pop("dry", False)))


def played(*metrics: Metric, phases: dict[str, str], until: int = 100_000) -> Outcome:
    """Each letter is one measurement: Successful, Failed, Inconclusive or Error; the last one goes on for ever."""
    words = {"S": "Successful", "F": "Failed", "I": "Inconclusive", "E": "Error"}
    taken: dict[str, int] = {}

    def measure(its: Metric, at_ms: int) -> Measurement:
        at = taken[its.name] = taken.get(its.name, -1) + 1
        letters = phases[its.name]
        return Measurement(at_ms=at_ms, phase=words[letters[min(at, len(letters) - 1)]])

    return play(metrics, measure, start_ms=0, until_ms=until)


@pytest.mark.parametrize(
    ("spec", "letters", "phase", "seconds"),
    [
        ({}, "S", "Successful", 0),
        ({"initialDelay": "1m"}, "F", "Failed", 60),
        ({}, "E", "Error", 40),  # four retries of ten seconds each
        ({"consecutiveErrorLimit": 0}, "E", "Error", 0),
        ({"consecutiveErrorLimit": 1}, "ES", "Successful", 10),
        ({"count": 3, "interval": "20s"}, "SSF", "Failed", 40),
        ({"count": 3, "interval": "20s", "failureLimit": 1}, "SFS", "Successful", 40),
        ({"count": 3, "interval": "20s", "failureLimit": 1}, "FF", "Failed", 20),
        ({"count": 2, "interval": "20s"}, "SES", "Successful", 30),
        ({}, "I", "Inconclusive", 0),
        ({"count": 3, "interval": "20s", "inconclusiveLimit": 1}, "IIS", "Inconclusive", 20),
        ({"interval": "30s"}, "S", "Successful", 90),
        ({"interval": "30s"}, "SSF", "Failed", 60),
        ({"count": 5, "interval": "10s", "consecutiveSuccessLimit": 2, "failureLimit": -1}, "FSFSS", "Successful", 40),
        ({"count": 3, "interval": "10s", "consecutiveSuccessLimit": 2, "failureLimit": -1}, "FSF", "Failed", 20),
        ({"count": 4, "interval": "10s", "consecutiveSuccessLimit": 2, "failureLimit": 2}, "FSFS", "Inconclusive", 30),
    ],
)
def test_one_metric(spec: dict[str, Any], letters: str, phase: str, seconds: int) -> None:
    outcome = played(metric(**spec), phases={"m": letters})
    assert (outcome.phase, outcome.at_ms / 1000) == (phase, seconds)


def test_a_failure_ends_the_others_and_the_worst_phase_counts() -> None:
    slow = metric("slow", initialDelay="60s")
    outcome = played(slow, metric("bad"), metric("gap"), phases={"slow": "S", "bad": "F", "gap": "I"})
    assert outcome.phase == "Failed"
    assert outcome.tallies[0].measurements == []


def test_a_dry_run_counts_for_nothing() -> None:
    outcome = played(metric("dry", dry=True), metric("one"), phases={"dry": "F", "one": "S"})
    assert outcome.phase == "Successful"
    assert outcome.tallies[0].phase == "Failed"


@pytest.mark.parametrize(
    "spec",
    [
        {"count": 2}, {"failureLimit": -2}, {"failureLimit": -1}, {"consecutiveErrorLimit": -1}, {"inconclusiveLimit": -1},
        {"count": 1, "failureLimit": 2}, {"count": 1, "inconclusiveLimit": 2}, {"interval": "5 minutes"}, {"initialDelay": "x"},
        {"provider": {}}, {"provider": {"web": {}, "prometheus": {}}}, {"consecutiveSuccessLimit": -1},
    ],
)
def test_what_the_controller_refuses(spec: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        metric(**spec)


def test_an_error_of_the_condition_is_told_with_the_value() -> None:
    told = measurement({"successCondition": "result[1] > 0"}, 5, (1.0,), scalar=False)
    assert (told.phase, told.value) == ("Error", "")
    assert "[1]" in told.message


def test_a_condition_that_is_not_modelled_is_never_guessed() -> None:
    with pytest.raises(NotModelled):
        phase_of({"name": "m", "successCondition": "median(result) > 1"}, (1.0,), scalar=False)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("now()", 100_000), ("now() - duration('1m')", 40_000), ('now()+duration("5s")', 105_000), ("now( )", None),
        ("date('x')", None),
    ],
)
def test_moments_of_a_range_query(text: str, wanted: int | None) -> None:
    if wanted is None:
        with pytest.raises(NotModelled):
            moment(text, 100_000, "m")
    else:
        assert moment(text, 100_000, "m") == wanted


def test_nothing_is_waited_for_when_everything_is_measured_once_at_one_time() -> None:
    assert pace([metric("a", initialDelay="60s"), metric("b", initialDelay="60s")]).factor == 0
    assert pace([metric("a", initialDelay="60s"), metric("b")]).factor == pytest.approx(2 / 60)
    assert pace([metric(interval="10s", count=3)]).factor == pytest.approx(0.2)
    assert pace([metric(interval="1s", count=3)]).factor == 1.0


def test_a_late_query_counts_as_the_retry_that_it_is() -> None:
    its = metric(interval="60s", count=5, initialDelay="60s")
    schedule = Schedule(metric=its, start_ms=0, pace=pace([its]))
    assert [schedule.moment(real) for real in (0, 1500, 11_500, 13_500)] == [60_000, 120_000, 130_000, 190_000]
