"""Argo CD's repo-server: fetches from Git and renders the chart."""

from __future__ import annotations

from harness.platforms.local.components.argocd_bootstrap import environment
from harness.platforms.local.config import LOOPBACK, LocalConfig
from harness.supervisor.component import Component, HttpProbe, MetricsEndpoint, Port

PART = "argocd-repo-server"


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One repo-server, which knows no cluster."""
    assert config.gitops  # noqa: S101 -- asked for on a platform with GitOps only
    ports = config.ports
    return (
        Component(
            name=PART,
            argv=(
                str(config.gitops.argocd), f"--redis={LOOPBACK}:{ports.redis}", f"--address={LOOPBACK}",
                f"--port={ports.argocd_repo}", f"--metrics-address={LOOPBACK}", f"--metrics-port={ports.argocd_repo_metrics}",
                # It does not start with upstream's default, a file that is not there.
                "--disable-tls", "--client-ca-path=", "--logformat=text", "--loglevel=warn",
            ),
            env=environment(config, PART),
            cwd=config.paths.data / PART,
            ports=(
                Port(name="grpc", host=LOOPBACK, number=ports.argocd_repo),
                Port(name="metrics", host=LOOPBACK, number=ports.argocd_repo_metrics),
            ),
            ready=HttpProbe(url=f"http://{LOOPBACK}:{ports.argocd_repo_metrics}/healthz"),
            needs=("redis",),
            metrics=MetricsEndpoint(port="metrics"),
        ),
    )
