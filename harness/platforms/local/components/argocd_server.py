"""Argo CD's API server, for people and their `argocd` program. Its module comes without the web pages."""

from __future__ import annotations

from harness.platforms.local.components.argocd_bootstrap import environment
from harness.platforms.local.config import ARGOCD_NAMESPACE, LOOPBACK, LocalConfig
from harness.supervisor.component import Component, HttpProbe, MetricsEndpoint, Port

PART = "argocd-server"


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One API server, plain HTTP on loopback; whoever calls it must log in."""
    assert config.gitops  # noqa: S101 -- asked for on a platform with GitOps only
    ports = config.ports
    return (
        Component(
            name=PART,
            argv=(
                str(config.gitops.argocd), f"--kubeconfig={config.kubeconfig(PART)}", f"--namespace={ARGOCD_NAMESPACE}",
                f"--redis={LOOPBACK}:{ports.redis}", f"--repo-server={LOOPBACK}:{ports.argocd_repo}", "--repo-server-plaintext",
                "--insecure", f"--address={LOOPBACK}", f"--port={ports.argocd_api}", f"--metrics-port={ports.argocd_api_metrics}",
                "--dex-server=", "--logformat=text", "--loglevel=warn",
            ),
            env=environment(config, PART),
            cwd=config.paths.data / PART,
            ports=(
                Port(name="http", host=LOOPBACK, number=ports.argocd_api),
                Port(name="metrics", host=LOOPBACK, number=ports.argocd_api_metrics),
            ),
            ready=HttpProbe(url=f"http://{LOOPBACK}:{ports.argocd_api}/healthz"),
            needs=("argocd-settings", "argocd-crds-served", "redis", "argocd-repo-server"),
            metrics=MetricsEndpoint(port="metrics"),
        ),
    )
