"""Where each part of a running local platform can be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.platforms.local.config import ARGOCD_NAMESPACE, LOOPBACK
from harness.platforms.local.look import GATEWAY


def links(ports: Mapping[str, int], *, kubectl: Path, kubeconfig: Path, gitops: bool) -> dict[str, str]:
    """Name to URL, or to the command that shows it; nothing before the ports are known."""
    if not ports:
        return {}
    command = f"{kubectl} --kubeconfig {kubeconfig}"
    found = {
        GATEWAY: f"http://{LOOPBACK}:{ports['gateway']}",
        "registry": f"http://localhost:{ports['registry']}/v2/",
        "Prometheus API": f"http://{LOOPBACK}:{ports['prometheus']}/api/v1/query?query=up",
        "Envoy statistics": f"http://{LOOPBACK}:{ports['envoy_admin']}/stats/prometheus",
        "rollout metrics": f"http://{LOOPBACK}:{ports['rollout_metrics']}/metrics",
    }
    if gitops:
        found["Argo CD API"] = f"http://{LOOPBACK}:{ports['argocd_api']}/api/version"
        secret = f"--namespace {ARGOCD_NAMESPACE} get secret argocd-initial-admin-secret"
        found["Argo CD password"] = f"{command} {secret} -o jsonpath='{{.data.password}}' | base64 -d  (user admin)"
        found["Git"] = f"http://{LOOPBACK}:{ports['git']}/release.git/info/refs?service=git-upload-pack"
    return found | {"kubectl": command}
