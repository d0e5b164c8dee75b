"""From Rollouts and AnalysisRuns to the controller's metrics of them, under its names and labels. PURE: no I/O.

Names, labels and the rules for a phase were read in controller/metrics of Argo Rollouts v1.10.2; only what describes objects is
here, none of what the controller counts about itself (reconciliations, events, requests).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily

Object = Mapping[str, Any]

PHASE_BY_REASON = {
    "NewReplicaSetAvailable": "Completed", "RolloutPaused": "Paused", "ReplicaSetCreateError": "Error",
    "ProgressDeadlineExceeded": "Timeout", "RolloutAborted": "Abort",
}
"""Of the condition Progressing; any other reason is Progressing."""
ANALYSIS_PHASES = ("Pending", "Error", "Failed", "Successful", "Running", "Inconclusive")
ROUTERS = {
    "alb": "ALB", "ambassador": "Ambassador", "istio": "Istio", "nginx": "Nginx", "smi": "SMI", "appMesh": "AppMesh",
}


def families(rollouts: Iterable[Object], analysis_runs: Iterable[Object]) -> Iterator[GaugeMetricFamily]:
    """Everything at one moment."""
    yield from _rollouts(list(rollouts))
    yield from _analyses(list(analysis_runs))


def _gauge(name: str, told: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, told, labels=("namespace", "name", *labels))


def _rollouts(rollouts: list[Object]) -> Iterator[GaugeMetricFamily]:
    info = _gauge("rollout_info", "Information about rollout.", "strategy", "traffic_router", "phase")
    counts = {
        kind: _gauge(f"rollout_info_replicas_{kind}", f"The number of {kind} replicas per rollout.")
        for kind in ("available", "unavailable", "desired", "updated")
    }
    for rollout in rollouts:
        spec, status = rollout.get("spec", {}), rollout.get("status", {})
        info.add_metric((*_names(rollout), *_strategy(spec), rollout_phase(rollout)), 1)
        available = int(status.get("availableReplicas", 0))
        numbers = {
            "available": available, "unavailable": int(status.get("replicas", 0)) - available,
            "desired": int(spec.get("replicas", 1)), "updated": int(status.get("updatedReplicas", 0)),
        }
        for kind, number in numbers.items():
            counts[kind].add_metric(_names(rollout), number)
    yield info
    yield from counts.values()


def rollout_phase(rollout: Object) -> str:
    """The phase by the controller's metrics, which is another word than `status.phase`: Completed, Abort and so on."""
    conditions = {each.get("type"): each for each in rollout.get("status", {}).get("conditions", ())}
    if "InvalidSpec" in conditions:
        return "InvalidSpec"
    return PHASE_BY_REASON.get(conditions.get("Progressing", {}).get("reason", ""), "Progressing")


def _strategy(spec: Object) -> tuple[str, str]:
    strategy = spec.get("strategy", {})
    if strategy.get("blueGreen") is not None:
        return "blueGreen", ""
    if strategy.get("canary") is None:
        return "none", ""
    routing = strategy["canary"].get("trafficRouting") or {}
    found = [word for key, word in ROUTERS.items() if routing.get(key) is not None]
    return "canary", found[-1] if found else ""


def _analyses(runs: list[Object]) -> Iterator[GaugeMetricFamily]:
    info = _gauge("analysis_run_info", "Information about analysis run.", "phase")
    phases = _gauge("analysis_run_metric_phase", "The phase of each metric.", "metric", "type", "dry_run", "phase")
    for run in runs:
        spec, status = run.get("spec", {}), run.get("status", {})
        info.add_metric((*_names(run), str(status.get("phase", ""))), 1)
        results = {result.get("name"): result.get("phase", "") for result in status.get("metricResults", ())}
        dry = {each.get("metricName") for each in spec.get("dryRun", ())}
        for metric in spec.get("metrics", ()):
            name = str(metric.get("name", ""))
            kind = next((_capital(key) for key in metric.get("provider", {})), "")
            told = results.get(name) or "Pending"
            for phase in ANALYSIS_PHASES:
                labels = (*_names(run), name, kind, str(name in dry).lower(), phase)
                phases.add_metric(labels, float(phase == told))
    yield info
    yield phases


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _names(found: Object) -> tuple[str, str]:
    metadata = found.get("metadata", {})
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))
