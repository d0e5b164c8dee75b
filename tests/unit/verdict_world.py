"""Small made-up releases for the verdict's tests: API objects as Argo Rollouts 1.10 and Istio write them, and load records.

Nothing is random: the gateway sends exactly the weight's share to the canary, and exactly every n-th of its answers fails.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from harness import observation as obs
from harness.scenario import Decision, Scenario, failure, success

START = 1_800_000_000.4
STABLE, CANDIDATE = "5d8f7c9b66", "7b64c5d9f8"
IMAGES = {
    STABLE: "localhost:5001/webapp:v1.0@sha256:" + "a" * 64,
    CANDIDATE: "localhost:5001/webapp:v1.1@sha256:" + "b" * 64,
}
UID, NAMESPACE = "0f4f7f0e-5d0c-4bb0-9a1c-2c1c0a7f9f11", "webapp"
WINDOW, RPS = 20.0, 50.0
GATEWAY_LAG, SCRAPE_LAG = 0.3, 0.5
CONDITIONS = {
    "requests": "len(result) > 0 && !isNaN(result[0]) && result[0] >= 50",
    "success-rate": "len(result) > 0 && !isNaN(result[0]) && result[0] >= 0.99",
    "error-rate": "len(result) > 0 && !isNaN(result[0]) && result[0] < 0.01",
    "latency-p95": "len(result) > 0 && !isNaN(result[0]) && result[0] >= 0.95",
}
ABORTED = (
    "RolloutAborted: Rollout aborted update to revision 2: Step-based analysis phase error/failed: "
    'Metric "success-rate" assessed Failed due to failed (1) > failureLimit (0)'
)

PROMOTED_SCENARIO = success(window_seconds=WINDOW, rps=RPS)
FAILED_SCENARIO = failure(error_rate=5, window_seconds=WINDOW, rps=RPS)
SLOW_SCENARIO = failure(latency_ms=500, window_seconds=WINDOW, rps=RPS)


def stamp(at: float) -> str:
    return datetime.fromtimestamp(math.floor(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class World:
    """What a harness would have seen. Tests change one thing in it, then ask for the observation."""

    scenario: Scenario
    rollouts: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    services: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    replica_sets: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    pods: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    end: float = START

    def clone(self) -> World:
        """A deep copy that shares the (frozen) scenario."""
        return copy.deepcopy(self, {id(self.scenario): self.scenario})

    def observation(self) -> obs.Observation:
        weights = [obs.parse_weights(service, at) for at, service in self.services]
        revisions = obs.pod_revisions(self.pods, self.replica_sets, UID)
        written = [*self.rollouts, *self.services, *((START + 4, run) for run in self.runs)]
        facts: dict[str, Any] = {
            "pods": revisions,
            "image_ids": obs.image_ids(self.pods, revisions),
            "hands": obs.foreign_hands(written, START),
            "namespace": NAMESPACE,
            "rollout_uid": UID,
            "stable_hash": STABLE,
            "candidate_hash": CANDIDATE,
            "stable_image": IMAGES[STABLE],
            "candidate_image": IMAGES[CANDIDATE],
            "release_started_at": START,
            "ended_at": self.end,
            "images": obs.images_by_hash(self.replica_sets, UID),
            "rollout_states": tuple(obs.parse_rollout(rollout, at) for at, rollout in self.rollouts),
            "weight_changes": tuple(change for change in weights if change is not None),
            "analyses": tuple(obs.parse_analysis_run(run) for run in self.runs),
            "responses": tuple(obs.parse_response(record) for record in self.records),
            "load": obs.LoadSummary(
                offered_rps=RPS, achieved_rps=RPS, started=START - 10, ended=self.end, sent=len(self.records)
            ),
            "final_samples": tuple(obs.ServedSample(**sample) for sample in self.samples),
            "prometheus_ok": True,
            "silence_tells": True,
        }
        return obs.Observation(**(facts | self.facts))


def rollout(
    *, generation: int = 3, revision: str = "2", current: str = CANDIDATE, stable: str = STABLE, phase: str = "Progressing",
    message: str = "more replicas need to be updated", step: int = 0, weight: int = 0, aborted: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    status: dict[str, Any] = {
        "observedGeneration": str(generation),
        "phase": phase,
        "stableRS": stable,
        "currentPodHash": current,
        "currentStepIndex": step,
        "replicas": 4, "updatedReplicas": 2, "readyReplicas": 4, "availableReplicas": 4,
        "canary": {"weights": {
            "canary": {"weight": weight, "podTemplateHash": current},
            "stable": {"weight": 100 - weight, "podTemplateHash": stable},
        }},
        "conditions": [],
    }  # fmt: skip
    if message:
        status["message"] = message
    if aborted is not None:
        status |= {"abort": True, "abortedAt": stamp(aborted)}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {
            "name": "webapp", "namespace": NAMESPACE, "uid": UID, "generation": generation,
            "annotations": {"rollout.argoproj.io/revision": revision},
            "managedFields": [written("helm", "spec"), written("rollouts-controller", "status", "status")],
        },
        "spec": {"template": {"spec": {"containers": [{"name": "webapp", "image": IMAGES.get(current, "")}]}}},
        "status": status,
    }  # fmt: skip


def virtual_service(canary: int, generation: int = 1) -> dict[str, Any]:
    def destination(subset: str, weight: int) -> dict[str, Any]:
        return {"destination": {"host": "webapp", "subset": subset, "port": {"number": 80}}, "weight": weight}

    return {
        "kind": "VirtualService",
        "metadata": {
            "name": "webapp",
            "namespace": NAMESPACE,
            "generation": generation,
            "resourceVersion": str(1000 + generation),
        },
        "spec": {"http": [{"name": "primary", "route": [destination("stable", 100 - canary), destination("canary", canary)]}]},
    }


def replica_set(pod_hash: str, revision: int) -> dict[str, Any]:
    return {
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"webapp-{pod_hash}", "namespace": NAMESPACE, "uid": f"rs-{pod_hash}",
            "labels": {"rollouts-pod-template-hash": pod_hash},
            "annotations": {"rollout.argoproj.io/revision": str(revision)},
            "ownerReferences": [{"kind": "Rollout", "name": "webapp", "uid": UID, "controller": True}],
        },
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "webapp", "image": IMAGES[pod_hash]}]}}},
        "status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2},
    }  # fmt: skip


def pod(pod_hash: str, suffix: str) -> dict[str, Any]:
    image = IMAGES[pod_hash]
    return {
        "kind": "Pod",
        "metadata": {
            "name": f"webapp-{pod_hash}-{suffix}", "namespace": NAMESPACE, "uid": f"pod-{pod_hash}-{suffix}",
            "labels": {"rollouts-pod-template-hash": pod_hash},
            "ownerReferences": [{"kind": "ReplicaSet", "uid": f"rs-{pod_hash}", "controller": True}],
        },
        "spec": {"containers": [{"name": "webapp", "image": image}]},
        "status": {"containerStatuses": [{"name": "webapp", "imageID": image}]},
    }  # fmt: skip


def written(manager: str, part: str, subresource: str = "") -> dict[str, Any]:
    """An entry of an object's managedFields."""
    return {"manager": manager, "operation": "Update", "fieldsV1": {f"f:{part}": {}}, "subresource": subresource}


def metric_result(name: str, value: str, phase: str, measured: float) -> dict[str, Any]:
    counter = {"Successful": "successful", "Failed": "failed", "Inconclusive": "inconclusive"}.get(phase, "error")
    query = f'sum(increase(http_server_request_duration_seconds_count{{namespace="webapp",hash="{CANDIDATE}"}}[20s])) # {name}'
    return {
        "name": name,
        "phase": phase,
        "count": 1,
        counter: 1,
        "metadata": {"ResolvedPrometheusQuery": query},
        "measurements": [{"phase": phase, "value": value, "startedAt": stamp(measured), "finishedAt": stamp(measured)}],
    }


def analysis_run(step_index: int, started: float, measured: float, values: dict[str, float], failed: set[str]) -> dict[str, Any]:
    phase = "Failed" if failed else "Successful"
    return {
        "kind": "AnalysisRun",
        "metadata": {
            "name": f"webapp-{CANDIDATE}-2-{step_index}", "namespace": NAMESPACE, "uid": f"run-{step_index}",
            "creationTimestamp": stamp(started),
            "labels": {"rollouts-pod-template-hash": CANDIDATE, "rollout-type": "Step", "step-index": str(step_index)},
            "annotations": {"rollout.argoproj.io/revision": "2"},
            "ownerReferences": [{"kind": "Rollout", "name": "webapp", "uid": UID, "controller": True}],
        },
        "spec": {"metrics": [{"name": name, "successCondition": condition} for name, condition in CONDITIONS.items()]},
        "status": {
            "phase": phase,
            "message": 'Metric "success-rate" assessed Failed due to failed (1) > failureLimit (0)' if failed else "",
            "startedAt": stamp(started), "completedAt": stamp(measured),
            "metricResults": [
                metric_result(name, f"[{value:g}]", "Failed" if name in failed else "Successful", measured)
                for name, value in values.items()
            ],
        },
    }  # fmt: skip


def send(world: World, start: float, end: float, canary_percent: int, *, error_every: int = 0, latency: float = 0.004) -> None:
    """Clients ask at a steady rate; exact shares, and every `error_every`-th answer of the candidate is a 500."""
    served = sum(record["version"] == "v1.1" for record in world.records)
    for number in range(round((end - start) * RPS)):
        started = start + number / RPS
        canary = (number + 1) * canary_percent // 100 > number * canary_percent // 100
        served += canary
        bad = canary and error_every > 0 and served % error_every == 0
        seconds = latency if canary else 0.004
        world.records.append({
            "started": started, "at": started + seconds, "status": 500 if bad else 200,
            "version": "v1.1" if canary else "v1.0",
            "pod": f"webapp-{CANDIDATE if canary else STABLE}-x{number % 2}abc",
            "latency": seconds, "error": "500" if bad else None,
        })  # fmt: skip


def measure(world: World, measured: float) -> dict[str, float]:
    """What Prometheus would answer: the candidate's requests in the window, a scrape behind."""
    low, high = measured - WINDOW - SCRAPE_LAG, measured - SCRAPE_LAG
    seen = [record for record in world.records if record["version"] == "v1.1" and low <= record["at"] < high]
    n = max(1, len(seen))
    good = sum(record["status"] < 500 for record in seen) / n
    fast = sum(record["latency"] <= 0.3 for record in seen) / n
    return {"requests": float(len(seen)), "success-rate": good, "error-rate": 1 - good, "latency-p95": fast}


def finish(world: World, version: str) -> World:
    pod_hash = CANDIDATE if version == "v1.1" else STABLE
    world.samples = [{"version": version, "pod": f"webapp-{pod_hash}-x{n % 2}abc", "status": 200} for n in range(60)]
    return world


def begin(scenario: Scenario) -> World:
    world = World(scenario=scenario, replica_sets=[replica_set(STABLE, 1), replica_set(CANDIDATE, 2)])
    world.pods = [pod(pod_hash, suffix) for pod_hash in (STABLE, CANDIDATE) for suffix in ("x0abc", "x1abc")]
    before = rollout(generation=2, revision="1", current=STABLE, phase="Healthy", message="", step=6)
    world.rollouts = [(START - 11, before), (START + 0.1, rollout(current=STABLE)), (START + 0.3, rollout())]
    world.services = [(START - 11, virtual_service(0))]
    return world


def good_promote(scenario: Scenario = PROMOTED_SCENARIO, *, error_every: int = 0) -> World:
    """A healthy candidate goes up all steps and becomes stable. (`error_every` is for gates that look away.)"""
    world = begin(scenario)
    clock = sent = START - 10
    weight = 0
    clock = START + 3
    for index, following in enumerate((10, 30, 60)):
        send(world, sent, clock + GATEWAY_LAG, weight, error_every=error_every)
        sent, weight = clock + GATEWAY_LAG, following
        world.services.append((clock, virtual_service(weight, index + 2)))
        world.rollouts.append((clock + 0.1, rollout(step=2 * index + 1, weight=weight)))
        started, measured = clock + 1, clock + 1 + WINDOW
        send(world, sent, measured + 1, weight, error_every=error_every)
        sent = measured + 1
        world.runs.append(analysis_run(2 * index + 1, started, measured, measure(world, measured), set()))
        clock = measured + 1
    world.services.append((clock, virtual_service(100, 5)))
    send(world, sent, clock + 1 + GATEWAY_LAG, 100, error_every=error_every)
    promoted = rollout(phase="Healthy", message="", stable=CANDIDATE, step=6, weight=0)
    world.rollouts.append((clock + 1, promoted))
    world.services.append((clock + 1, virtual_service(0, 6)))
    world.end = clock + 7
    send(world, clock + 1 + GATEWAY_LAG, world.end, 100, error_every=error_every)
    return finish(world, "v1.1")


def good_rollback(scenario: Scenario = FAILED_SCENARIO, *, error_every: int = 20, latency: float = 0.004) -> World:
    """A faulty candidate is aborted at the first step; the last of its answers comes a moment later."""
    world = begin(scenario)
    begun = START + 3
    send(world, START - 10, begun + GATEWAY_LAG, 0)
    world.services.append((begun, virtual_service(10, 2)))
    world.rollouts.append((begun + 0.1, rollout(step=1, weight=10)))
    measured = begun + 1 + WINDOW
    aborted = measured + 0.6
    send(world, begun + GATEWAY_LAG, aborted + GATEWAY_LAG, 10, error_every=error_every, latency=latency)
    failed = {"latency-p95"} if latency > 0.3 else {"success-rate", "error-rate"}
    world.runs.append(analysis_run(1, begun + 1, measured, measure(world, measured), failed))
    world.rollouts.append(
        (aborted + 0.1, rollout(phase="Degraded", message=ABORTED, step=0, weight=0, aborted=aborted)),
    )
    world.services.append((aborted + 0.05, virtual_service(0, 3)))
    world.end = aborted + 8
    send(world, aborted + GATEWAY_LAG, world.end, 0)
    return finish(world, "v1.0")


def good_world(decision: Decision) -> World:
    return good_promote() if decision is Decision.PROMOTE else good_rollback()
