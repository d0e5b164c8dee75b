"""PURE: rules on what stands around a Rollout: Istio's routes, and Argo CD."""

from __future__ import annotations

from typing import Any

from harness.lint.model import Path, Rule, Severity, Tell
from harness.lint.source import Document
from harness.lint.subject import mapping, object_name, sequence, whole
from harness.lint.usage import Rollout, World

TWO_SERVICES = Rule(
    id="GP501", name="two-services", title="Istio split by two Services", severity=Severity.WARNING,
    why="After an abort the controller switches the canary Service's selector back and forth many times a second, until "
    "the canary is scaled down. The mesh delays its pushes meanwhile: users got the bad version for 10 s more "
    "(measured).",
    fix="split by subsets: trafficRouting.istio.destinationRule with stableSubsetName and canarySubsetName, and no second "
    "Service",
    see="GATE 19, AR #3078",
)
RETRIES = Rule(
    id="GP502", name="mesh-retries", title="The mesh repeats failed requests", severity=Severity.WARNING,
    why="Istio repeats a request twice by default when the answer is 503 or the connection fails, so neither users nor the "
    "gate see what the new version does.",
    fix="retries: {attempts: 0} in each route that the Rollout splits",
    see="GATE 11",
)
OUTLIERS = Rule(
    id="GP503", name="outlier-detection", title="The mesh ejects the canary's pods before the gate has judged",
    severity=Severity.NOTE,
    why="outlierDetection takes failing pods out of the traffic on its own, so the gate measures fewer failures than there "
    "were.",
    fix="leave outlierDetection out of the DestinationRule that the Rollout splits",
)
BLIND_MANAGER = Rule(
    id="GP601", name="ignored-manager", title="Argo CD is blind to all that the rollouts controller wrote",
    severity=Severity.ERROR,
    why="managedFieldsManagers: rollouts-controller ignores every field that the controller ever wrote, also your later "
    "changes of it.",
    fix="jqPathExpressions: ['.spec.http[].route[].weight'] for VirtualService instead",
    see="GATE 14, AR #3854",
)
NOT_RESPECTED = Rule(
    id="GP602", name="weights-synced", title="Argo CD writes the weights back", severity=Severity.WARNING,
    why="A sync in the middle of a release sets the weights to what Git says, 100/0, and the analysis measures a canary "
    "without traffic; the same goes for the subsets' labels in a DestinationRule. ignoreDifferences alone keeps them "
    "out of the comparison, not out of the sync.",
    fix="ignoreDifferences for the VirtualService's .spec.http[].route[].weight (and the DestinationRule's "
    ".spec.subsets[].labels), and syncOptions RespectIgnoreDifferences=true",
    see="GATE 14, GATE 19",
)
RULES = (TWO_SERVICES, RETRIES, OUTLIERS, BLIND_MANAGER, NOT_RESPECTED)
_NETWORKING = "networking.istio.io"


def examine(rollout: Rollout, tell: Tell) -> None:
    """What is wrong with how a Rollout's traffic is split; the mesh's own objects are for `examine_mesh`."""
    istio, canary = rollout.istio, rollout.canary
    if istio is None or canary is None:
        return
    if canary.get("canaryService") and canary.get("stableService") and not istio.get("destinationRule"):
        place = ("spec", "strategy", "canary", "canaryService")
        tell(TWO_SERVICES, place, "after an abort, the mesh can go on serving the bad version")


def examine_mesh(document: Document, world: World, tell: Tell) -> None:
    """What is wrong with a VirtualService or DestinationRule that a Rollout of the input writes to."""
    kind, name = document.value.get("kind"), object_name(document)
    spec = mapping(document.value.get("spec"))
    for rollout in world.rollouts:
        istio = rollout.istio
        if istio is None:
            continue
        if kind == "VirtualService":
            for routes in _routes_of(istio, name):
                _retries(spec, routes, rollout, tell)
        ours = kind == "DestinationRule" and mapping(istio.get("destinationRule")).get("name") == name
        if ours and mapping(spec.get("trafficPolicy")).get("outlierDetection"):
            tell(OUTLIERS, ("spec", "trafficPolicy"), f"it ejects pods of Rollout {rollout.name} that fail")


def _routes_of(istio: dict[str, Any], name: str) -> list[set[str]]:
    """The routes of a VirtualService that a Rollout splits; an empty set means all."""
    named = [mapping(istio.get("virtualService")), *map(mapping, sequence(istio.get("virtualServices")))]
    return [set(map(str, sequence(each.get("routes")))) for each in named if str(each.get("name", "")).split(".")[0] == name]


def _retries(spec: dict[str, Any], routes: set[str], rollout: Rollout, tell: Tell) -> None:
    for index, each in enumerate(sequence(spec.get("http"))):
        route = mapping(each)
        if routes and str(route.get("name")) not in routes:
            continue
        if len(sequence(route.get("route"))) < 2:
            continue
        attempts = whole(mapping(route.get("retries")).get("attempts"))
        if attempts != 0:
            told = f"{attempts} retries" if attempts else "retries are not set, so Istio's default of 2 holds"
            tell(RETRIES, ("spec", "http", index), f"{told}: failures of Rollout {rollout.name} are hidden")


def examine_application(document: Document, world: World, tell: Tell) -> None:
    """What is wrong with an Argo CD Application or ApplicationSet."""
    base: Path = ("spec",)
    spec = mapping(document.value.get("spec"))
    if document.value.get("kind") == "ApplicationSet":
        base = ("spec", "template", "spec")
        spec = mapping(mapping(spec.get("template")).get("spec"))
    ignores_weights = False
    for index, each in enumerate(sequence(spec.get("ignoreDifferences"))):
        difference = mapping(each)
        path = (*base, "ignoreDifferences", index)
        if any("rollouts" in str(name) for name in sequence(difference.get("managedFieldsManagers"))):
            tell(BLIND_MANAGER, path, "every field that the rollouts controller wrote is ignored for ever")
        if difference.get("kind") in ("VirtualService", "*") and str(difference.get("group", _NETWORKING)) in (_NETWORKING, "*"):
            ignores_weights = True
    kinds = {str(mapping(each).get("kind")) for each in sequence(spec.get("ignoreDifferences"))}
    subsets = any((rollout.istio or {}).get("destinationRule") for rollout in world.rollouts)
    if ignores_weights and subsets and not kinds & {"DestinationRule", "*"}:
        tell(NOT_RESPECTED, (*base, "ignoreDifferences"), "the subsets' labels in the DestinationRule are not ignored")
    options = [str(each) for each in sequence(mapping(spec.get("syncPolicy")).get("syncOptions"))]
    if ignores_weights and "RespectIgnoreDifferences=true" not in options:
        tell(
            NOT_RESPECTED, (*base, "syncPolicy"), "the VirtualService is ignored in the comparison, and a sync writes its weights"
        )
    elif not ignores_weights and any(rollout.istio for rollout in world.rollouts):
        tell(NOT_RESPECTED, base, "nothing ignores the VirtualService's weights, which a Rollout of this input changes")
