"""Which decision was taken, when, and by whom. PURE: no I/O."""

from __future__ import annotations

from harness.observation import Observation, StepAnalysis, abort_time, weight_steps
from harness.observation.facts import TIMESTAMP_RESOLUTION_SECONDS
from harness.scenario import Scenario
from harness.verdict.model import Check, Kind, Taken

BY_ANALYSIS = "Step-based analysis phase error/failed"
"""What the controller writes into the abort message, and only then, when an analysis step ended the release."""

BY_DEADLINE = "has timed out progressing"
STUCK = "with Istio subsets the controller does not look at it while the canary is not ready: argo-rollouts #4626"
OVERDUE_SECONDS = 20.0
"""How late the controller may notice its deadline: it looks again at the latest after its longest retry of 10 s."""

FAILED_PHASES = frozenset({"Failed", "Error"})


def decision_taken(observation: Observation) -> Taken:
    """The decision as the Rollout's last state shows it; anything in between is none."""
    final = observation.final_state
    if final is None:
        return Taken.NONE
    if final.phase in promoted_phases(observation) and final.stable_hash == final.current_hash == observation.candidate_hash:
        return Taken.PROMOTED
    if final.abort and final.phase == "Degraded" and final.stable_hash == observation.stable_hash:
        return Taken.ROLLED_BACK
    return Taken.NONE


def promoted_phases(observation: Observation) -> tuple[str, ...]:
    """What a Rollout whose candidate was promoted may be in; it is not Healthy while a candidate that comes and goes is away."""
    return ("Healthy", "Progressing") if observation.interrupted else ("Healthy",)


def decided_at(observation: Observation) -> float | None:
    """When the decision was taken: the abort, or the candidate becoming stable."""
    if decision_taken(observation) is Taken.ROLLED_BACK:
        return abort_time(observation)
    promoted = (state.at for state in observation.released_states if state.stable_hash == observation.candidate_hash)
    return next(promoted, None)


def decided_by_gate(scenario: Scenario, observation: Observation) -> Check:
    """A decision that a person took, or a deadline where an analysis was due, is no evidence about the gate, whichever it was."""
    kind = Kind.EXPERIMENT
    decider = "the progress deadline" if scenario.decided_by_deadline else "the analyses"
    taken = decision_taken(observation)
    if taken is Taken.PROMOTED:
        problems = _not_promoted_by_gate(scenario, observation)
    elif taken is Taken.ROLLED_BACK:
        problems = (_not_aborted_by_deadline if scenario.decided_by_deadline else _not_aborted_by_gate)(scenario, observation)
    else:
        problems = [_why_none(observation)]
    if scenario.decided_by_deadline and taken is Taken.NONE and _overdue(scenario, observation):
        # The deadline is the gate here. That it never came is the gate's own failing, not the experiment's.
        kind = Kind.DECISION
        problems = [f"the progress deadline of {scenario.progress_deadline_seconds} s passed and nothing came of it ({STUCK})"]
    return Check(
        name="decided by the gate",
        kind=kind,
        passed=not problems,
        expected=f"{decider} of this release, and nothing else, took the decision",
        actual="; ".join(problems) or f"{taken.value} by {decider}",
        evidence=tuple(f"{run.name}: {run.phase} {run.message}".rstrip() for run in observation.step_analyses),
    )


def _overdue(scenario: Scenario, observation: Observation) -> bool:
    waited = observation.ended_at - observation.release_started_at
    return observation.deadline_exceeded and waited > scenario.progress_deadline_seconds + OVERDUE_SECONDS


def _not_promoted_by_gate(scenario: Scenario, observation: Observation) -> list[str]:
    problems = []
    if any(state.promote_full for state in observation.released_states):
        problems.append("a full promotion was asked for by hand (status.promoteFull)")
    runs, changes = observation.step_analyses, weight_steps(observation)
    if len(runs) < len(scenario.steps):
        problems.append(f"promoted with {len(runs)} of {len(scenario.steps)} analyses: steps were skipped by hand")
    problems += [f"{run.name} was terminated from outside" for run in runs if run.terminated]
    problems += [
        f"{run.name} ended in phase {run.phase or 'none'} and yet it went on" for run in runs if run.phase != "Successful"
    ]
    for index, run in enumerate(runs):
        following = changes[index + 1] if index + 1 < len(changes) else None
        if following is not None and (run.finished_at is None or run.finished_at > following.at):
            problems.append(f"the weight went to {following.canary} % before {run.name} had finished")
    return problems


def _not_aborted_by_deadline(scenario: Scenario, observation: Observation) -> list[str]:
    aborted = abort_time(observation)
    message = next((state.message for state in observation.released_states if state.abort and state.message), "")
    if BY_DEADLINE not in message:
        return [f"aborted, but not by the progress deadline: {message or '(no message)'}"]
    after = (aborted or 0.0) - observation.release_started_at
    if after < scenario.progress_deadline_seconds - TIMESTAMP_RESOLUTION_SECONDS:
        return [f"aborted {after:.1f} s after the release, before its deadline of {scenario.progress_deadline_seconds} s"]
    return [f"{run.name} ran, though no pod was ready" for run in observation.step_analyses]


def _not_aborted_by_gate(_: Scenario, observation: Observation) -> list[str]:
    aborted = abort_time(observation)
    message = next((state.message for state in observation.released_states if state.abort and state.message), "")
    if BY_DEADLINE in message:
        return [f"the progress deadline aborted the release: {message}"]
    if BY_ANALYSIS not in message:
        return [f"aborted from outside, the message names no analysis: {message or '(empty)'}"]
    causes = [run for run in observation.step_analyses if run.phase in FAILED_PHASES]
    if not causes:
        return ["the abort message blames an analysis, but no analysis of this release failed"]
    if not any(_before(run, aborted) for run in causes):
        return ["no analysis of this release had failed when it was aborted"]
    return []


def _before(run: StepAnalysis, moment: float | None) -> bool:
    return moment is not None and run.finished_at is not None and run.finished_at <= moment + TIMESTAMP_RESOLUTION_SECONDS


def _why_none(observation: Observation) -> str:
    final = observation.final_state
    if final is None:
        return "the Rollout was never seen after the release started"
    state = f"phase {final.phase or 'none'} {final.message}".rstrip()
    late = "the harness' deadline passed, " if observation.deadline_exceeded else ""
    return f"no decision: {late}last seen in {state}; look at the AnalysisRuns, or give a longer --timeout"
