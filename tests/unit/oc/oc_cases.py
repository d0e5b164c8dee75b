"""Gates for the tests, as manifests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from harness.lint.source import Document, documents
from harness.oc.gate import Gate
from harness.oc.reading import read_gate

REQUESTS = 'sum(increase(http_requests_count{hash="{{args.hash}}"}[60s]))'
ERRORS = 'sum(increase(http_requests_count{hash="{{args.hash}}",code=~"5.."}[60s]))'
GOOD = 'sum(increase(http_requests_count{hash="{{args.hash}}",code!~"5.."}[60s]))'
FAST = 'sum(increase(http_requests_bucket{hash="{{args.hash}}",le="0.3"}[60s]))'
GUARD = "len(result) > 0 && !isNaN(result[0]) && result[0]"
SUCCESS_RATE = ("success-rate", f"round(({GOOD} or vector(0)) / {REQUESTS}, 1e-8)", f"{GUARD} >= 0.99")
ERROR_RATE = ("error-rate", f"round(({ERRORS} or vector(0)) / {REQUESTS}, 1e-8)", f"{GUARD} < 0.01")
LATENCY = ("latency-p95", f"round({FAST} / {REQUESTS}, 1e-8)", f"{GUARD} >= 0.95")
ENOUGH = ("requests", f"round({REQUESTS})", f"{GUARD} >= 30")
SPEC = (ENOUGH, SUCCESS_RATE, ERROR_RATE, LATENCY)


def metric(name: str, query: str, condition: str, **more: Any) -> dict[str, Any]:
    provider = {"prometheus": {"address": "http://prometheus:9090", "query": query}}
    return {"name": name, "initialDelay": "60s", "count": 1, "successCondition": condition, "provider": provider, **more}


def template(metrics: Sequence[dict[str, Any]], name: str = "slo") -> dict[str, Any]:
    spec = {"args": [{"name": "hash"}], "metrics": list(metrics)}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": name}, "spec": spec}


def analysis(name: str = "slo", **more: Any) -> dict[str, Any]:
    args = [{"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}}]
    return {"analysis": {"templates": [{"templateName": name}], "args": args, **more}}


def rollout(steps: Sequence[dict[str, Any]], name: str = "web", **spec: Any) -> dict[str, Any]:
    strategy = {"canary": {"steps": list(steps)}}
    body = {"replicas": 1, "strategy": strategy, **spec}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": name}, "spec": body}


def weighted(weights: Sequence[int]) -> list[dict[str, Any]]:
    return [step for weight in weights for step in ({"setWeight": weight}, analysis())]


def as_documents(*objects: dict[str, Any]) -> list[Document]:
    return documents("gate.yaml", yaml.safe_dump_all(objects))


def gate(*metrics: tuple[str, str, str], weights: Sequence[int] = (10, 30, 60)) -> Gate:
    return read_gate(as_documents(rollout(weighted(weights)), template([metric(*each) for each in metrics])))
