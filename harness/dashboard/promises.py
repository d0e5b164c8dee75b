"""What the gate promises and what each version keeps of it: PromQL for the page, and its answers as rows. PURE: no I/O.

The promises are read from the gate that is installed, not from the chart's defaults: whoever tries another gate sees its limits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]

WINDOW = "15s"
"""Of the page's figures: long enough for some scrapes, short enough to see a step begin."""
DURATION = "http_server_request_duration_seconds"
CODE = "http_response_status_code"
HASH = "rollouts_pod_template_hash"
DEFAULT_BOUND = "0.3"
_CONDITION = re.compile(r"result\[0\]\s*(>=|<=|<|>)\s*([0-9.eE+-]+)")
_BOUND = re.compile(r'le=~?"([0-9.]+)')
_WINDOW = re.compile(r"\[(\d+)s\]")


@dataclass(frozen=True, kw_only=True)
class Promise:
    """One metric of the gate: its name, its comparison and limit, and the condition as it is written."""

    name: str
    operator: str
    limit: float
    condition: str

    def kept_by(self, value: float | None) -> bool | None:
        """Whether this value keeps it; None where there is no value."""
        if value is None or not math.isfinite(value):
            return None
        return {">=": value >= self.limit, "<=": value <= self.limit, "<": value < self.limit, ">": value > self.limit}[
            self.operator
        ]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What the installed AnalysisTemplates ask for. `bound` is the latency limit in seconds, as histograms name it."""

    promises: Mapping[str, Promise]
    bound: str = DEFAULT_BOUND
    window_seconds: float = 0.0


def read_gate(templates: Iterable[Object]) -> Gate:
    """The promises of these templates by name. A condition of another form than `result[0] <op> <number>` has none."""
    promises, bound, window = {}, DEFAULT_BOUND, 0.0
    for template in templates:
        for metric in template.get("spec", {}).get("metrics", ()):
            name, condition = str(metric.get("name", "")), str(metric.get("successCondition", ""))
            query = str(metric.get("provider", {}).get("prometheus", {}).get("query", ""))
            if found := _CONDITION.search(condition):
                promises[name] = Promise(name=name, operator=found[1], limit=float(found[2]), condition=condition)
            if name == "latency-p95" and (found := _BOUND.search(query)) and DURATION in query:
                bound = found[1]
            if found := _WINDOW.search(query):
                window = max(window, float(found[1]))
    return Gate(promises=promises, bound=bound, window_seconds=window)


def queries(namespace: str, bound: str) -> dict[str, str]:
    """The page's instant queries by name; each gives one sample a version."""
    scope = f'namespace="{namespace}"'
    by = f"sum by ({HASH}, version)"

    def rate(metric: str, more: str = "") -> str:
        return f"{by} (rate({DURATION}_{metric}{{{scope}{more}}}[{WINDOW}]))"

    errors, slow = f',{CODE}=~"5.."', f',le="{bound}"'
    return {
        "requests": rate("count"),
        "errors": f"{rate('count', errors)} / {rate('count')}",
        "fast": f"{rate('bucket', slow)} / {rate('count')}",
        "p95": f"histogram_quantile(0.95, sum by ({HASH}, version, le) (rate({DURATION}_bucket{{{scope}}}[{WINDOW}])))",
    }


def share_query(namespace: str) -> str:
    """Each version's share of the requests, for a range."""
    count = f'rate({DURATION}_count{{namespace="{namespace}"}}[10s])'
    return f"sum by ({HASH}, version) ({count}) / scalar(sum({count}))"


def by_version(answers: Mapping[str, Iterable[Object]]) -> dict[tuple[str, str], dict[str, float | None]]:
    """The answers by (version, hash), every version that was asked for anything lately; a value that is no number is None."""
    found: dict[tuple[str, str], dict[str, float | None]] = {}
    for name, samples in answers.items():
        for sample in samples:
            labels = sample.get("metric", {})
            key = (str(labels.get("version", "")), str(labels.get(HASH, "")))
            value = float(sample["value"][1])
            found.setdefault(key, {})[name] = value if math.isfinite(value) else None
    return {key: values for key, values in found.items() if values.get("requests")}


def rows(answers: Mapping[str, Iterable[Object]], gate: Gate, roles: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row a version: its figures, and for each promise whether the last seconds keep it. `roles` by hash."""
    versions = by_version(answers)
    total = sum(values.get("requests") or 0.0 for values in versions.values())
    made = []
    for (version, pod_hash), values in sorted(versions.items(), key=lambda item: (roles.get(item[0][1]) != "stable", item[0])):
        errors = values.get("errors")
        figures = {
            "success-rate": None if errors is None else 1 - errors, "error-rate": errors, "latency-p95": values.get("fast"),
        }
        requests = values.get("requests") or 0.0
        made.append({
            "version": version, "hash": pod_hash, "role": roles.get(pod_hash, ""), "rps": requests,
            "share": requests / total if total else None, "p95_seconds": values.get("p95"),
            "promises": [_judged(name, value, gate.promises.get(name)) for name, value in figures.items()],
        })  # fmt: skip
    return made


def _judged(name: str, value: float | None, promise: Promise | None) -> dict[str, Any]:
    return {
        "name": name, "value": value, "kept": promise.kept_by(value) if promise else None,
        "limit": f"{promise.operator} {promise.limit:g}" if promise else "",
    }  # fmt: skip


def lines(answer: Iterable[Object], roles: Mapping[str, str]) -> list[dict[str, Any]]:
    """A range's answer as lines for the chart: points of (epoch seconds, share)."""
    return [
        {
            "version": str(each.get("metric", {}).get("version", "")), "hash": str(each.get("metric", {}).get(HASH, "")),
            "role": roles.get(str(each.get("metric", {}).get(HASH, "")), ""),
            "points": [[at, float(value)] for at, value in each.get("values", ()) if math.isfinite(float(value))],
        }
        for each in answer
    ]  # fmt: skip
