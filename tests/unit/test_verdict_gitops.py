"""A release by commit: two good ones pass, and after any single change the check that is meant to notice fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import verdict_world as w
from verdict_cases import Case

from harness.observation import ServedSample
from harness.observation.gitops import AppState, Commit, GitOpsFacts, MiddleSync, parse_application
from harness.scenario import Decision
from harness.verdict import Verdict, judge
from harness.verdict.gitops import CHECKS, MIDDLE, SHARE

P, R = Decision.PROMOTE, Decision.ROLLBACK
SHA, NOTE, REVERT = "a" * 40, "b" * 40, "c" * 40
OBJECTS = ("Service/webapp", "VirtualService/webapp", "DestinationRule/webapp", "Rollout/webapp")


def with_gitops(world: w.World, decision: Decision) -> w.World:
    weighted = world.services[1][0]
    sync = MiddleSync(
        commit=Commit(sha=NOTE, subject="A note", at=weighted + 1.5), requested_at=weighted + 1.5, finished_at=weighted + 4,
        phase="Succeeded", applied=OBJECTS,
    )  # fmt: skip
    synced = AppState(
        at=w.START + 0.2, sync="Synced", health="Progressing", revision=SHA, operation="Succeeded", synced_revision=SHA
    )
    health = "Healthy" if decision is P else "Degraded"
    facts = GitOpsFacts(
        release=Commit(sha=SHA, subject="Release v1.1", at=w.START + 0.1), states=(synced,), sync=sync,
        decided=replace(synced, at=world.end, health=health, revision=NOTE),
    )  # fmt: skip
    if decision is R:
        facts = replace(
            facts, revert=Commit(sha=REVERT, subject="Revert", at=world.end + 1),
            reverted=replace(synced, at=world.end + 3, health="Healthy", revision=REVERT, synced_revision=REVERT),
            rollout_phase="Healthy", rollout_hash=w.STABLE,
            samples=tuple(ServedSample(version="v1.0", pod=f"webapp-{w.STABLE}-x{n}abc", status=200) for n in range(60)),
        )  # fmt: skip
    world.facts["gitops"] = facts
    return world


WORLDS = {decision: with_gitops(w.good_world(decision), decision) for decision in (P, R)}


def facts(world: w.World, **change: Any) -> None:
    world.facts["gitops"] = replace(world.facts["gitops"], **change)


def sync(world: w.World, **change: Any) -> None:
    facts(world, sync=replace(world.facts["gitops"].sync, **change))


def state(world: w.World, name: str, **change: Any) -> None:
    facts(world, **{name: replace(getattr(world.facts["gitops"], name), **change)})


def fight(world: w.World) -> None:
    """Argo CD writes what Git says, and the rollouts controller writes its weights again."""
    at = world.facts["gitops"].sync.requested_at + 1
    world.services[2:2] = [(at, w.virtual_service(0, 7)), (at + 1, w.virtual_service(10, 8))]


def starved(world: w.World) -> None:
    """The VirtualService says what it said, but after the sync nobody gets the candidate."""
    begun = world.facts["gitops"].sync.finished_at
    for record in world.records:
        if begun <= record["started"] < begun + w.WINDOW - 5:
            record.update(version="v1.0", pod=f"webapp-{w.STABLE}-x0abc", status=200, error=None)


def stray_sample(world: w.World) -> None:
    samples = list(world.facts["gitops"].samples)
    samples[7] = replace(samples[7], version="v1.1", pod=f"webapp-{w.CANDIDATE}-x0abc")
    facts(world, samples=tuple(samples))


BY_COMMIT, DECIDED, REVERTED, SERVED = (
    "release by commit", "Argo CD after the decision", "Argo CD after the revert", "served after the revert",
)  # fmt: skip
CASES = [
    Case("no sync of the commit", P, BY_COMMIT, 3, lambda x: facts(x, states=())),
    Case("another commit was synced", R, BY_COMMIT, 3,
         lambda x: facts(x, release=Commit(sha="d" * 40, subject="", at=w.START))),
    Case("the sync of the commit failed", P, BY_COMMIT, 3,
         lambda x: facts(x, states=tuple(replace(each, operation="Failed") for each in x.facts["gitops"].states))),
    Case("the image came before the commit", P, BY_COMMIT, 3,
         lambda x: facts(x, release=replace(x.facts["gitops"].release, at=x.end + 1))),
    # In a release that is promoted all the same, weights that come and go also keep others from telling what was decided.
    Case("Argo CD fights the weights", P, MIDDLE, 3, fight),
    Case("Argo CD fights the weights of a bad version", R, MIDDLE, 1, fight),
    Case("no sync in the middle", P, MIDDLE, 3, lambda x: facts(x, sync=None)),
    Case("a sync without an end", R, MIDDLE, 3, lambda x: sync(x, finished_at=None)),
    Case("a sync that failed", P, MIDDLE, 3, lambda x: sync(x, phase="Failed")),
    Case("a sync that left out the VirtualService", P, MIDDLE, 3, lambda x: sync(x, applied=("Service/webapp",))),
    Case("a sync that ended after its step", P, MIDDLE, 3, lambda x: sync(x, finished_at=w.START + 30)),
    Case("nobody gets the candidate after the sync", R, SHARE, 3, starved),
    Case("no sync, no share", R, SHARE, 3, lambda x: facts(x, sync=None)),
    Case("never asked after the decision", P, DECIDED, 3, lambda x: facts(x, decided=None)),
    Case("Degraded after a promotion", P, DECIDED, 1, lambda x: state(x, "decided", health="Degraded")),
    Case("Healthy after an abort", R, DECIDED, 1, lambda x: state(x, "decided", health="Healthy")),
    Case("out of sync after the decision", P, DECIDED, 1, lambda x: state(x, "decided", sync="OutOfSync")),
    Case("another commit after the decision", R, DECIDED, 1, lambda x: state(x, "decided", revision="e" * 40)),
    Case("no revert", R, REVERTED, 1, lambda x: facts(x, revert=None, reverted=None)),
    Case("still Degraded after the revert", R, REVERTED, 1, lambda x: state(x, "reverted", health="Degraded")),
    Case("the revert was never synced", R, REVERTED, 1, lambda x: state(x, "reverted", revision=SHA)),
    Case("the revert began a canary", R, REVERTED, 1, lambda x: facts(x, rollout_hash="")),
    Case("the revert left the rollout paused", R, REVERTED, 1, lambda x: facts(x, rollout_phase="Paused")),
    Case("the bad version after the revert", R, SERVED, 1, stray_sample),
    Case("nobody asked after the revert", R, SERVED, 3, lambda x: facts(x, samples=())),
]  # fmt: skip


def verdict_on(world: w.World) -> Verdict:
    return judge(world.scenario, world.observation())


@pytest.mark.parametrize("decision", [P, R], ids=["promote", "rollback"])
def test_a_good_release_by_commit_passes_every_check(decision: Decision) -> None:
    verdict = verdict_on(WORLDS[decision])
    assert [(check.name, check.actual) for check in verdict.failures] == []
    assert verdict.exit_code == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_change_fails_its_check(case: Case) -> None:
    world = WORLDS[case.decision].clone()
    case.mutate(world)
    verdict = verdict_on(world)
    failures = {check.name: check.actual for check in verdict.failures}
    assert case.check in failures
    assert verdict.exit_code == case.code, failures


def test_every_check_is_seen_failing() -> None:
    plain = {check.name for decision in (P, R) for check in verdict_on(w.good_world(decision)).checks}
    names = {check.name for world in WORLDS.values() for check in verdict_on(world).checks} - plain
    assert names == {case.check for case in CASES}


def test_a_release_by_helm_has_none_of_these_checks() -> None:
    world = w.good_world(R)
    assert all(check(world.scenario, world.observation()) is None for check in CHECKS)


def test_an_application_is_read_as_argo_cd_writes_it() -> None:
    app = {
        "status": {
            "sync": {"status": "Synced", "revision": SHA}, "health": {"status": "Degraded"},
            "operationState": {"phase": "Succeeded", "syncResult": {"revision": NOTE, "resources": []}},
            "resources": [
                {"kind": "Rollout", "name": "webapp", "health": {"status": "Degraded", "message": "RolloutAborted: too bad"}},
                {"kind": "Service", "name": "webapp", "health": {"status": "Healthy"}},
            ],
            "conditions": [{"type": "ComparisonError", "message": "no such file"}],
        }
    }  # fmt: skip
    found = parse_application(app, 7.0)
    assert (found.sync, found.health, found.revision, found.synced_revision) == ("Synced", "Degraded", SHA, NOTE)
    assert found.message == "Rollout/webapp RolloutAborted: too bad | ComparisonError: no such file"
    assert parse_application({}, 7.0) == AppState(at=7.0)
