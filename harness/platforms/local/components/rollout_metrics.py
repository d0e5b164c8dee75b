"""What stands in for the rollouts controller's metrics, so that dashboards and rules have them here too."""

from __future__ import annotations

from harness.platforms.local.config import LOOPBACK, LocalConfig
from harness.supervisor.component import Component, HttpProbe, MetricsEndpoint, Port


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One reader of Rollouts and AnalysisRuns. It is in no gate's way: nothing waits for it, and no gate asks for its metrics."""
    port = config.ports.rollout_metrics
    return (
        Component(
            name="rollout-metrics",
            argv=(
                str(config.python), "-m", "harness.platforms.local.rollout_metrics",
                f"--kubeconfig={config.kubeconfig('rollout-metrics')}", f"--host={LOOPBACK}", f"--port={port}",
            ),
            env={"PYTHONPATH": str(config.source), "PYTHONUNBUFFERED": "1", "HOME": str(config.paths.data)},
            cwd=config.paths.data,
            ports=(Port(name="http", host=LOOPBACK, number=port),),
            ready=HttpProbe(url=f"http://{LOOPBACK}:{port}/metrics"),
            needs=("crds-served", "roles"),
            metrics=MetricsEndpoint(port="http", path="/metrics"),
        ),
    )
