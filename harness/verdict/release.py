"""Checks of the decision: was it the expected one, for the expected reason, and carried out? A failure is exit 1. PURE."""

from __future__ import annotations

from harness.observation import Observation, abort_time, failed_requests, time_to_safe, weight_steps
from harness.observation.measure import candidate_version
from harness.scenario import Decision, Scenario
from harness.verdict.decision import BY_ANALYSIS, BY_DEADLINE, decision_taken, promoted_phases
from harness.verdict.disturbed import by_disturbance
from harness.verdict.experiment import count_failures, injected
from harness.verdict.model import Check, Kind, Taken

MIN_FINAL_SAMPLES = 60
"""Requests after the end, all of which must be right: a stray share of 10 % would show with probability 1 - 0.9^60 > 0.998."""

WANTED = {Decision.PROMOTE: Taken.PROMOTED, Decision.ROLLBACK: Taken.ROLLED_BACK}


def decision_check(name: str, passed: bool | None, expected: str, actual: str, evidence: tuple[str, ...] = ()) -> Check:
    """A check of the decision."""
    return Check(name=name, kind=Kind.DECISION, passed=passed, expected=expected, actual=actual, evidence=evidence)


def decision(scenario: Scenario, observation: Observation) -> Check:
    """Promoted or rolled back, as expected."""
    taken, wanted = decision_taken(observation), WANTED[scenario.expect]
    return decision_check("decision", taken is wanted, wanted.value, taken.value)


def rollout_phase(scenario: Scenario, observation: Observation) -> Check:
    """The Rollout says so itself: Healthy without a message, or Degraded with the reason of the abort."""
    final = observation.final_state
    if scenario.expect is Decision.PROMOTE:
        phases = promoted_phases(observation)
        expected = f"{' or '.join(phases)}, no abort" if observation.interrupted else "Healthy, no message"
        silent = final is not None and (observation.interrupted or not final.message)
        passed = final is not None and final.phase in phases and silent and not final.abort
    else:
        reason = BY_DEADLINE if scenario.decided_by_deadline else BY_ANALYSIS
        expected = f"Degraded, RolloutAborted: ... {reason} ..."
        passed = (
            final is not None
            and final.phase == "Degraded"
            and final.message.startswith("RolloutAborted")
            and reason in final.message
        )
    if final is None:
        return decision_check("rollout phase", None, expected, "never seen")
    return decision_check("rollout phase", passed, expected, f"{final.phase or 'no phase'}, {final.message or 'no message'}")


def weight_at_steps(scenario: Scenario, observation: Observation) -> tuple[Check, ...]:
    """Each expected step's weight in the VirtualService, in its place."""
    changes = weight_steps(observation)
    checks = []
    for index in range(len(scenario.steps) if scenario.expect is Decision.PROMOTE else 1):
        weight = scenario.steps[index]
        seen = changes[index] if index < len(changes) else None
        checks.append(
            decision_check(
                f"weight at step {index + 1}",
                seen is not None and (seen.stable, seen.canary) == (100 - weight, weight),
                f"{100 - weight}/{weight}",
                f"{seen.stable}/{seen.canary}" if seen else "not reached",
                (f"VirtualService generation {seen.generation}",) if seen else (),
            )
        )
    return tuple(checks)


def weight_sequence(scenario: Scenario, observation: Observation) -> Check:
    """The canary's weights from beginning to end: up all steps and to 100 before the reset, or one step and back."""
    back = () if scenario.decided_by_deadline else (scenario.steps[0], 0)
    wanted = (*scenario.steps, 100, 0) if scenario.expect is Decision.PROMOTE else back
    seen = tuple(change.canary for change in weight_steps(observation))
    return decision_check("weight sequence", seen == wanted, _arrows(wanted), _arrows(seen))


def _arrows(weights: tuple[int, ...]) -> str:
    return " -> ".join(f"{weight} %" for weight in weights) or "no change"


def final_weights(_: Scenario, observation: Observation) -> Check:
    """Everything to stable again: in the VirtualService, and in what the controller believes."""
    last = observation.weight_changes[-1] if observation.weight_changes else None
    final = observation.final_state
    if last is None or final is None:
        return decision_check("final weights", None, "100/0", "never seen")
    believed = (final.stable_weight, final.canary_weight)
    return decision_check(
        "final weights",
        (last.stable, last.canary) == (100, 0) and believed == (100, 0),
        "VirtualService 100/0, Rollout 100/0",
        f"VirtualService {last.stable}/{last.canary}, Rollout {believed[0]}/{believed[1]}",
    )


def stable_revision(scenario: Scenario, observation: Observation) -> Check:
    """The revision that is stable in the end, and the image that its ReplicaSet really runs."""
    promote = scenario.expect is Decision.PROMOTE
    wanted = observation.candidate_hash if promote else observation.stable_hash
    image = observation.candidate_image if promote else observation.stable_image
    final = observation.final_state
    if final is None:
        return decision_check("stable revision", None, f"{wanted} ({image})", "never seen")
    runs = observation.images.get(final.stable_hash, "no known image")
    return decision_check(
        "stable revision",
        final.stable_hash == wanted and runs == image,
        f"{wanted} ({image})",
        f"{final.stable_hash or 'none'} ({runs})",
    )


def served_afterwards(scenario: Scenario, observation: Observation) -> Check:
    """Requests of our own after the end: every one is answered, by the right version, from the right revision."""
    samples, version = observation.final_samples, scenario.final_version
    pod_hash = observation.candidate_hash if scenario.expect is Decision.PROMOTE else observation.stable_hash
    right = sum(each.version == version and 200 <= each.status < 300 and f"-{pod_hash}-" in (each.pod or "") for each in samples)
    enough = len(samples) >= MIN_FINAL_SAMPLES
    # A candidate that was promoted and comes and goes leaves the gateway without anybody to ask, and nobody else may answer.
    away = sum(each.version is None and each.status in observation.gateway_statuses for each in samples)
    excused = away if observation.interrupted and scenario.expect is Decision.PROMOTE and right else 0
    return decision_check(
        "served afterwards",
        right + excused == len(samples) if enough else None,
        f"all of at least {MIN_FINAL_SAMPLES} answers from {version} ({pod_hash})",
        f"{right} of {len(samples)} answers from {version}",
        tuple(sorted({f"{each.version or 'no version'} from {each.pod or 'no pod'}, {each.status}" for each in samples})),
    )


def user_requests(scenario: Scenario, observation: Observation) -> Check:
    """A good release fails nobody; a bad one fails only those whom the canary answered, and they are counted."""
    is_candidate = candidate_version(observation)
    failed = [each for each in observation.responses if each.failed]
    other = [each for each in failed if not (is_candidate(each) and injected(scenario, each))]
    meanwhile = sum(by_disturbance(observation, each) for each in other)
    by_canary, others = len(failed) - len(other), len(other) - meanwhile
    # Who expects a version with a few errors to be promoted expects those errors.
    allowed = scenario.expect is Decision.ROLLBACK or observation.interrupted or scenario.error_rate_percent > 0
    expected = "failures by the injected fault only" if allowed else "no failed request at all"
    if not observation.responses:
        return decision_check("user requests", None, expected, "no request was recorded")
    total = failed_requests(observation.responses).total
    return decision_check(
        "user requests",
        others == 0 and (allowed or by_canary == 0),
        expected,
        f"{total} of {len(observation.responses)} failed: {by_canary} by the canary's fault, {others} for other reasons"
        + (f", {meanwhile} while a part of the platform was away on purpose" if observation.disturbed else ""),
        (count_failures(observation), *sorted({f"{each.status} {each.error or ''}".rstrip() for each in failed})),
    )


def safe_in_time(scenario: Scenario, observation: Observation) -> Check | None:
    """From the abort until the last answer from the bad version; only a rollback has it."""
    if scenario.expect is not Decision.ROLLBACK:
        return None
    expected = f"the last answer from {scenario.candidate} at most {scenario.safe_within_seconds:g} s after the abort"
    seconds = time_to_safe(observation)
    if abort_time(observation) is None or seconds is None:
        return decision_check("time to safe", False, expected, "never aborted")
    return decision_check("time to safe", seconds <= scenario.safe_within_seconds, expected, f"{seconds:.2f} s")
