"""The state of a release at one moment, as a person wants to see it. PURE: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.observation import parse_analysis_run, parse_rollout, parse_weights
from harness.observation.parse import HASH_LABEL, REVISION_ANNOTATION, images_by_hash

Object = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class LoadNow:
    """The load of the last moments, and failed user requests so far by version ("" for answers without one)."""

    offered_rps: float
    achieved_rps: float
    requests: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PodLine:
    """One pod."""

    name: str
    phase: str
    ready: bool
    restarts: int


@dataclass(frozen=True, kw_only=True)
class MetricLine:
    """One metric of an analysis; `value` is as measured, empty before."""

    name: str
    phase: str
    value: str


@dataclass(frozen=True, kw_only=True)
class AnalysisLine:
    """One AnalysisRun; `seconds` it has run."""

    name: str
    phase: str
    seconds: float | None
    metrics: tuple[MetricLine, ...]


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One revision with its ReplicaSet, pods and analyses. `role` is stable, canary, or empty for an old one."""

    number: int
    role: str
    replica_set: str
    image: str
    desired: int
    ready: int
    pods: tuple[PodLine, ...]
    analyses: tuple[AnalysisLine, ...]


@dataclass(frozen=True, kw_only=True)
class LiveState:
    """Everything on the screen at one moment. `elapsed` and `step_seconds` are seconds."""

    elapsed: float
    name: str
    phase: str
    message: str
    step: int | None
    steps: int
    step_seconds: float | None
    window_seconds: float
    stable_weight: int
    canary_weight: int
    revisions: tuple[Revision, ...]
    load: LoadNow | None


def live_state(
    *,
    rollout: Object,
    replica_sets: Iterable[Object],
    pods: Iterable[Object],
    analysis_runs: Iterable[Object],
    virtual_service: Object | None,
    load: LoadNow | None,
    now: float,
    started_at: float,
    window_seconds: float,
) -> LiveState:
    """The state at `now` (epoch seconds) of a release asked for at `started_at`. Only the rollout's own objects are shown.

    The step's clock is that of its running analysis, whose window is what everybody waits for.
    """
    state = parse_rollout(rollout, now)
    weights = parse_weights(virtual_service, now) if virtual_service else None
    roles = {state.current_hash: "canary", state.stable_hash: "stable"}  # once promoted, both are one: stable
    pods, runs = list(pods), [run for run in analysis_runs if _owned(run, state.uid)]
    revisions = [
        _revision(replica_set, pods=pods, runs=runs, now=now, uid=state.uid, roles=roles)
        for replica_set in replica_sets
        if _owned(replica_set, state.uid)
    ]
    running = [line for revision in revisions for line in revision.analyses if line.phase in {"Running", "Pending"}]
    steps = rollout.get("spec", {}).get("strategy", {}).get("canary", {}).get("steps", ())
    return LiveState(
        elapsed=now - started_at,
        name=str(rollout.get("metadata", {}).get("name", "")),
        phase=state.phase,
        message=state.message,
        step=state.step_index,
        steps=len(steps),
        step_seconds=running[-1].seconds if running else None,
        window_seconds=window_seconds,
        stable_weight=weights.stable if weights else 100,
        canary_weight=weights.canary if weights else 0,
        revisions=tuple(sorted(revisions, key=lambda revision: -revision.number)),
        load=load,
    )


def _owned(thing: Object, uid: str) -> bool:
    return any(ref.get("uid") == uid for ref in thing.get("metadata", {}).get("ownerReferences", ()))


def _revision(
    replica_set: Object, *, pods: list[Object], runs: list[Object], now: float, uid: str, roles: Mapping[str, str]
) -> Revision:
    metadata, status = replica_set.get("metadata", {}), replica_set.get("status", {})
    pod_hash = str(metadata.get("labels", {}).get(HASH_LABEL, ""))
    number = str(metadata.get("annotations", {}).get(REVISION_ANNOTATION, ""))
    mine = [run for run in runs if run.get("metadata", {}).get("labels", {}).get(HASH_LABEL) == pod_hash]
    lines = [_analysis(run, now) for run in mine]
    return Revision(
        number=int(number) if number.isdecimal() else 0,
        role=roles.get(pod_hash, ""),
        replica_set=str(metadata.get("name", "")),
        image=images_by_hash([replica_set], uid).get(pod_hash, ""),
        desired=int(replica_set.get("spec", {}).get("replicas", 0)),
        ready=int(status.get("readyReplicas", 0)),
        pods=tuple(sorted((_pod(pod) for pod in pods if _owned(pod, str(metadata.get("uid")))), key=lambda pod: pod.name)),
        analyses=tuple(sorted(lines, key=lambda line: line.name)),
    )


def _pod(pod: Object) -> PodLine:
    metadata, status = pod.get("metadata", {}), pod.get("status", {})
    conditions = {each.get("type"): each.get("status") for each in status.get("conditions", ())}
    return PodLine(
        name=str(metadata.get("name", "")),
        phase="Terminating" if metadata.get("deletionTimestamp") else str(status.get("phase", "Pending")),
        ready=conditions.get("Ready") == "True",
        restarts=sum(int(each.get("restartCount", 0)) for each in status.get("containerStatuses", ())),
    )


def _analysis(run: Object, now: float) -> AnalysisLine:
    parsed = parse_analysis_run(run)
    end = parsed.finished_at or now
    return AnalysisLine(
        name=parsed.name,
        phase=parsed.phase or "Pending",
        seconds=None if parsed.started_at is None else max(0.0, end - parsed.started_at),
        metrics=tuple(MetricLine(name=each.name, phase=each.phase, value=each.raw_value.strip("[]")) for each in parsed.metrics),
    )
