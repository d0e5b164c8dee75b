"""Who wrote into a release's objects, as the API server records it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.observation import foreign_hands

RELEASED = 100.0


def version(at: float, kind: str, *managers: tuple[str, str, str]) -> tuple[float, dict[str, Any]]:
    """An object as it was seen; each manager with the part that it wrote, and by which subresource."""
    fields = [{"manager": name, "fieldsV1": {f"f:{part}": {}}, "subresource": sub} for name, part, sub in managers]
    return at, {"kind": kind, "metadata": {"name": "webapp", "managedFields": fields}}


BEFORE = [
    version(90, "Rollout", ("helm", "spec", ""), ("rollouts-controller", "status", "")),
    version(91, "VirtualService", ("helm", "spec", "")),
]


@pytest.mark.parametrize(
    "after",
    [
        version(101, "VirtualService", ("rollouts-controller", "spec", "")),
        version(101, "AnalysisRun", ("rollouts-controller", "status", "")),
        version(101, "Rollout", ("helm", "spec", ""), ("kube-controller-manager", "spec", "scale")),
        version(101, "Rollout", ("kubectl-label", "metadata", "")),
        version(101, "VirtualService", ("pilot-discovery", "status", "status")),
    ],
    ids=["weights", "analysis", "autoscaler", "a label", "the mesh notes that it has seen it"],
)
def test_those_who_belong_there_are_no_strangers(after: tuple[float, dict[str, Any]]) -> None:
    assert foreign_hands([*BEFORE, after], RELEASED) == ()


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (version(101, "VirtualService", ("kubectl-edit", "spec", "")), ("VirtualService", "spec", "kubectl-edit")),
        (version(101, "AnalysisRun", ("curl", "status", "")), ("AnalysisRun", "status", "curl")),
        (version(101, "Rollout", ("kubectl-argo-rollouts", "status", "")), ("Rollout", "status", "kubectl-argo-rollouts")),
    ],
)
def test_a_stranger_is_named_once_with_the_moment_at_which_it_was_seen(
    after: tuple[float, dict[str, Any]], told: tuple[str, str, str]
) -> None:
    (hand,) = foreign_hands([*BEFORE, after, (105.0, after[1])], RELEASED)
    assert (hand.kind, hand.part, hand.manager, hand.at) == (*told, 101)


def test_whoever_wrote_before_the_release_belongs_there() -> None:
    early = version(95, "VirtualService", ("kubectl-edit", "spec", ""))
    assert foreign_hands([*BEFORE, early, (101.0, early[1])], RELEASED) == ()
