"""PURE: the Node object that stands for this machine."""

from __future__ import annotations

import platform
from typing import Any

from harness.platforms.local.node.status import rfc3339

HOST_IP = "127.0.0.1"
MAX_PODS = 250
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture() -> str:
    """The machine's architecture, as Kubernetes names it."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def manifest(name: str) -> dict[str, Any]:
    """The Node itself."""
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture()}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def status(name: str, *, ready: bool, now: float, cpu: int, memory: int) -> dict[str, Any]:
    """Its status. `memory` in bytes. The versions say plainly that this is no kubelet."""
    capacity = {"cpu": str(cpu), "memory": f"{memory // 1024}Ki", "pods": str(MAX_PODS)}
    stamp = rfc3339(now)
    reason, message = ("NodeAgentReady", "pods run as processes") if ready else ("NodeAgentStopped", "the node agent has stopped")
    condition = {
        "type": "Ready",
        "status": str(ready),
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": stamp,
        "lastTransitionTime": stamp,
    }
    info = {
        "operatingSystem": "linux",
        "architecture": architecture(),
        "kernelVersion": platform.release(),
        "kubeletVersion": "gateproof-node-agent",
        "containerRuntimeVersion": "process://gateproof",
        "osImage": platform.system(),
        "kubeProxyVersion": "",
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
    }
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [condition],
        "nodeInfo": info,
        "addresses": [{"type": "InternalIP", "address": HOST_IP}, {"type": "Hostname", "address": name}],
    }
