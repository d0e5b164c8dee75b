"""The Argo Rollouts controller."""

from __future__ import annotations

from harness.platforms.local.config import ROLLOUTS_NAMESPACE, LocalConfig
from harness.supervisor.component import Component, LogProbe

NO_PORT = -1
"""The controller's health and metrics servers always listen on every interface; their flags take a port but no address. A port
that cannot exist makes each of them log one error and stay down, while the controller itself runs on (controller/controller.go,
Run): so nothing of the platform listens beyond loopback, at the price of the controller's own metrics (rollout_metrics.py
stands in for those that describe Rollouts and AnalysisRuns)."""


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One controller that opens no port."""
    return (
        Component(
            name="argo-rollouts",
            argv=(
                str(config.binaries["rollouts-controller"]), f"--kubeconfig={config.kubeconfig('argo-rollouts')}",
                f"--namespace={ROLLOUTS_NAMESPACE}", "--namespaced=false", "--leader-elect=false",
                f"--healthzPort={NO_PORT}", f"--metricsPort={NO_PORT}",
            ),
            env={"HOME": str(config.paths.data)},
            ready=LogProbe(pattern=r"Started controller"),
            needs=("crds-served", "roles"),
        ),
    )
