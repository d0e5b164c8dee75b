"""Scenarios: what is expected of which release, and what cannot be released at all."""

from __future__ import annotations

import math
from typing import Any

import pytest

from harness.errors import EXIT_USAGE, UsageError
from harness.scenario import Decision, Objective, Scenario, failure, success


@pytest.mark.parametrize(
    ("options", "rate", "latency", "deciding"),
    [
        ({}, 5, 0, {"success-rate", "error-rate"}),
        ({"error_rate": 2.5}, 2.5, 0, {"success-rate", "error-rate"}),
        ({"error_rate": 0}, 0, 0, {"success-rate", "error-rate"}),
        ({"latency_ms": 500}, 0, 500, {"latency-p95"}),
        ({"error_rate": 1, "latency_ms": 500}, 1, 500, {"success-rate", "error-rate", "latency-p95"}),
    ],
)
def test_failure_expects_a_rollback_by_the_metrics_of_its_faults(
    options: dict[str, float], rate: float, latency: float, deciding: set[str]
) -> None:
    scenario = failure(**options)
    assert scenario.expect is Decision.ROLLBACK
    assert (scenario.error_rate_percent, scenario.latency_ms, scenario.deciding_metrics) == (rate, latency, deciding)
    assert scenario.final_version == "v1.0"


def test_success_expects_a_promotion() -> None:
    scenario = success()
    assert (scenario.expect, scenario.error_rate_percent, scenario.final_version) == (Decision.PROMOTE, 0, "v1.1")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, 100.1])
def test_bad_error_rates(bad: float) -> None:
    with pytest.raises(UsageError, match=r"^error rate is .*: give a number of percent from 0 to 100$") as caught:
        failure(error_rate=bad)
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latency_ms": -1}, "latency is -1"),
        ({"latency_ms": math.nan}, "latency is nan"),
        ({"window_seconds": 4.9}, "window is 4.9"),
        ({"window_seconds": math.nan}, "window is nan"),
        ({"window_seconds": math.inf}, "window is inf"),
        ({"rps": 0}, "rps is 0"),
        ({"rps": -5}, "rps is -5"),
        ({"rps": math.nan}, "rps is nan"),
        ({"rps": math.inf}, "rps is inf"),
        ({"steps": ()}, "steps are"),
        ({"steps": (30, 10)}, "steps are"),
        ({"steps": (10, 10)}, "steps are"),
        ({"steps": (0, 10)}, "steps are"),
        ({"steps": (10, 100)}, "steps are"),
    ],
)
def test_what_cannot_be_released_is_said_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        failure(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidate": "v1.0"}, "could not be told apart"),
        ({"expect": Decision.ROLLBACK}, "names no metric"),
        ({"expect": Decision.ROLLBACK, "deciding_metrics": frozenset({"cpu"})}, "unknown metrics decide: cpu"),
        ({"safe_within_seconds": -1}, "safe-within limit is -1"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Scenario(**({"name": "x", "expect": Decision.PROMOTE} | options))


def test_bounds_are_inclusive() -> None:
    assert failure(error_rate=100, window_seconds=5).error_rate_percent == 100


@pytest.mark.parametrize(
    ("rps", "window", "expected", "least"),
    [(50, 60, 300, 150), (5, 5, 2.5, 1), (0.1, 5, 0.05, 1), (20, 10, 20, 2), (60, 8, 48, 14), (200, 60, 1200, 600)],
)
def test_expected_and_least_requests(rps: float, window: float, expected: float, least: int) -> None:
    scenario = success(rps=rps, window_seconds=window)
    assert scenario.expected_requests(0) == pytest.approx(expected)
    assert scenario.expected_requests(2) == pytest.approx(6 * expected)
    assert scenario.min_requests == least


def test_what_a_gate_may_be_blind_to_leaves_no_window_too_thin() -> None:
    assert failure(error_rate=40, rps=200).min_requests == 600
    for kind in ("hang", "reset"):
        assert failure(fault=kind, settings={f"{kind}_rate": 40}, rps=200).min_requests == 360


@pytest.mark.parametrize(
    ("objective", "value", "met"),
    [
        (Objective(at_least=0.99), 0.99, True),
        (Objective(at_least=0.99), 0.98999, False),
        (Objective(below=0.01), 0.01, False),
        (Objective(below=0.01), 0.0099, True),
        (Objective(at_least=0.99), math.nan, False),
        (Objective(below=0.01), math.nan, False),
        (Objective(), 1.0, False),
    ],
)
def test_objectives_at_their_bounds(objective: Objective, value: float, met: bool) -> None:
    assert objective.met_by(value) is met


@pytest.mark.parametrize(
    ("options", "due"),
    [
        ({"error_rate": 0.5}, Decision.PROMOTE),
        ({"error_rate": 1}, Decision.ROLLBACK),
        ({"latency_ms": 300}, Decision.PROMOTE),
        ({"latency_ms": 301}, Decision.ROLLBACK),
        ({"fault": "crash"}, Decision.ROLLBACK),
        ({"fault": "slow-start"}, Decision.ROLLBACK),
        ({"fault": "memory"}, Decision.PROMOTE),
    ],
)
def test_what_is_due_follows_from_the_objectives(options: dict[str, Any], due: Decision) -> None:
    assert failure(**options).as_it_is_due().expect is due
