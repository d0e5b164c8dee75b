"""Gates and series on which our own rules and the real rollouts controller are held against each other."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
INTERVAL = "1s"
SERIES = [
    {"series": 'requests_total{code="200",hash="abc"}', "values": "0+99x120"},
    {"series": 'requests_total{code="500",hash="abc"}', "values": "0+1x120"},
    {"series": "zero_total", "values": "0x120"},
    {"series": "one", "values": "1x120"},
    {"series": "level", "values": "0+1x120"},
    {"series": "flips", "values": "0x30 1x30 0x60"},
    {"series": "late", "values": "_x25 5x95"},
    {"series": "gone", "values": "1x20 stale"},
    {"series": "huge", "values": "1234567890123456789012x120"},
    {"series": "tiny", "values": "0.000000012345x120"},
    {"series": "endless", "values": "Infx120"},
    {"series": "no_number", "values": "NaNx120"},
]
GUARDED = "len(result) > 0 && !isNaN(result[0]) && result[0] {}"


def metric(name: str, query: str, success: str | None = None, failure: str | None = None, **more: Any) -> Object:
    found: Object = {"name": name, "provider": {"prometheus": {"address": "http://prometheus:9090", "query": query}}}
    if success is not None:
        found["successCondition"] = success
    if failure is not None:
        found["failureCondition"] = failure
    return {"initialDelay": "60s", "count": 1, "consecutiveErrorLimit": 0, **found, **more}


def template(name: str, *metrics: Object, **spec: Any) -> Object:
    return {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": name},
        "spec": {"metrics": list(metrics), **spec},
    }


RATIO = 'round(sum(increase(requests_total{code="500"}[60s])) / sum(increase(requests_total[60s])), 1e-8)'
EVERY = {"interval": "10s", "initialDelay": "10s"}
IN_A_ROW = {"consecutiveSuccessLimit": 3, "interval": "10s"}
RANGE = {
    "prometheus": {
        "address": "http://prometheus:9090", "query": "level",
        "rangeQuery": {"start": 'now() - duration("20s")', "end": "now()", "step": "5s"},
    }
}
TEMPLATES = [
    template("at-least", metric("ok", f"1 - {RATIO}", GUARDED.format(">= 0.99"))),
    template("less-than", metric("bad", RATIO, GUARDED.format("< 0.01"))),
    template(
        "both-at-the-boundary", metric("ok", f"1 - {RATIO}", GUARDED.format(">= 0.99")), metric("bad", RATIO, "result[0] < 0.01"),
    ),
    template("nothing", metric("empty", "absent_metric", "result[0] >= 0.99")),
    template("nothing-twice", metric("empty", "absent_metric", "result[0] >= 0.99", consecutiveErrorLimit=1)),
    template("nothing-guarded", metric("empty", "absent_metric", GUARDED.format(">= 0.99"))),
    template("nothing-unjudged", metric("empty", "absent_metric")),
    template("nan-fails-nothing", metric("nan", "zero_total / zero_total", failure="result[0] > 0.01")),
    template("nan-is-no-success", metric("nan", "no_number", "result[0] < 0.01")),
    template("two-samples", metric("two", "sum by (code) (rate(requests_total[60s]))", "result[0] > 50 && result[1] < 2")),
    template("all-samples", metric("two", "sum by (code) (rate(requests_total[60s]))", "all(result, # > 0.5)")),
    template("scalar", metric("scalar", "scalar(level)", "result == 60")),
    template("scalar-of-nothing", metric("scalar", "scalar(absent_metric)", "isNaN(result)")),
    template("scalar-indexed", metric("scalar", "scalar(level)", "result[0] == 60")),
    template("bad-query", metric("broken", "sum(", "result[0] > 0")),
    template("text", metric("text", '"words"', "true")),
    template("matrix", metric("matrix", "level[30s]", "len(result) == 30 && result[0] == 31")),
    template("ranged", {**metric("ranged", "level", "len(result) == 5 && result[4] == 60"), "provider": RANGE}),
    template("no-condition", metric("free", "level")),
    template("bad-condition", metric("typo", "level", "results[0] > 1")),
    template("not-a-truth", metric("number", "level", "result[0]")),
    template("gap", metric("between", "level", "result[0] > 100", "result[0] < 10")),
    template("gap-allowed", metric("between", "level", "result[0] > 100", "result[0] < 10", inconclusiveLimit=1)),
    template("gap-twice", metric("between", "level", "result[0] > 100", "result[0] < 10", count=3, inconclusiveLimit=1, **EVERY)),
    template("gap-beside-success", metric("between", "level", "result[0] > 100", "result[0] < 10"), metric("one", "one", "true")),
    template("success-and-failure", metric("both", "level", "result[0] > 10", "result[0] > 50")),
    template("numbers", metric("huge", "huge"), metric("tiny", "tiny"), metric("inf", "-endless"), metric("nan", "no_number")),
    template("within-the-limit", metric("flips", "flips", "result[0] == 0", count=6, failureLimit=3, **EVERY)),
    template("beyond-the-limit", metric("flips", "flips", "result[0] == 0", count=6, failureLimit=2, **EVERY)),
    template("never-failing", metric("flips", "flips", "result[0] == 0", count=4, failureLimit=-1, **IN_A_ROW)),
    template("in-a-row", metric("flips", "flips", "result[0] == 0", count=9, failureLimit=4, **IN_A_ROW)),
    template("not-in-a-row", metric("flips", "flips", "result[0] == 0", count=5, failureLimit=2, initialDelay="20s", **IN_A_ROW)),
    template("for-ever", metric("level", "level", "result[0] > 1", count=None, interval="30s", initialDelay="30s")),
    template("for-ever-failing", metric("level", "level", "result[0] < 70", count=None, interval="30s", initialDelay="30s")),
    template(
        "one-ends-the-other", metric("first", "level", "result[0] > 100", initialDelay="20s"),
        metric("second", "level", "result[0] > 1", initialDelay="60s"),
    ),
    template(
        "one-ends-a-series", metric("first", "level", "result[0] > 100", initialDelay="50s"),
        metric("second", "level", "result[0] > 1", count=5, initialDelay="20s", interval="20s"),
    ),
    template(
        "dry", metric("level", "level", "result[0] > 100"), metric("one", "one", "result[0] == 1"),
        dryRun=[{"metricName": "lev.*"}],
    ),
    template("all-dry", metric("level", "level", "result[0] > 100"), dryRun=[{"metricName": ".*"}]),
    template("dry-matches-nothing", metric("level", "level", "result[0] > 1"), dryRun=[{"metricName": "other"}]),
    template("late", metric("late", "late", "result[0] == 5", initialDelay="20s", consecutiveErrorLimit=4)),
    template("gone", metric("gone", "gone", "len(result) == 0", initialDelay="21s")),
    template("errors-then-failures", metric(
        "late", "late", "result[0] == 4", initialDelay="20s", interval="10s", count=2, failureLimit=1, consecutiveErrorLimit=1,
    )),
    template(
        "worst-of-all", metric("error", "sum("), metric("failed", "level", "false"), metric("gap", "level", "false", "false"),
    ),
    template("count-without-interval", metric("level", "level", "true", count=2)),
    template("limits-beyond-count", metric("level", "level", "true", count=1, failureLimit=2)),
    template("twice", metric("level", "level", "true"), metric("level", "one", "true")),
    template("undeclared", metric("level", 'level{x="{{args.nobody}}"}', "true")),
    template(
        "arguments", metric("level", '{{args.name}}{nothing!="{{ args.text }}"}', "result[0] >= {{args.least}}"),
        args=[{"name": "name", "value": "level"}, {"name": "text", "value": "a'b"}, {"name": "least", "value": "60"}],
    ),
]
for each in TEMPLATES:
    for its in each["spec"]["metrics"]:
        if its.get("count", 1) is None:
            del its["count"]
