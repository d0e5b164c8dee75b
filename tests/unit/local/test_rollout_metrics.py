"""What stands in for the rollouts controller's metrics: names, labels and phases as its own source has them."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from harness.platforms.local.rollout_metrics.families import families, rollout_phase

NAMES = {"namespace": "webapp", "name": "webapp"}
ROLLOUT: dict[str, Any] = {
    "metadata": NAMES,
    "spec": {"replicas": 3, "strategy": {"canary": {"trafficRouting": {"istio": {}}}}},
    "status": {
        "phase": "Degraded", "replicas": 5, "availableReplicas": 4, "updatedReplicas": 1,
        "conditions": [{"type": "Available", "reason": "AvailableReason"}, {"type": "Progressing", "reason": "RolloutAborted"}],
    },
}  # fmt: skip
RUN: dict[str, Any] = {
    "metadata": {"namespace": "webapp", "name": "webapp-1-2"},
    "spec": {
        "metrics": [{"name": name, "provider": {"prometheus": {}}} for name in ("success-rate", "latency-p95", "requests")],
        "dryRun": [{"metricName": "latency-p95"}],
    },
    "status": {
        "phase": "Failed",
        "metricResults": [{"name": "success-rate", "phase": "Failed"}, {"name": "latency-p95", "phase": "Successful"}],
    },
}  # fmt: skip


class Given:
    """Objects that never change."""

    def __init__(self, rollouts: list[Any], runs: list[Any]) -> None:
        self.rollouts, self.runs = rollouts, runs

    def collect(self) -> Any:
        return families(self.rollouts, self.runs)


def exposition(rollouts: list[Any], runs: list[Any]) -> set[str]:
    registry = CollectorRegistry()
    registry.register(Given(rollouts, runs))  # type: ignore[arg-type]
    return {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}


def test_a_rollout_as_the_controller_would_tell_of_it() -> None:
    names = 'name="webapp",namespace="webapp"'
    assert exposition([ROLLOUT], []) == {
        f'rollout_info{{{names},phase="Abort",strategy="canary",traffic_router="Istio"}} 1.0',
        f"rollout_info_replicas_available{{{names}}} 4.0", f"rollout_info_replicas_unavailable{{{names}}} 1.0",
        f"rollout_info_replicas_desired{{{names}}} 3.0", f"rollout_info_replicas_updated{{{names}}} 1.0",
    }  # fmt: skip


def test_an_analysis_run_as_the_controller_would_tell_of_it() -> None:
    found = exposition([], [RUN])
    assert 'analysis_run_info{name="webapp-1-2",namespace="webapp",phase="Failed"} 1.0' in found
    ones = {line for line in found if line.startswith("analysis_run_metric_phase") and line.endswith(" 1.0")}
    start = "analysis_run_metric_phase{dry_run="
    assert ones == {
        f'{start}"false",metric="success-rate",name="webapp-1-2",namespace="webapp",phase="Failed",type="Prometheus"}} 1.0',
        f'{start}"true",metric="latency-p95",name="webapp-1-2",namespace="webapp",phase="Successful",type="Prometheus"}} 1.0',
        f'{start}"false",metric="requests",name="webapp-1-2",namespace="webapp",phase="Pending",type="Prometheus"}} 1.0',
    }
    assert len([line for line in found if line.startswith("analysis_run_metric_phase")]) == 3 * 6


@pytest.mark.parametrize(
    ("conditions", "phase"),
    [
        ([], "Progressing"),
        ([("Progressing", "NewReplicaSetAvailable")], "Completed"),
        ([("Progressing", "ReplicaSetUpdated")], "Progressing"),
        ([("Progressing", "RolloutPaused")], "Paused"),
        ([("Progressing", "ProgressDeadlineExceeded")], "Timeout"),
        ([("Progressing", "ReplicaSetCreateError")], "Error"),
        ([("Progressing", "NewReplicaSetAvailable"), ("InvalidSpec", "InvalidSpec")], "InvalidSpec"),
    ],
)
def test_phases(conditions: list[tuple[str, str]], phase: str) -> None:
    found = [{"type": kind, "reason": reason} for kind, reason in conditions]
    assert rollout_phase({"status": {"conditions": found}}) == phase


def test_objects_that_say_nothing_yet_are_no_fault() -> None:
    bare = {"metadata": NAMES}
    assert 'rollout_info_replicas_desired{name="webapp",namespace="webapp"} 1.0' in exposition([bare], [bare])
    assert exposition([], []) == set()
