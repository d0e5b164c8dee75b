"""Checks of a release that was a commit: what Argo CD did with it, and that it left the gate alone. PURE: no I/O."""

from __future__ import annotations

from harness.observation import Observation
from harness.observation.gitops import GitOpsFacts, MiddleSync
from harness.observation.measure import candidate_version
from harness.scenario import Decision, Scenario
from harness.verdict.experiment import experiment_check
from harness.verdict.measured import share_as_asked
from harness.verdict.model import Check
from harness.verdict.release import decision_check

AFTER_SYNC_SECONDS = 2.0
"""How long after a sync the weights must have stayed: what it applied reaches the gateway well within this."""
MIDDLE, SHARE = "sync in the middle of the canary", "client share after the sync"
NEVER = "nothing of Git or Argo CD was seen"


def by_commit(_: Scenario, observation: Observation) -> Check | None:
    """It was Argo CD that brought this commit to the cluster."""
    facts = observation.gitops
    if facts is None:
        return None
    commit = facts.release
    synced = next(
        (state for state in facts.states if state.synced_revision == commit.sha and state.operation == "Succeeded"), None
    )
    problems = [] if synced else [f"it never told of a sync of {commit.sha[:10]}"]
    if not any(state.image == observation.candidate_image and state.at >= commit.at for state in observation.released_states):
        problems.append("the Rollout never got the candidate's image")
    return experiment_check(
        "release by commit", problems, expected=f"Argo CD syncs {commit.sha[:10]} ({commit.subject})",
        actual=f"synced {max(0.0, synced.at - commit.at):.1f} s after the push" if synced else "",
        evidence=tuple(f"{state.at - commit.at:+.1f} s: {state}" for state in facts.states),
    )  # fmt: skip


def sync_in_the_middle(scenario: Scenario, observation: Observation) -> Check | None:
    """A sync that applied every object, the VirtualService among them, left the weights as the controller had set them."""
    facts = observation.gitops
    if facts is None:
        return None
    weight = scenario.steps[0]
    expected = f"weights {100 - weight}/{weight} before, during and after it"
    untold = _untold(facts, observation)
    if untold or facts.sync is None or facts.sync.finished_at is None:
        return decision_check(MIDDLE, None, expected, untold or NEVER, _evidence(facts.sync))
    until = min(facts.sync.finished_at + AFTER_SYNC_SECONDS, _step_end(observation))
    during = [change for change in observation.weight_changes if facts.sync.requested_at <= change.at < until]
    others = [change for change in during if (change.stable, change.canary) != (100 - weight, weight)]
    told = ", ".join(f"{change.stable}/{change.canary} {change.at - facts.sync.requested_at:.1f} s after it" for change in others)
    took = f"{len(facts.sync.applied)} objects applied in {facts.sync.finished_at - facts.sync.requested_at:.1f} s"
    return decision_check(MIDDLE, not others, expected, told or f"{took}, the weights stayed", _evidence(facts.sync))


def share_after_sync(scenario: Scenario, observation: Observation) -> Check | None:
    """Clients went on getting the candidate as often as the weight says, counted from the sync's end to the step's."""
    facts = observation.gitops
    if facts is None:
        return None
    weight = scenario.steps[0]
    untold = _untold(facts, observation)
    if untold or facts.sync is None or facts.sync.finished_at is None:
        return decision_check(SHARE, None, f"{weight} % of answers", untold or NEVER)
    is_candidate, begun, ended = candidate_version(observation), facts.sync.finished_at, _step_end(observation)
    inside = [each for each in observation.responses if begun <= each.started < ended]
    count = sum(is_candidate(each) for each in inside)
    evidence = f"requests started from {begun:.3f} to {ended:.3f}"
    return decision_check(SHARE, *share_as_asked(count, len(inside), weight), (evidence,))


def _untold(facts: GitOpsFacts, observation: Observation) -> str:
    """Why nothing can be said of the sync, or nothing."""
    sync = facts.sync
    if sync is None:
        return "no sync was made: the step was over too soon"
    if sync.finished_at is None:
        return "the sync was not made, or did not end, before the decision"
    if sync.phase != "Succeeded":
        return f"the sync itself {sync.phase}: {sync.message}"
    if not any(each.startswith("VirtualService/") for each in sync.applied):
        return f"the sync did not apply the VirtualService, only {', '.join(sync.applied) or 'nothing'}"
    if sync.finished_at >= _step_end(observation):
        return "the sync ended after its step"
    return ""


def _step_end(observation: Observation) -> float:
    """When the first step's analysis ended: from then on the weights may change. Whole seconds are cut off: rather too early."""
    runs = observation.step_analyses
    finished = runs[0].finished_at if runs else None
    return observation.ended_at if finished is None else finished


def _evidence(sync: MiddleSync | None) -> tuple[str, ...]:
    return () if sync is None else (f"commit {sync.commit.sha}", *sync.applied)


def argo_cd_after_the_decision(scenario: Scenario, observation: Observation) -> Check | None:
    """Healthy with the new version, or Degraded while Git still names the bad one: which it does until somebody reverts."""
    facts = observation.gitops
    if facts is None:
        return None
    wanted = "Healthy" if scenario.expect is Decision.PROMOTE else "Degraded"
    latest = {facts.release.sha, *([facts.sync.commit.sha] if facts.sync else [])}
    expected = f"Synced, {wanted}, at {facts.release.sha[:10]} or the note after it"
    state = facts.decided
    if state is None:
        return decision_check("Argo CD after the decision", None, expected, NEVER)
    passed = (state.sync, state.health) == ("Synced", wanted) and state.revision in latest
    return decision_check("Argo CD after the decision", passed, expected, str(state))


def revert(scenario: Scenario, observation: Observation) -> tuple[Check, ...] | None:
    """The revert of the commit makes Argo CD Healthy again, starts no canary, and leaves users with the stable version."""
    facts = observation.gitops
    if facts is None or scenario.expect is not Decision.ROLLBACK:
        return None
    sha = facts.revert.sha if facts.revert else ""
    expected = f"Synced, Healthy, at {sha[:10] or 'the revert'}; Rollout Healthy with {observation.stable_hash} alone"
    state, samples = facts.reverted, facts.samples
    if state is None or not sha:
        healthy = decision_check("Argo CD after the revert", False, expected, "no revert was made, since nothing was aborted")
    else:
        passed = (
            (state.sync, state.health, state.revision) == ("Synced", "Healthy", sha)
            and (facts.rollout_phase, facts.rollout_hash) == ("Healthy", observation.stable_hash)
        )  # fmt: skip
        actual = f"{state}; Rollout {facts.rollout_phase or 'not seen'} with {facts.rollout_hash or 'more than one revision'}"
        healthy = decision_check("Argo CD after the revert", passed, expected, actual)
    right = sum(
        each.version == scenario.stable and 200 <= each.status < 300 and f"-{observation.stable_hash}-" in (each.pod or "")
        for each in samples
    )
    served = decision_check(
        "served after the revert", right == len(samples) if samples else None, f"every answer from {scenario.stable}",
        f"{right} of {len(samples)} answers from {scenario.stable}",
    )  # fmt: skip
    return healthy, served


CHECKS = (by_commit, sync_in_the_middle, share_after_sync, argo_cd_after_the_decision, revert)
"""In the order of the report; none of them where the release was no commit."""
OF_ANALYSES = frozenset({sync_in_the_middle, share_after_sync})
"""Those that have nothing to look at where the progress deadline decides: the candidate gets no weight."""
