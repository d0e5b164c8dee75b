"""Argo CD's application controller: compares what Git says with what the cluster holds, and syncs."""

from __future__ import annotations

from harness.platforms.local.components.argocd_bootstrap import environment
from harness.platforms.local.config import ARGOCD_NAMESPACE, LOOPBACK, LocalConfig
from harness.supervisor.component import Component, LogProbe

PART = "argocd-application-controller"
RESYNC_SECONDS = 30
"""How often it looks by itself; the harness asks for a refresh after each commit, so nothing waits for this."""


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One controller. Its metrics server listens on every interface and cannot be turned off, so it is started deaf (deaf.py)."""
    assert config.gitops  # noqa: S101 -- asked for on a platform with GitOps only
    return (
        Component(
            name=PART,
            argv=(
                str(config.python), "-m", "harness.platforms.local.deaf", str(config.gitops.argocd),
                f"--kubeconfig={config.kubeconfig(PART)}", f"--namespace={ARGOCD_NAMESPACE}",
                f"--redis={LOOPBACK}:{config.ports.redis}", f"--repo-server={LOOPBACK}:{config.ports.argocd_repo}",
                "--repo-server-plaintext", "--metrics-port=0", f"--app-resync={RESYNC_SECONDS}", "--app-resync-jitter=0",
                "--logformat=text", "--loglevel=info",
            ),
            env=environment(config, PART) | {"PYTHONPATH": str(config.source)},
            cwd=config.paths.data / PART,
            ready=LogProbe(pattern=r"Starting secretInformer forcluster"),
            needs=("argocd-settings", "argocd-crds-served", "redis", "argocd-repo-server", "crds-served"),
        ),
    )
