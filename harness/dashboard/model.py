"""The page's data at one moment, as JSON can hold it. PURE: no I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.dashboard.promises import Gate, lines, rows
from harness.observation import parse_rollout, parse_time
from harness.observation.parse import HASH_LABEL, REVISION_ANNOTATION
from harness.platforms import Part
from harness.progress import LiveState, live_state

Object = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Objects:
    """The API's objects as they are now."""

    rollout: Object | None
    replica_sets: tuple[Object, ...] = ()
    pods: tuple[Object, ...] = ()
    analysis_runs: tuple[Object, ...] = ()
    virtual_service: Object | None = None
    templates: tuple[Object, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Prometheus' answers: instant ones by name, and the shares over time. Empty where it did not answer."""

    instant: Mapping[str, tuple[Object, ...]]
    shares: tuple[Object, ...] = ()


def release(objects: Objects, gate: Gate, now: float) -> LiveState | None:
    """The tree of the release; None without a Rollout. Its clock starts with the newest revision's ReplicaSet."""
    if objects.rollout is None:
        return None
    return live_state(
        rollout=objects.rollout, replica_sets=objects.replica_sets, pods=objects.pods, analysis_runs=objects.analysis_runs,
        virtual_service=objects.virtual_service, load=None, now=now, started_at=_begun(objects, now),
        window_seconds=gate.window_seconds,
    )


def _begun(objects: Objects, now: float) -> float:
    revision = str((objects.rollout or {}).get("metadata", {}).get("annotations", {}).get(REVISION_ANNOTATION, ""))
    for replica_set in objects.replica_sets:
        metadata = replica_set.get("metadata", {})
        if metadata.get("annotations", {}).get(REVISION_ANNOTATION) == revision:
            return parse_time(metadata.get("creationTimestamp")) or now
    return now


def roles(rollout: Object | None) -> dict[str, str]:
    """Which pod-template hash is the canary's and which the stable version's."""
    if rollout is None:
        return {}
    state = parse_rollout(rollout, 0.0)
    return {state.current_hash: "canary", state.stable_hash: "stable"}


def versions_by_hash(pods: Iterable[Object]) -> dict[str, str]:
    """The pods' own word for their version, by hash."""
    labels = (pod.get("metadata", {}).get("labels", {}) for pod in pods)
    return {str(each.get(HASH_LABEL)): str(each.get("version", "")) for each in labels if each.get(HASH_LABEL)}


def page(
    objects: Objects, measured: Measured, gate: Gate, parts: Iterable[Part], logs: Iterable[str], *, now: float
) -> dict[str, Any]:
    """Everything that the page shows."""
    state, who = release(objects, gate, now), roles(objects.rollout)
    listed = list(parts)
    data = {
        "now": now,
        "well": all(part.well for part in listed),
        "parts": [asdict(part) for part in listed],
        "release": asdict(state) if state else None,
        "gate": {
            "window_seconds": gate.window_seconds, "bound_seconds": gate.bound,
            "conditions": {name: promise.condition for name, promise in gate.promises.items()},
        },
        "versions": rows(measured.instant, gate, who),
        "shares": lines(measured.shares, who),
        "tags": versions_by_hash(objects.pods),
        "logs": sorted(logs),
    }  # fmt: skip
    finite: dict[str, Any] = _finite(data)
    return finite


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value
