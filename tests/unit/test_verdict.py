"""Two good releases pass; after any single change to one of them, the check that is meant to notice fails."""

from __future__ import annotations

import pytest
import verdict_world as w
from verdict_cases import CASES, Case, P, R

from harness.scenario import failure
from harness.verdict import Kind, Outcome, Taken, Verdict, judge

WORLDS = {P: w.good_promote(), R: w.good_rollback()}
SLOW = w.good_rollback(w.SLOW_SCENARIO, error_every=0, latency=0.51)


def verdict_on(world: w.World) -> Verdict:
    return judge(world.scenario, world.observation())


def test_good_promote() -> None:
    verdict = verdict_on(WORLDS[P])
    assert [(check.name, check.actual) for check in verdict.failures] == []
    assert (verdict.outcome, verdict.taken, verdict.exit_code) == (Outcome.EXPECTED, Taken.PROMOTED, 0)
    assert verdict.summary == "v1.1 was promoted, as expected and for the expected reason."


@pytest.mark.parametrize("world", [WORLDS[R], SLOW], ids=["errors", "slow"])
def test_good_rollback(world: w.World) -> None:
    verdict = verdict_on(world)
    assert [(check.name, check.actual) for check in verdict.failures] == []
    assert (verdict.outcome, verdict.taken, verdict.exit_code) == (Outcome.EXPECTED, Taken.ROLLED_BACK, 0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_change_fails_its_check(case: Case) -> None:
    world = WORLDS[case.decision].clone()
    case.mutate(world)
    verdict = verdict_on(world)
    failures = {check.name: check.actual for check in verdict.failures}
    assert case.check in failures
    assert verdict.exit_code == case.code, failures
    assert verdict.summary.count("\n") == 0


def test_every_check_is_seen_failing() -> None:
    """A check that no case fails might be one that cannot fail."""
    names = {check.name for world in WORLDS.values() for check in verdict_on(world).checks}
    assert names == {case.check for case in CASES}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("", "(empty)"),
        ("RolloutAborted: Rollout aborted update to revision 2", "aborted from outside"),
        ('RolloutAborted: x: ReplicaSet "webapp" has timed out progressing.', "the progress deadline aborted the release"),
    ],
)
def test_the_true_reason_of_a_foreign_abort_is_told(message: str, reason: str) -> None:
    world = WORLDS[R].clone()
    world.rollouts[-1][1]["status"]["message"] = message
    actual = next(check.actual for check in verdict_on(world).checks if check.name == "decided by the gate")
    assert reason in actual


def test_a_run_without_a_decision_says_what_was_seen_last() -> None:
    world = WORLDS[P].clone()
    world.rollouts.pop()
    world.facts["deadline_exceeded"] = True
    actual = next(check.actual for check in verdict_on(world).checks if check.name == "decided by the gate")
    assert "deadline passed, last seen in phase Progressing" in actual


def test_check_names_are_unique() -> None:
    for world in WORLDS.values():
        names = [check.name for check in verdict_on(world).checks]
        assert len(names) == len(set(names))


def test_a_gate_that_lets_errors_pass_is_another_decision() -> None:
    """A gate without conditions promotes a version with 5 % errors; each part of the experiment was in order."""
    world = w.good_promote(w.FAILED_SCENARIO, error_every=20)
    verdict = verdict_on(world)
    failures = {check.name: check for check in verdict.failures}
    assert "decision" in failures
    assert all(check.kind is Kind.DECISION for check in failures.values()), failures
    assert (verdict.exit_code, verdict.taken) == (1, Taken.PROMOTED)


def test_failure_without_faults_exits_1_when_the_gate_promotes() -> None:
    world = w.good_promote(failure(error_rate=0, window_seconds=w.WINDOW, rps=w.RPS))
    assert verdict_on(world).exit_code == 1


def test_a_good_version_rolled_back_is_another_decision() -> None:
    """The gate aborts a healthy version on a bound of its own."""
    world = w.good_rollback(w.PROMOTED_SCENARIO, error_every=0)
    verdict = verdict_on(world)
    assert all(check.kind is Kind.DECISION for check in verdict.failures), verdict.failures
    assert (verdict.exit_code, verdict.taken) == (1, Taken.ROLLED_BACK)


def test_a_gate_that_aborts_everything_is_right_for_the_wrong_reason() -> None:
    """The expected rollback comes, but of a version without a fault, by metrics with good values."""
    world = w.good_rollback(failure(error_rate=0, window_seconds=w.WINDOW, rps=w.RPS), error_every=0)
    verdict = verdict_on(world)
    assert {check.name for check in verdict.failures} == {"deciding metric"}
    assert (verdict.exit_code, verdict.taken) == (1, Taken.ROLLED_BACK)


def test_what_an_earlier_run_left_behind_is_not_this_release() -> None:
    """The watch first saw the old Rollout of the same name on its way out."""
    world = WORLDS[P].clone()
    old = w.rollout(generation=3, current="6c6c6c6c6c", stable=w.STABLE, phase="Degraded", weight=10)
    old["metadata"]["uid"] = "old"
    world.rollouts.insert(0, (w.START - 30, old))
    world.services.insert(0, (w.START - 30, w.virtual_service(10)))
    world.runs.insert(0, w.good_rollback().runs[0])
    world.runs[0]["metadata"].update(creationTimestamp=w.stamp(w.START - 60))
    assert verdict_on(world).exit_code == 0


@pytest.mark.parametrize("late", [0.0, 0.5, 1.0])
def test_a_watch_may_be_late(late: float) -> None:
    """Weights reported after the analysis that followed them had already begun."""
    world = WORLDS[P].clone()
    world.services = [world.services[0], *((at + late, service) for at, service in world.services[1:])]
    for index, run in enumerate(world.runs):
        run["status"]["startedAt"] = w.stamp(world.services[index + 1][0] - late)
    assert verdict_on(world).exit_code == 0


def test_a_broken_experiment_beats_another_decision() -> None:
    world = w.good_promote(w.FAILED_SCENARIO, error_every=20)
    world.facts["prometheus_ok"] = False
    verdict = verdict_on(world)
    assert verdict.exit_code == 3
    assert "prometheus" in verdict.summary


def test_slow_faults_must_reach_clients() -> None:
    world = w.good_rollback(w.SLOW_SCENARIO, error_every=0, latency=0.45)
    assert "injected faults" in {check.name for check in verdict_on(world).failures}


def test_nothing_observed_is_inconclusive() -> None:
    empty = w.World(scenario=w.PROMOTED_SCENARIO)
    assert verdict_on(empty).exit_code == 3
    assert not any(check.passed for check in verdict_on(empty).checks if check.name in {"observation", "decision", "baseline"})
