"""The catalogue of faults: each can be built, injected and judged, and its sizes are what they say."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest

from harness.errors import UsageError
from harness.faults import FAULTS, Effect, delay_quantiles, share_over
from harness.release import scenario_values
from harness.scenario import Decision, failure
from harness.variants import Faults
from webapp.faults import FaultPlan, LatencyQuantiles


@pytest.mark.parametrize("kind", FAULTS)
def test_every_setting_is_one_of_the_images(kind: str) -> None:
    assert FAULTS[kind].settings.keys() <= {field.name for field in dataclasses.fields(Faults)}


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_has_a_scenario_that_says_what_is_right_and_why(kind: str) -> None:
    scenario = failure(fault=kind)
    assert scenario.expect is (Decision.ROLLBACK if FAULTS[kind].rolled_back else Decision.PROMOTE)
    assert scenario.breaks_an_objective is (FAULTS[kind].rolled_back and FAULTS[kind].effect is not Effect.NEVER_READY)
    assert scenario.fault.why


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("error", {}),
        ("hang", {"analysis": {"source": "envoy"}, "virtualService": {"timeout": "2s"}}),
        ("reset", {"analysis": {"source": "envoy"}}),
        ("crash", {"analysis": {"source": "envoy", "minRequests": 6}}),
        ("slow-start", {"rollout": {"progressDeadlineSeconds": 75, "trafficSplit": "services"}}),
        ("bad-image", {"rollout": {"progressDeadlineSeconds": 75, "trafficSplit": "services"}}),
        ("no-traffic", {"analysis": {"minRequests": 1_000_000, "windowSeconds": 60}}),
        ("prometheus-slow", {"analysis": {"consecutiveErrorLimit": 0, "prometheus": {"timeoutSeconds": 2}}}),
    ],
)
def test_a_gate_gets_what_the_fault_needs(kind: str, values: dict[str, dict[str, object]]) -> None:
    made = scenario_values(failure(fault=kind))
    for group, wanted in values.items():
        assert {key: made[group].get(key) for key in wanted} == wanted
    if kind == "error":
        assert "source" not in made["analysis"]


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({}, 0.0),
        ({"latency_ms": 500.0}, 1.0),
        ({"latency_ms": 300.0}, 0.0),
        ({"latency_ms": 200.0, "latency_jitter_ms": 190.0}, 90 / 380),
        ({"latency_p50_ms": 50.0, "latency_p90_ms": 400.0, "latency_p99_ms": 900.0}, 1 - (0.5 + 0.4 * 250 / 350)),
        ({"latency_p50_ms": 301.0, "latency_p90_ms": 301.0, "latency_p99_ms": 301.0}, 1 - 0.5 * 300 / 301),
        ({"latency_p50_ms": 1.0, "latency_p90_ms": 2.0, "latency_p99_ms": 3.0}, 0.0),
    ],
)
def test_share_over_the_objective(settings: dict[str, float], share: float) -> None:
    assert share_over(delay_quantiles(settings), 300.0) == pytest.approx(share)


@pytest.mark.parametrize("kind", ["latency", "jitter", "percentiles"])
def test_the_web_app_draws_from_the_same_distribution(kind: str) -> None:
    settings = dict(FAULTS[kind].settings)
    quantiles = None
    if "latency_p50_ms" in settings:
        quantiles = LatencyQuantiles(**{name.removeprefix("latency_"): value for name, value in settings.items()})
    plan = FaultPlan(
        latency_ms=settings.get("latency_ms", 0.0), **_jitter(settings.get("latency_jitter_ms", 0.0)), quantiles=quantiles
    )
    draws = random.Random(7)
    slow = sum(plan.latency_at(draws.random()) > 300 for _ in range(20_000)) / 20_000
    assert slow == pytest.approx(failure(fault=kind).slow_share, abs=4 * math.sqrt(0.25 / 20_000))


def _jitter(value: float) -> dict[str, float]:
    names = {field.name for field in dataclasses.fields(FaultPlan)}
    return {"jitter_ms" if "jitter_ms" in names else "latency_jitter_ms": value}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fault": "hang", "error_rate": 5}, "--fault goes without --error-rate"),
        ({"fault": "gremlin"}, "there is no such kind; choose one of error, latency"),
        ({"fault": "hang", "settings": {"error_rate": 5}}, "--fault hang has no setting error_rate: it has hang_rate"),
        ({"settings": {"hang_rate": 5}}, "--fault-setting goes with --fault"),
        ({"fault": "hang", "settings": {"hang_rate": 101}}, "hang rate is 101"),
        ({"fault": "jitter", "settings": {"latency_jitter_ms": 201}}, "the latency goes below zero"),
        ({"fault": "percentiles", "settings": {"latency_p50_ms": 401}}, "its percentiles fall"),
        ({"fault": "latency", "settings": {"latency_ms": math.inf}}, "latency is inf"),
    ],
)
def test_sizes_that_cannot_be_are_refused_in_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        failure(**options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_fault_that_the_app_cannot_count_is_measured_at_the_gateway() -> None:
    beyond = {kind for kind, fault in FAULTS.items() if fault.effect in {Effect.GATEWAY, Effect.OUTAGE}}
    assert {kind for kind in beyond if FAULTS[kind].rolled_back} == {kind for kind, f in FAULTS.items() if f.source == "envoy"}
    assert all(FAULTS[kind].gateway_statuses for kind in beyond)
