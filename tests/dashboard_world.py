"""A release in the middle of its second step, as the API and Prometheus would tell of it, for tests of the live page."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from harness.dashboard.model import Measured, Objects
from harness.dashboard.promises import HASH
from harness.platforms import Part

Object = dict[str, Any]
NOW = 1_800_000_000.0
STABLE, CANARY, RELEASE_UID = "5c7d5b448d", "7b57d9fbb7", "uid-rollout"
HASH_LABEL, REVISION = "rollouts-pod-template-hash", "rollout.argoproj.io/revision"


def stamp(seconds_ago: float) -> str:
    return datetime.fromtimestamp(NOW - seconds_ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rollout(**status: Any) -> Object:
    return {
        "metadata": {"name": "webapp", "namespace": "webapp", "uid": RELEASE_UID, "annotations": {REVISION: "2"}},
        "spec": {"replicas": 1, "strategy": {"canary": {"steps": [{}] * 6}}},
        "status": {
            "phase": "Progressing", "message": "more replicas need to be updated", "currentStepIndex": 3,
            "currentPodHash": CANARY, "stableRS": STABLE, **status,
        },
    }  # fmt: skip


def replica_set(pod_hash: str, revision: int, image: str, seconds_ago: float) -> Object:
    return {
        "metadata": {
            "name": f"webapp-{pod_hash}", "uid": f"uid-{pod_hash}", "labels": {HASH_LABEL: pod_hash},
            "annotations": {REVISION: str(revision)}, "creationTimestamp": stamp(seconds_ago),
            "ownerReferences": [{"uid": RELEASE_UID, "kind": "Rollout", "controller": True}],
        },
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "webapp", "image": image}]}}},
        "status": {"readyReplicas": 1},
    }  # fmt: skip


def pod(pod_hash: str, version: str) -> Object:
    return {
        "metadata": {
            "name": f"webapp-{pod_hash}-abcde", "labels": {HASH_LABEL: pod_hash, "version": version},
            "ownerReferences": [{"uid": f"uid-{pod_hash}"}],
        },
        "status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"restartCount": 0}],
        },
    }  # fmt: skip


def analysis(phase: str, value: str, **metadata: Any) -> Object:
    return {
        "metadata": {
            "name": f"webapp-{CANARY}-2-1", "labels": {HASH_LABEL: CANARY, "step-index": "1"},
            "ownerReferences": [{"uid": RELEASE_UID, "kind": "Rollout", "controller": True}], **metadata,
        },
        "spec": {"metrics": [{"name": "success-rate", "successCondition": "result[0] >= 0.99"}]},
        "status": {
            "phase": phase, "startedAt": stamp(40),
            "metricResults": [{"name": "success-rate", "phase": phase, "measurements": [{"value": f"[{value}]"}]}],
        },
    }  # fmt: skip


def template(success: str = "0.99") -> Object:
    guard = "len(result) > 0 && !isNaN(result[0]) && result[0]"
    query = 'sum(increase(http_server_request_duration_seconds_bucket{le="0.3"}[60s]))'

    def metric(name: str, rest: str) -> Object:
        return {"name": name, "successCondition": f"{guard} {rest}", "provider": {"prometheus": {"query": query}}}

    return {"spec": {"metrics": [
        metric("requests", ">= 30"), metric("success-rate", f">= {success}"), metric("error-rate", "< 0.01"),
        metric("latency-p95", ">= 0.95"),
    ]}}  # fmt: skip


def virtual_service(canary: int) -> Object:
    weights = {"stable": 100 - canary, "canary": canary}
    route = [{"destination": {"subset": name}, "weight": weight} for name, weight in weights.items()]
    return {"metadata": {"name": "webapp"}, "spec": {"http": [{"name": "primary", "route": route}]}}


def objects(**changes: Any) -> Objects:
    made: dict[str, Any] = {
        "rollout": rollout(),
        "replica_sets": (
            replica_set(STABLE, 1, "localhost:5001/webapp:v1.0@sha256:" + "a" * 64, 600),
            replica_set(CANARY, 2, "localhost:5001/webapp:v1.1@sha256:" + "b" * 64, 45),
        ),
        "pods": (pod(STABLE, "v1.0"), pod(CANARY, "v1.1")),
        "analysis_runs": (analysis("Successful", "0.9978"),), "virtual_service": virtual_service(30), "templates": (template(),),
    }  # fmt: skip
    return Objects(**copy.deepcopy(made | changes))


def sample(pod_hash: str, version: str, value: object) -> Object:
    return {"metric": {HASH: pod_hash, "version": version}, "value": [NOW, str(value)]}


def measured(errors: object = 0.0512) -> Measured:
    def both(stable: object, canary: object) -> tuple[Object, ...]:
        return sample(STABLE, "v1.0", stable), sample(CANARY, "v1.1", canary)

    points = {
        STABLE: [[NOW - 300 + 3 * i, "1" if i < 50 else "0.7"] for i in range(100)],
        CANARY: [[NOW - 300 + 3 * i, "0.3"] for i in range(50, 100)],
    }
    shares = tuple(
        {"metric": {HASH: pod_hash, "version": version}, "values": points[pod_hash]}
        for pod_hash, version in ((STABLE, "v1.0"), (CANARY, "v1.1"))
    )
    instant = {"requests": both(35.0, 15.0), "errors": both(0.0, errors), "fast": both(1, 0.9988), "p95": both(0.0047, "NaN")}
    return Measured(instant=instant, shares=shares)


PARTS = (
    Part(name="kube-apiserver", well=True, told="ready, pid 12, 403 MiB"),
    Part(name="Prometheus API", well=True, told="200", url="http://127.0.0.1:9090/api/v1/query?query=up"),
)
