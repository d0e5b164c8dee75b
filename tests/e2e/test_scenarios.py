"""The decisions of the real gate, as the harness judges them. Short windows, seeded faults."""

from __future__ import annotations

import pytest
from e2e_support import Place, outcome, run

SHORT = ("--window", "8", "--rps", "100", "--output", "json")


def test_a_healthy_release_is_promoted_through_every_step(platform: Place) -> None:
    ended = run("success", *SHORT, place=platform)
    assert ended.code == 0, outcome(ended)
    for step, weights in enumerate(("90/10", "70/30", "40/60"), 1):
        assert ended.check(f"weight at step {step}")["actual"] == weights
        assert ended.check(f"analysis at step {step}")["actual"] == "Successful"
    for weight in (10, 30, 60):
        assert ended.check(f"client share at {weight} %")["passed"]
    assert ended.check("user requests")["actual"].startswith("0 of ")
    assert ended.check("served afterwards")["passed"]


@pytest.mark.parametrize(
    ("fault", "deciding"),
    [(("--error-rate", "5"), {"success-rate", "error-rate"}), (("--latency-ms", "500"), {"latency-p95"})],
    ids=["errors", "latency"],
)
def test_a_faulty_release_is_rolled_back_at_the_first_step_for_its_fault(
    platform: Place, fault: tuple[str, ...], deciding: set[str]
) -> None:
    ended = run("failure", *fault, *SHORT, place=platform)
    assert ended.code == 0, outcome(ended)
    assert ended.check("final weights")["passed"]
    assert ended.check("served afterwards")["passed"]
    runs = ended.report["analyses"]
    assert len(runs) == 1
    failed = {metric["name"] for metric in runs[0]["metrics"] if metric["phase"] == "Failed"}
    assert failed
    assert failed <= deciding


def test_a_gate_that_promotes_what_should_fail_is_told_out_loud(platform: Place) -> None:
    ended = run("failure", "--error-rate", "0", *SHORT, place=platform)
    assert ended.code == 1, outcome(ended)
    assert ended.check("decision")["actual"] == "promoted"
    assert "promoted" in ended.report["summary"]


def test_a_gate_that_nothing_can_pass_fails_a_healthy_release(platform: Place) -> None:
    ended = run("success", *SHORT, "--set", "slo.successRate=1.5", place=platform)
    assert ended.code == 1, outcome(ended)
    assert ended.check("decision")["actual"] == "rolled back"


def test_half_of_the_load_proves_nothing(platform: Place) -> None:
    # A closed load of four users: while the canary takes half a second, they cannot keep up the rate.
    ended = run("failure", "--latency-ms", "500", "--users", "4", *SHORT, place=platform)
    assert ended.code == 3, outcome(ended)
    assert ended.check("offered load")["passed"] is False
