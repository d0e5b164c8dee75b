"""Checks of the experiment: what must hold for a decision to prove anything. A failure here is exit 3. PURE: no I/O."""

from __future__ import annotations

import math
from itertools import groupby, pairwise

from harness.observation import (
    Observation,
    ResponseRecord,
    ServedSample,
    abort_time,
    achieved_rate,
    failed_requests,
    share_at,
    weight_steps,
)
from harness.observation.measure import candidate_version, specs
from harness.quiet import quiet_row, row_at_the_end
from harness.scenario import MIN_WINDOW_SECONDS, Decision, Scenario
from harness.verdict.decision import decided_at
from harness.verdict.model import Check, Kind

MIN_BASELINE_REQUESTS = 10
"""Answers from before the release that must show the stable version only."""

MAX_UNRECORDED = 5
"""Requests by which the generator's own count and the record may differ: those that its end cut off."""

MIN_ACHIEVED = 0.95
"""The share of the offered load that must really have been sent (the load model is closed: slow answers lower it)."""


FAULT_STATUS = 500
"""The status of injected errors: Istio's default retries leave it alone."""

EDGE_REQUESTS = 2
"""Requests that a stretch of time may lack because its ends cut through an even stream."""

MIN_AFTER_ABORT = 0.8
"""The share of the load that must go on after an abort: enough to see who answers, though routes are being changed."""


def experiment_check(name: str, problems: list[str], *, expected: str, actual: str, evidence: tuple[str, ...] = ()) -> Check:
    """A check of the experiment that passes when there is no problem."""
    return Check(
        name=name,
        kind=Kind.EXPERIMENT,
        passed=not problems,
        expected=expected,
        actual="; ".join(problems) or actual,
        evidence=evidence,
    )


def observation_complete(_: Scenario, observation: Observation) -> Check:
    """Nothing that was not looked at may pass for being in order."""
    facts = {
        "a Rollout state from before the release": any(
            state.at < observation.release_started_at for state in observation.rollout_states
        ),
        "a Rollout state since the release": observation.final_state is not None,
        "a VirtualService weight": bool(observation.weight_changes),
        "answers to clients": bool(observation.responses),
        "a load summary": observation.load is not None,
        "samples after the end": bool(observation.final_samples),
        "the stable hash": bool(observation.stable_hash),
        "a candidate hash of its own": observation.candidate_hash not in {"", observation.stable_hash},
        "the Rollout's uid": bool(observation.rollout_uid),
        "the images": bool(observation.stable_image and observation.candidate_image and observation.images),
        "an unbroken watch of the API": not [gap for gap in observation.watch_gaps if gap >= observation.release_started_at],
        "an end after the start": observation.ended_at > observation.release_started_at,
    }
    missing = [what for what, there in facts.items() if not there]
    return experiment_check(
        "observation",
        [f"missing: {', '.join(missing)}"] if missing else [],
        expected="everything that a verdict needs was seen",
        actual=f"{len(observation.rollout_states)} Rollout states, {len(observation.responses)} answers, "
        f"{len(observation.final_samples)} samples after the end",
        evidence=observation.notes,
    )


def one_release(_: Scenario, observation: Observation) -> Check:
    """Exactly one change of the Rollout's spec, one revision, and no second attempt."""
    # What an earlier run left behind may have been seen first: only the last state before the release is its beginning.
    earlier = [state for state in observation.rollout_states if state.at < observation.release_started_at]
    before, released = earlier[-1:], observation.released_states
    states = (*before, *released)
    problems = []
    if any((state.uid, state.namespace) != (observation.rollout_uid, observation.namespace) for state in states):
        problems.append("the Rollout was replaced by another one (its uid or namespace changed)")
    hashes = tuple(pod_hash for pod_hash, _ in groupby(state.current_hash for state in released))
    candidate, stable = observation.candidate_hash, observation.stable_hash
    if hashes not in {(candidate,), (stable, candidate)}:
        problems.append(f"the revisions went {' -> '.join(hashes) or '(none)'}")
    changes = [digest for digest in specs(released) if digest not in specs(before)]
    if len(changes) != 1:
        problems.append(f"the Rollout's spec changed {len(changes)} times during the release, not once")
    if any(first.abort and not second.abort for first, second in pairwise(released)):
        problems.append("an aborted release was retried")
    others = [
        run.name
        for run in observation.analyses
        if run.owner_uid == observation.rollout_uid
        and run.pod_template_hash != candidate
        and (run.created_at or 0.0) > observation.release_started_at
    ]
    if others:
        problems.append(f"analyses of another revision ran: {', '.join(others)}")
    return experiment_check(
        "one release",
        problems,
        expected=f"one release, {stable} -> {candidate}",
        actual=" -> ".join(hashes),
        evidence=tuple(f"spec {digest[:12]}" for digest in specs(states)),
    )


def baseline(scenario: Scenario, observation: Observation) -> Check:
    """Before the release the stable version, and it alone, served users."""
    start = observation.release_started_at
    early = [each for each in observation.responses if each.at < start]
    is_candidate = candidate_version(observation)
    strays = sum(is_candidate(each) or each.version == scenario.candidate for each in early)
    problems = []
    if len(early) < MIN_BASELINE_REQUESTS:
        problems.append(f"{len(early)} answers before the release: start the load earlier")
    if strays:
        problems.append(f"{strays} of {len(early)} answers came from {scenario.candidate} before it was released")
    before = [state for state in observation.rollout_states if state.at < start]
    last = before[-1] if before else None
    if last is None or last.phase != "Healthy" or {last.stable_hash, last.current_hash} != {observation.stable_hash}:
        seen = f"{last.phase or 'no phase'} at {last.current_hash}" if last else "not seen"
        problems.append(f"the Rollout was {seen} before the release, not Healthy at {observation.stable_hash}")
    weights = [change for change in observation.weight_changes if change.at < start]
    if weights and (weights[-1].stable, weights[-1].canary) != (100, 0):
        problems.append(f"the weights were {weights[-1].stable}/{weights[-1].canary} before the release")
    return experiment_check(
        "baseline",
        problems,
        expected=f"Healthy, and no answer from {scenario.candidate} before the release",
        actual=f"Healthy, {len(early)} answers, none from {scenario.candidate}",
    )


def offered_load(scenario: Scenario, observation: Observation) -> Check:
    """At least 95 % of the load, as the generator says and as its records show, over the whole and at every step."""
    load = observation.load
    if load is None:
        return experiment_check("offered load", ["no load was recorded"], expected=f"{scenario.rps:g}/s", actual="")
    end = decided_at(observation) or load.ended
    limit = MIN_ACHIEVED * scenario.rps
    rates = {
        "reported by the generator": load.achieved_rps,
        "during the release": achieved_rate(observation.responses, observation.release_started_at, end),
    }
    for index in range(len(weight_steps(observation))):
        share = share_at(observation, index)
        # In a short stretch (100 % before promotion, 0 % at the end) a hiccup of the machine is already a twentieth.
        length = 0.0 if share is None else min(share.end, end) - share.start
        if share is not None and length >= MIN_WINDOW_SECONDS:
            rate = achieved_rate(observation.responses, share.start, share.start + length)
            rates[f"at {share.weight} %"] = rate + EDGE_REQUESTS / length
    problems = [f"{rate:.1f}/s {where}" for where, rate in rates.items() if not rate >= limit]
    if not math.isclose(load.offered_rps, scenario.rps, rel_tol=1e-6):
        problems.append(f"{load.offered_rps:g}/s were offered, the scenario asks for {scenario.rps:g}/s")
    if load.started > observation.release_started_at or load.ended < end:
        problems.append("the load did not cover the whole release")
    if abs(load.sent - len(observation.responses)) > MAX_UNRECORDED:
        problems.append(f"{load.sent} requests were sent, but {len(observation.responses)} are on record")
    return experiment_check(
        "offered load",
        [*problems, "use more users, a lower --rps or a faster machine"] if problems else [],
        expected=f"at least {limit:g}/s of {scenario.rps:g}/s throughout, every request on record",
        actual=f"{rates['during the release']:.1f}/s",
        evidence=tuple(f"{rate:.1f}/s {where}" for where, rate in rates.items()),
    )


def version_identity(scenario: Scenario, observation: Observation) -> Check:
    """Each version's answers come from its own ReplicaSet's pods, which run its own image."""
    versions = {observation.stable_hash: scenario.stable, observation.candidate_hash: scenario.candidate}
    wrong: dict[str, int] = {}
    answers: tuple[ResponseRecord | ServedSample, ...] = (*observation.responses, *observation.final_samples)
    for each in answers:
        if each.version is None and each.pod is None:
            continue  # answered by the gateway or by nobody: counted among the failed requests
        # By what controls the pod, not by its name or labels: those are anybody's to choose.
        owner = observation.pods.get(each.pod or "")
        if owner is None or versions.get(owner) != each.version:
            what = f"{each.version or 'no version'} from pod {each.pod or 'unnamed'}"
            what += "" if owner else ", which is no pod of this rollout" if each.pod else ""
            wrong[what] = wrong.get(what, 0) + 1
    problems = [f"{count} answers: {what}" for what, count in wrong.items()]
    wanted = {observation.stable_hash: observation.stable_image, observation.candidate_hash: observation.candidate_image}
    problems += [
        f"ReplicaSet {pod_hash} runs {observation.images.get(pod_hash, 'an unknown image')}, not {image}"
        for pod_hash, image in wanted.items()
        if observation.images.get(pod_hash) != image
    ]
    problems += _unsure_images(observation)
    return experiment_check(
        "version identity",
        problems,
        expected="every answer's version is that of its pod's revision and image",
        actual=f"{scenario.stable} is {observation.stable_hash}, {scenario.candidate} is {observation.candidate_hash}",
    )


def _unsure_images(observation: Observation) -> list[str]:
    """What a tag does not tell: pods of one revision that run different images, and two names for one image."""
    stable, candidate = observation.stable_hash, observation.candidate_hash
    problems = [
        f"the pods of ReplicaSet {pod_hash} run different images: {', '.join(sorted(digests))}"
        for pod_hash, digests in observation.image_ids.items()
        if len(digests) > 1 and pod_hash in {stable, candidate}
    ]
    same = observation.image_ids.get(stable, frozenset()) & observation.image_ids.get(candidate, frozenset())
    if same and observation.stable_image != observation.candidate_image:
        problems.append(f"{observation.stable_image} and {observation.candidate_image} are the same image: {', '.join(same)}")
    return problems


def prometheus_reachable(_: Scenario, observation: Observation) -> Check:
    """A gate with a dead Prometheus aborts everything, and looks right doing it."""
    states = {True: "reachable", False: "not reachable: see its log", None: "never asked"}
    return Check(
        name="prometheus",
        kind=Kind.EXPERIMENT,
        passed=observation.prometheus_ok,
        expected="reachable during the whole release",
        actual=states[observation.prometheus_ok],
    )


def kept_asking(scenario: Scenario, observation: Observation) -> Check | None:
    """After an abort clients must keep asking, or "the last bad answer" is only the last answer."""
    aborted = abort_time(observation)
    if scenario.expect is not Decision.ROLLBACK or aborted is None:
        return None
    after = [each for each in observation.responses if each.started >= aborted]
    needed = aborted + scenario.safe_within_seconds
    last = max((each.started for each in after), default=aborted)
    row, wanted = row_at_the_end(((each.started, each.version) for each in after), scenario.stable), quiet_row(scenario)
    wanted = wanted if observation.silence_tells else None
    long_enough = achieved_rate(after, aborted, needed) >= MIN_AFTER_ABORT * scenario.rps and last >= needed
    enough = long_enough or (wanted is not None and row >= wanted)
    return experiment_check(
        "load after the abort",
        [] if enough else [f"{len(after)} requests in {last - aborted:.1f} s after the abort: let the load run longer"],
        expected=f"the load goes on for at least {scenario.safe_within_seconds:g} s after the abort"
        + (f", or until {wanted} answers in a row are {scenario.stable}'s" if wanted else ""),
        actual=f"{len(after)} requests in {last - aborted:.1f} s, the last {row} of them answered by {scenario.stable}",
    )


def injected(scenario: Scenario, response: ResponseRecord) -> bool:
    """Whether this answer's failure is the one that the scenario injects, and no other: by its status, and by who gave it."""
    if response.pod is None:
        return response.version is None and response.status in scenario.fault.gateway_statuses
    return response.failed and response.status == FAULT_STATUS and not scenario.fault.gateway_statuses


def count_failures(observation: Observation) -> str:
    """One line on who failed users."""
    failures = failed_requests(observation.responses)
    parts = [f"{count} from {version}" for version, count in sorted(failures.by_version.items())]
    return ", ".join([*parts, f"{failures.without_version} without a version"])
