"""From the API server's objects to typed facts, as Argo Rollouts 1.10 and Istio 1.31 write them. PURE: no I/O.

Field names and label names were read in the controllers' own types, not guessed: the resolved query of a metric is in
the metadata of its *result* (`status.metricResults[].metadata.ResolvedPrometheusQuery`), not of its measurements.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from harness.observation.facts import MetricResult, PodFacts, ResponseRecord, RolloutState, StepAnalysis, WeightChange

HASH_LABEL = "rollouts-pod-template-hash"
STEP_LABEL = "step-index"
REVISION_ANNOTATION = "rollout.argoproj.io/revision"
RESOLVED_QUERY = "ResolvedPrometheusQuery"

Object = Mapping[str, Any]


def parse_time(text: str | None) -> float | None:
    """An RFC 3339 time stamp as epoch seconds; None for nothing."""
    return datetime.fromisoformat(text).timestamp() if text else None


def parse_value(text: str) -> float | None:
    """The number in a measurement's value: `[0.95]` and `0.95` are one; `[]`, `[NaN]`, `[+Inf]`, `[1,2]` are none."""
    try:
        value = float(text.strip().removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def parse_weights(virtual_service: Object, at: float, *, route: str = "primary") -> WeightChange | None:
    """The stable and canary weights of the named HTTP route; None when it does not name both subsets.

    With one destination and no weight Istio sends everything there; the controller always writes both numbers.
    """
    for http in virtual_service.get("spec", {}).get("http", ()):
        if http.get("name") != route:
            continue
        weights = {
            destination.get("destination", {}).get("subset") or _role(destination): destination.get("weight", 0)
            for destination in http.get("route", ())
        }
        if not {"stable", "canary"} <= weights.keys():
            return None
        metadata = virtual_service.get("metadata", {})
        return WeightChange(
            at=at,
            stable=int(weights["stable"]),
            canary=int(weights["canary"]),
            generation=int(metadata.get("generation", 0)),
            resource_version=str(metadata.get("resourceVersion", "")),
        )
    return None


def _role(destination: Object) -> str:
    """With two Services instead of subsets, the canary's host ends in -canary."""
    host = str(destination.get("destination", {}).get("host", "")).split(".", 1)[0]
    return "canary" if host.endswith("-canary") else "stable"


def parse_rollout(rollout: Object, at: float, *, container: str = "webapp") -> RolloutState:
    """A Rollout as seen at `at`. An absent field is what the controller leaves out: empty, zero or false."""
    metadata, spec, status = rollout.get("metadata", {}), rollout.get("spec", {}), rollout.get("status", {})
    weights = status.get("canary", {}).get("weights") or {}
    return RolloutState(
        at=at,
        uid=str(metadata.get("uid", "")),
        namespace=str(metadata.get("namespace", "")),
        generation=int(metadata.get("generation", 0)),
        revision=str(metadata.get("annotations", {}).get(REVISION_ANNOTATION, "")),
        phase=str(status.get("phase", "")),
        message=str(status.get("message", "")),
        abort=bool(status.get("abort", False)),
        aborted_at=parse_time(status.get("abortedAt")),
        stable_hash=str(status.get("stableRS", "")),
        current_hash=str(status.get("currentPodHash", "")),
        step_index=status.get("currentStepIndex"),
        stable_weight=weights.get("stable", {}).get("weight"),
        canary_weight=weights.get("canary", {}).get("weight"),
        replicas=int(status.get("replicas", 0)),
        updated_replicas=int(status.get("updatedReplicas", 0)),
        ready_replicas=int(status.get("readyReplicas", 0)),
        available_replicas=int(status.get("availableReplicas", 0)),
        image=_image(spec, container),
        spec_digest=_digest(spec),
        promote_full=bool(status.get("promoteFull", False)),
        paused=bool(spec.get("paused", False)),
        step_gates=tuple(
            _digest(step["analysis"]) if step.get("analysis") else ""
            for step in spec.get("strategy", {}).get("canary", {}).get("steps") or ()
        ),
    )


def _digest(spec: Object) -> str:
    return hashlib.sha256(json.dumps(_meaning(spec), sort_keys=True).encode()).hexdigest()


def _meaning(value: Any) -> Any:
    """Without what is empty, zero or false: the controller writes the spec back from its own types, which leave those out."""
    if isinstance(value, Mapping):
        return {key: kept for key, inner in value.items() if (kept := _meaning(inner))}
    return [_meaning(inner) for inner in value] if isinstance(value, list) else value


def _image(spec: Object, container: str) -> str:
    containers = spec.get("template", {}).get("spec", {}).get("containers", ())
    return next((str(each.get("image", "")) for each in containers if each.get("name") == container), "")


def parse_analysis_run(run: Object) -> StepAnalysis:
    """An AnalysisRun; `step_index` is None when no canary step created it."""
    metadata, spec, status = run.get("metadata", {}), run.get("spec", {}), run.get("status", {})
    labels = metadata.get("labels", {})
    owner = controller_of(run)
    step = str(labels.get(STEP_LABEL, ""))
    declared = {str(metric.get("name")): metric for metric in spec.get("metrics", ())}
    return StepAnalysis(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        namespace=str(metadata.get("namespace", "")),
        owner_uid=str(owner.get("uid", "")) if owner.get("kind") == "Rollout" else "",
        step_index=int(step) if step.isdecimal() else None,
        pod_template_hash=str(labels.get(HASH_LABEL, "")),
        revision=str(metadata.get("annotations", {}).get(REVISION_ANNOTATION, "")),
        phase=str(status.get("phase", "")),
        message=str(status.get("message", "")),
        created_at=parse_time(metadata.get("creationTimestamp")),
        started_at=parse_time(status.get("startedAt")),
        finished_at=parse_time(status.get("completedAt")),
        terminated=bool(spec.get("terminate", False)),
        metrics=tuple(
            _parse_metric(result, declared.get(str(result.get("name", "")), {})) for result in status.get("metricResults", ())
        ),
        asked=_digest({key: spec.get(key) for key in ("metrics", "dryRun", "args")}),
    )


def _condition(metric: Object) -> str:
    # A failure condition alone passes NaN, and both leave a gap between them: neither is a gate's condition.
    return "" if metric.get("failureCondition") else str(metric.get("successCondition") or "")


def _forgiven(metric: Object) -> str:
    # No count means one measurement, unless there is an interval: then it goes on until it is ended, and has no last one.
    count = _whole(metric.get("count"), otherwise=0 if metric.get("interval") else 1)
    limit = _whole(metric.get("failureLimit"), otherwise=0)
    if limit is not None and limit < 0:
        return "any number of its measurements may fail"
    if count is None or limit is None or not 0 < count <= limit:
        return ""
    return f"{limit} of its {count} measurements may fail"


def _whole(given: object, *, otherwise: int) -> int | None:
    """A number that may be text; None for an argument's name, which stands for one that is not told here."""
    try:
        return int(str(given)) if given not in (None, "") else otherwise
    except ValueError:
        return None


def _parse_metric(result: Object, declared: Object) -> MetricResult:
    measurements: Sequence[Object] = result.get("measurements") or ({},)
    last = measurements[-1]
    raw = str(last.get("value", ""))
    return MetricResult(
        name=str(result.get("name", "")),
        phase=str(result.get("phase", "")),
        value=parse_value(raw),
        raw_value=raw,
        query=str(result.get("metadata", {}).get(RESOLVED_QUERY, "")),
        condition=_condition(declared),
        message=str(result.get("message") or last.get("message", "")),
        successful=int(result.get("successful", 0)),
        failed=int(result.get("failed", 0)),
        inconclusive=int(result.get("inconclusive", 0)),
        error=int(result.get("error", 0)),
        dry_run=bool(result.get("dryRun", False)),
        measured_at=parse_time(last.get("finishedAt")),
        forgiven=_forgiven(declared),
    )


def parse_response(record: Object) -> ResponseRecord:
    """One line of the load's record of answers."""
    return ResponseRecord(
        at=float(record["at"]),
        started=float(record["started"]),
        status=int(record["status"]),
        version=record["version"],
        pod=record["pod"],
        latency_seconds=float(record["latency"]),
        error=record["error"],
    )


def controller_of(found: Object) -> Object:
    """The reference to what controls this object; empty where nothing does."""
    return next((ref for ref in found.get("metadata", {}).get("ownerReferences") or () if ref.get("controller")), {})


def owned_by(found: Object, uid: str) -> bool:
    """Whether the object of this uid is an owner of this one."""
    return any(ref.get("uid") == uid for ref in found.get("metadata", {}).get("ownerReferences") or ())


def images_by_hash(replica_sets: Iterable[Object], rollout_uid: str, *, container: str = "webapp") -> dict[str, str]:
    """The image of each ReplicaSet of this rollout, by its pod-template hash."""
    images = {}
    for replica_set in replica_sets:
        if owned_by(replica_set, rollout_uid):
            pod_hash = str(replica_set["metadata"].get("labels", {}).get(HASH_LABEL, ""))
            images[pod_hash] = _image(replica_set.get("spec", {}), container)
    return images


def hash_of_release(replica_sets: Iterable[Object], rollout_uid: str, image: str, *, container: str = "webapp") -> str | None:
    """The pod-template hash of the newest ReplicaSet of this rollout that runs exactly this image; None without one."""
    found = [
        (int(replica_set.get("metadata", {}).get("annotations", {}).get(REVISION_ANNOTATION, "0") or 0), pod_hash)
        for replica_set in replica_sets
        for pod_hash, its_image in images_by_hash([replica_set], rollout_uid, container=container).items()
        if its_image == image and pod_hash
    ]
    return max(found)[1] if found else None


def pod_facts(pods: Iterable[Object], pod_hash: str) -> PodFacts:
    """What became of the pods with this pod-template hash, from every version of each that was seen, in the order of time."""
    ready: dict[str, bool] = {}
    restarts: dict[str, int] = {}
    waiting: set[str] = set()
    ran, losses = False, 0
    for pod in pods:
        metadata, status = pod.get("metadata", {}), pod.get("status", {})
        # A pod that is being deleted stops being ready, and that is no fault of its.
        if metadata.get("labels", {}).get(HASH_LABEL) != pod_hash or metadata.get("deletionTimestamp"):
            continue
        uid, containers = str(metadata.get("uid", "")), status.get("containerStatuses") or ()
        states: list[Object] = [each.get("state") or {} for each in containers]
        ran = ran or any(state.get("running") or state.get("terminated") for state in states)
        waiting |= {reason for state in states if (reason := (state.get("waiting") or {}).get("reason"))}
        restarts[uid] = max(restarts.get(uid, 0), sum(int(each.get("restartCount", 0)) for each in containers))
        now = any(each.get("type") == "Ready" and each.get("status") == "True" for each in status.get("conditions") or ())
        losses += ready.get(uid, False) and not now
        ready[uid] = now
    return PodFacts(
        ran=ran, ever_ready=losses > 0 or any(ready.values()), restarts=sum(restarts.values()), readiness_losses=losses,
        waiting=frozenset(waiting),
    )
