"""What a run keeps so that its gate can be decided again: the AnalysisRuns as they were, and the samples that they looked at.

Samples come by a remote read: a query would leave staleness markers out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.lint import promql
from harness.lint.promql_facts import reach
from harness.lint.subject import mapping, sequence
from harness.loopback import local_session
from harness.observation import parse_time
from harness.replay import samples, wire
from harness.replay.analysis import Invalid
from harness.replay.subjects import fill

FOLDER = "replay"
RUNS = "analysisruns.json"
SERIES = "series.jsonl"
LOOKBACK_SECONDS = 300.0
"""How far back Prometheus looks for the latest sample of a series."""
READ_SECONDS = 15.0
_KEPT = ("name", "namespace", "uid", "labels", "annotations", "creationTimestamp", "ownerReferences")


def _each(**properties: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object", "properties": properties}}


_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
KEPT: dict[str, Any] = {
    "type": "object", "required": ["items"],
    "properties": {"items": _each(
        metadata={"type": "object", "properties": {"name": _TEXT}},
        spec={"type": "object", "properties": {
            "metrics": _each(name=_TEXT, provider={"type": "object"}), "args": _each(name=_TEXT),
        }},
        status={"type": "object", "properties": {"phase": _TEXT, "metricResults": _each(
            name=_TEXT, count=_COUNT, error=_COUNT,
            measurements=_each(phase=_TEXT, value=_TEXT, message=_TEXT, startedAt=_TEXT, finishedAt=_TEXT),
        )}},
    )},
}  # fmt: skip
"""The JSON schema of RUNS, as far as it is read again: what the API server has checked, a file may hold otherwise."""


def keep(folder: Path, runs: Iterable[Mapping[str, Any]], *, since: float, prometheus_url: str) -> str:
    """Write what is needed into `folder`/replay, of AnalysisRuns created from `since` (epoch seconds) on.

    Returns why it could not, in one line; empty when it could. Nothing of it is worth a verdict.
    """
    try:
        chosen = [
            trimmed(run) for run in runs
            if (parse_time(mapping(run.get("metadata")).get("creationTimestamp")) or 0.0) >= since - 1.0
        ]
        target = folder / FOLDER
        target.mkdir(parents=True, exist_ok=True)
        listed = {"apiVersion": "v1", "kind": "List", "items": chosen}
        (target / RUNS).write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
        found: list[samples.Series] = []
        wanted = selectors(chosen)
        first = min((moment for run in chosen for moment in measured(run)), default=None)
        if wanted and first is not None:
            start = first - LOOKBACK_SECONDS - max((reach(query) for query in queries(chosen)), default=0.0)
            found = read(prometheus_url, wanted, start, time.time())
        with (target / SERIES).open("w", encoding="utf-8") as file:
            file.writelines(samples.dump(found))
    except Exception as error:  # whatever it is, it must not cost a verdict
        return f"the run cannot be replayed, for its samples were not kept: {' '.join(str(error).split())[:200]}"
    return ""


def trimmed(run: Mapping[str, Any]) -> dict[str, Any]:
    """An AnalysisRun without what only the API server needs."""
    metadata = {key: value for key, value in mapping(run.get("metadata")).items() if key in _KEPT}
    return {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "metadata": metadata,
        "spec": mapping(run.get("spec")), "status": mapping(run.get("status")),
    }


def measured(run: Mapping[str, Any]) -> list[float]:
    """When each of its measurements began, in epoch seconds."""
    results = map(mapping, sequence(mapping(run.get("status")).get("metricResults")))
    found = [parse_time(mapping(each).get("startedAt")) for result in results for each in sequence(result.get("measurements"))]
    return [each for each in found if each is not None]


def args_of(run: Mapping[str, Any]) -> dict[str, str]:
    """The values of its arguments; one from a Secret is left out."""
    found = (mapping(each) for each in sequence(mapping(run.get("spec")).get("args")))
    return {str(each["name"]): str(each["value"]) for each in found if each.get("name") and each.get("value") is not None}


def resolved(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Its metrics by name, arguments filled in; one whose arguments cannot be is left out."""
    found = {}
    for each in sequence(mapping(run.get("spec")).get("metrics")):
        try:
            filled = fill(mapping(each), args_of(run))
        except Invalid:
            continue
        found[str(filled.get("name"))] = filled
    return found


def queries(runs: Iterable[Mapping[str, Any]]) -> list[promql.Expr]:
    """The trees of all queries to Prometheus that parse."""
    found = []
    for run in runs:
        for metric in resolved(run).values():
            text = str(mapping(mapping(metric.get("provider")).get("prometheus")).get("query") or "")
            try:
                found.append(promql.parse(text))
            except (promql.Malformed, promql.TooLarge):
                continue
    return found


def selectors(runs: Iterable[Mapping[str, Any]]) -> list[tuple[wire.Matcher, ...]]:
    """The matchers of every selector in the queries, each once."""
    found = [tuple(promql.matchers(each)) for query in queries(runs) for each in promql.selectors(query)]
    return list(dict.fromkeys(found))


def read(url: str, wanted: Sequence[Sequence[wire.Matcher]], start: float, end: float) -> list[samples.Series]:
    """The raw samples of these selectors between two moments (epoch seconds). Raises RequestException, wire.Malformed."""
    headers = {
        "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Read-Version": "0.1.0",
    }
    body = wire.read_request(wanted, int(start * 1000), int(end * 1000))
    answer = local_session().post(f"{url}/api/v1/read", data=body, headers=headers, timeout=READ_SECONDS)
    answer.raise_for_status()
    return wire.read_response(answer.content)
