"""The report as JSON-ready data, for programs. Its contract is `report.schema.json`. PURE: no I/O."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from harness.report.blast import REQUESTS_PER_USER

if TYPE_CHECKING:
    from harness.observation import MetricResult, Observation, StepAnalysis
    from harness.observation.gitops import AppState, Commit
    from harness.report.model import Report
    from harness.report.series import Series
    from harness.scenario import Scenario
    from harness.verdict import Verdict

SCHEMA_VERSION = 1


def render_json(report: Report) -> dict[str, Any]:
    """The whole report; numbers that are not finite become null, since JSON has none."""
    observation = report.observation
    data: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        **_verdict(report.verdict),
        "scenario": _scenario(report.scenario),
        "platform": {"name": report.platform.name, "versions": dict(report.platform.versions)},
        "release": _release(report),
        "checks": [
            {
                "name": check.name,
                "kind": check.kind.value,
                "passed": check.passed,
                "expected": check.expected,
                "actual": check.actual,
                "evidence": list(check.evidence),
            }
            for check in report.verdict.checks
        ],
        "timeline": [{"seconds": event.seconds, "what": event.what} for event in report.timeline],
        "steps": [
            {
                "weight": share.weight,
                "requests": share.requests,
                "canary_requests": share.canary_requests,
                "percent": share.percent,
                "from_seconds": share.start - observation.release_started_at,
                "to_seconds": share.end - observation.release_started_at,
            }
            for share in report.shares
        ],
        "analyses": [_analysis(run) for run in observation.step_analyses],
        "series": _series(report.series),
        "blast_radius": _blast_radius(report),
        "times": {
            "decided_seconds": report.decided_after,
            "detect_seconds": report.detect_seconds,
            "safe_seconds": report.safe_seconds,
        },
        "load": _load(report),
        "faults_injected": dict(observation.faults_injected),
        "candidate_pods": {**asdict(observation.candidate_pods), "waiting": sorted(observation.candidate_pods.waiting)},
        "gitops": _gitops(observation),
        "disturbances": [
            {
                "kind": each.kind, "at_weight": each.at_weight, "problem": each.problem,
                "down_seconds": None if each.down_at is None else each.down_at - observation.release_started_at,
                "up_seconds": None if each.up_at is None else each.up_at - observation.release_started_at,
            }
            for each in observation.disturbed
        ],
        "reproduce": {"command": list(report.reproduction.command), "inputs": dict(report.reproduction.inputs)},
        "notes": list(observation.notes),
    }
    finite: dict[str, Any] = _finite(data)
    return finite


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome.name.lower(),
        "exit_code": verdict.exit_code,
        "decision": verdict.taken.name.lower(),
        "summary": verdict.summary,
    }


def _scenario(scenario: Scenario) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "expect": scenario.expect.value,
        "stable": scenario.stable,
        "candidate": scenario.candidate,
        "error_rate_percent": scenario.error_rate_percent,
        "latency_ms": scenario.latency_ms,
        "fault": {"kind": scenario.fault.kind, "settings": dict(scenario.fault.settings), "why": scenario.fault.why},
        "deciding_metrics": sorted(scenario.deciding_metrics),
        "steps": list(scenario.steps),
        "window_seconds": scenario.window_seconds,
        "rps": scenario.rps,
        "seed": scenario.seed,
        "min_requests": scenario.min_requests,
        "objectives": {name: str(objective) for name, objective in sorted(scenario.objectives.items())},
    }


def _release(report: Report) -> dict[str, Any]:
    observation = report.observation

    def revision(version: str, pod_hash: str, image: str) -> dict[str, str]:
        return {"version": version, "hash": pod_hash, "image": image, "digest": image.partition("@")[2]}

    return {
        "namespace": observation.namespace,
        "rollout_uid": observation.rollout_uid,
        "started_at": _stamp(observation.release_started_at),
        "ended_at": _stamp(observation.ended_at),
        "stable": revision(report.scenario.stable, observation.stable_hash, observation.stable_image),
        "candidate": revision(report.scenario.candidate, observation.candidate_hash, observation.candidate_image),
    }


def _analysis(run: StepAnalysis) -> dict[str, Any]:
    return {
        "name": run.name,
        "uid": run.uid,
        "step_index": run.step_index,
        "hash": run.pod_template_hash,
        "revision": run.revision,
        "phase": run.phase,
        "message": run.message,
        "started_at": _stamp(run.started_at),
        "finished_at": _stamp(run.finished_at),
        "metrics": [_metric(metric) for metric in run.metrics],
    }


def _metric(metric: MetricResult) -> dict[str, Any]:
    return {
        "name": metric.name,
        "phase": metric.phase,
        "value": metric.value,
        "raw_value": metric.raw_value,
        "condition": metric.condition,
        "query": metric.query,
        "message": metric.message,
        "measured_at": _stamp(metric.measured_at),
    }


def _blast_radius(report: Report) -> dict[str, Any]:
    total = len(report.observation.responses)
    return {
        "requests": total,
        "canary_requests": report.canary_requests,
        "failed": report.failures.total,
        "failed_by_canary": report.failures_by_canary,
        "failed_for_other_reasons": report.failures.total - report.failures_by_canary,
        "failed_by_version": dict(report.failures.by_version),
        "failed_without_version": report.failures.without_version,
        "failed_share": report.failures.total / total if total else None,
        "failed_by_step": [
            {
                "weight": step.weight,
                "from_seconds": step.start,
                "to_seconds": step.end,
                "requests": step.requests,
                "by_candidate": step.by_candidate,
                "by_stable": step.by_stable,
                "by_nobody": step.by_nobody,
            }
            for step in report.failures_by_step
        ],
        "exposed_requests": report.exposure.requests,
        "affected_users": [
            {"requests_per_user": count, "share": report.exposure.affected_share(count)} for count in REQUESTS_PER_USER
        ],
    }


def _gitops(observation: Observation) -> dict[str, Any] | None:
    facts = observation.gitops
    if facts is None:
        return None

    def commit(made: Commit | None) -> dict[str, Any] | None:
        return None if made is None else {"sha": made.sha, "subject": made.subject, "at": _stamp(made.at)}

    def state(seen: AppState | None) -> dict[str, Any] | None:
        return None if seen is None else {**asdict(seen), "at": _stamp(seen.at)}

    sync = facts.sync
    return {
        "release": commit(facts.release),
        "revert": commit(facts.revert),
        "states": [state(each) for each in facts.states],
        "decided": state(facts.decided),
        "reverted": state(facts.reverted),
        "sync": None if sync is None else {
            "commit": commit(sync.commit), "requested_at": _stamp(sync.requested_at), "finished_at": _stamp(sync.finished_at),
            "phase": sync.phase, "message": sync.message, "applied": list(sync.applied),
        },
    }  # fmt: skip


def _series(series: Series) -> dict[str, Any]:
    groups = {"stable": series.stable, "candidate": series.candidate, "nobody": series.nobody}
    return {
        "from_seconds": series.start,
        "bucket_seconds": series.bucket_seconds,
        **{
            name: {"requests": list(group.requests), "failed": list(group.failed), "p95_ms": list(group.p95_ms)}
            for name, group in groups.items()
        },
    }


def _load(report: Report) -> dict[str, Any]:
    observation: Observation = report.observation
    return {
        "offered_rps": report.scenario.rps,
        "achieved_rps": report.achieved_rps,
        "reported_rps": observation.load.achieved_rps if observation.load else None,
        "sent": observation.load.sent if observation.load else None,
        "recorded": len(observation.responses),
        "per_second": list(report.per_second),
    }


def _stamp(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
