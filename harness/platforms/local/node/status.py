"""PURE: the pod status and the WorkloadEntry that a pod's state calls for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from harness.platforms.local.node.container import container_id, is_ready, may_restart
from harness.platforms.local.node.probing import outcome
from harness.platforms.local.node.spec import Container, Pod, ProbeKind
from harness.platforms.local.node.state import Condition, ContainerState, PodState, Stage, Termination

NODE_ANNOTATION = "gateproof.dev/node"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Phase and conditions as they are now."""

    phase: str
    initialized: bool
    containers_ready: bool
    ready: bool


def rfc3339(seconds: float) -> str:
    """A time as the API writes it (UTC, whole seconds)."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def summarize(pod: Pod, state: PodState) -> Summary:
    """Kubernetes' own rules for the phase and the readiness of a pod."""
    inits = [state.containers[c.name] for c in pod.init_containers]
    initialized = all(s.current is not None and s.current.exit_code == 0 for s in inits)
    going = state.stop_by is None and pod.deleted_at is None and not state.gone
    ready = going and initialized and all(is_ready(c, state.containers[c.name]) for c in pod.containers)
    gates = {c["type"]: c.get("status") == "True" for c in pod.foreign_conditions}
    phase = _phase(pod, inits, [state.containers[c.name] for c in pod.containers], initialized)
    return Summary(
        phase=phase,
        initialized=initialized,
        containers_ready=ready,
        ready=ready and all(gates.get(g, False) for g in pod.readiness_gates),
    )


def _phase(pod: Pod, inits: Sequence[ContainerState], mains: Sequence[ContainerState], initialized: bool) -> str:
    if any(s.current and s.current.exit_code != 0 and not may_restart(pod, s, init=True) for s in inits):
        return "Failed"
    if not initialized:
        return "Pending"
    if any(s.current is None and s.last is None and s.stage is not Stage.RUNNING for s in mains):
        return "Pending"
    if any(s.stage is not Stage.DONE or may_restart(pod, s) for s in mains):
        return "Running"
    return "Succeeded" if all(s.current and s.current.exit_code == 0 for s in mains) else "Failed"


def conditions(pod: Pod, state: PodState, now: float) -> Mapping[str, Condition]:
    """The four conditions of a pod; `since` only moves when a status changes."""
    s = summarize(pod, state)
    names = [c.name for c in pod.containers if not is_ready(c, state.containers[c.name])]
    unready = f"containers with unready status: [{' '.join(names)}]" if names else None
    pending = [c.name for c in pod.init_containers if not is_ready(c, state.containers[c.name], init=True)]
    incomplete = f"containers with incomplete status: [{' '.join(pending)}]" if pending else None
    not_ready = "PodCompleted" if s.phase == "Succeeded" else "ContainersNotReady"
    gate = s.containers_ready and not s.ready
    wanted = {
        "PodScheduled": (True, None, None),
        "Initialized": (s.initialized, "ContainersNotInitialized", incomplete),
        "ContainersReady": (s.containers_ready, not_ready, unready),
        "Ready": (s.ready, "ReadinessGatesNotReady" if gate else not_ready, unready),
    }
    result = {}
    for name, (status, reason, message) in wanted.items():
        old = state.conditions.get(name)
        result[name] = Condition(
            status=status,
            since=old.since if old and old.status == status else now,
            reason=None if status else reason,
            message=None if status else message,
        )
    return result


def pod_status(pod: Pod, state: PodState, host_ip: str) -> dict[str, Any]:
    """The status as a strategic merge patch: lists with merge keys are replaced, absent texts are null."""
    status: dict[str, Any] = {
        "phase": summarize(pod, state).phase,
        "startTime": rfc3339(state.started_at),
        "hostIP": host_ip,
        "hostIPs": [{"$patch": "replace"}, {"ip": host_ip}],
        "conditions": [
            {
                "type": name,
                "status": str(c.status),
                "lastTransitionTime": rfc3339(c.since),
                "reason": c.reason,
                "message": c.message,
            }
            for name, c in state.conditions.items()
        ],
        "containerStatuses": [_container(pod, c, state) for c in pod.containers],
    }
    if pod.init_containers:
        status["initContainerStatuses"] = [_container(pod, c, state, init=True) for c in pod.init_containers]
    if state.address:
        # podIPs has the merge key "ip": without the directive the address of an earlier agent would stay beside the new one.
        status |= {"podIP": state.address, "podIPs": [{"$patch": "replace"}, {"ip": state.address}]}
    return status


def _container(pod: Pod, container: Container, state: PodState, init: bool = False) -> dict[str, Any]:
    cs = state.containers[container.name]
    now, last = cs.current, cs.last
    if cs.stage is Stage.RUNNING:
        current: dict[str, Any] = {"running": {"startedAt": rfc3339(cs.started_at or 0)}}
    elif cs.stage is Stage.DONE and now and not cs.reason:
        current = {"terminated": _terminated(now)}
    else:
        last = now or last
        current = {"waiting": {"reason": cs.reason} | ({"message": cs.message} if cs.message else {})}
    ready = is_ready(container, cs, init) and (init or pod.deleted_at is None)
    started = cs.stage is Stage.RUNNING and outcome(container, cs, ProbeKind.STARTUP)
    ran = last or cs.current or cs.stage in {Stage.RUNNING, Stage.POST_START}
    return {
        "name": container.name,
        "image": container.image,
        "imageID": cs.image_id,
        "containerID": container_id(pod, cs) if cs.stage is Stage.RUNNING else _last_id(cs) if ran else "",
        "ready": ready,
        "started": started,
        "restartCount": cs.attempt,
        "state": current,
        "lastState": {"terminated": _terminated(last)} if last else {},
    }


def _last_id(cs: ContainerState) -> str:
    end = cs.current or cs.last
    return end.container_id if end else ""


def _terminated(end: Termination) -> dict[str, Any]:
    result: dict[str, Any] = {
        "exitCode": end.exit_code,
        "reason": end.reason,
        "startedAt": rfc3339(end.started_at),
        "finishedAt": rfc3339(end.finished_at),
    }
    if end.message:
        result["message"] = end.message
    if end.container_id:
        result["containerID"] = end.container_id
    return result


def workload_entry(pod: Pod, address: str) -> dict[str, Any]:
    """The WorkloadEntry that makes istiod send traffic to the pod.

    The keys of `ports` are the names of container ports: istiod (1.31, serviceInstanceFromWorkloadInstance) looks up a Service's
    named targetPort there, and leaves the endpoint out when the name is missing. With a numeric targetPort it looks up the
    Service port's own name first, so a Service port that is named like a container port reaches that one whatever the number.
    """
    meta: dict[str, Any] = {
        "name": pod.name,
        "namespace": pod.namespace,
        "labels": dict(pod.labels),
        "annotations": {NODE_ANNOTATION: pod.node_name},
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod.name,
                "uid": pod.uid,
                "controller": False,
                "blockOwnerDeletion": False,
            }
        ],
    }
    spec: dict[str, Any] = {"address": address, "labels": dict(pod.labels), "serviceAccount": pod.service_account}
    if pod.named_ports:
        spec["ports"] = pod.named_ports
    return {"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": meta, "spec": spec}
