"""A gate read from manifests: what its metrics count, where they turn, and what is refused by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from oc_cases import (
    ENOUGH,
    ERROR_RATE,
    ERRORS,
    FAST,
    GUARD,
    LATENCY,
    REQUESTS,
    SPEC,
    SUCCESS_RATE,
    analysis,
    as_documents,
    gate,
    metric,
    rollout,
    template,
    weighted,
)

from harness.lint import promql
from harness.oc.gate import Cause, GateMetric, most_bad
from harness.oc.query import Count, Unreadable, Value, classify
from harness.oc.reading import read_gate


def one(query: str, condition: str, **more: Any) -> GateMetric:
    found = read_gate(as_documents(rollout(weighted([10])), template([metric("m", query, condition, **more)])))
    return found.metrics[0]


def limit(made: GateMetric, requests: float) -> float:
    return float(most_bad((made,), np.array([requests]), window=60)[0])


def test_the_gate_of_the_specification() -> None:
    found = gate(*SPEC)
    assert [(step.weight, step.seconds) for step in found.steps] == [(10, 60), (30, 60), (60, 60)]
    assert [each.cause for each in found.metrics] == [Cause.TRAFFIC, Cause.ERRORS, Cause.ERRORS, Cause.LATENCY]


@pytest.mark.parametrize("requests", [30, 99, 100, 101, 300, 700, 1900, 12_300])
def test_the_boundary_at_exactly_one_percent(requests: int) -> None:
    at_least, below = limit(one(*SUCCESS_RATE[1:]), requests), limit(one(*ERROR_RATE[1:]), requests)
    assert at_least == requests // 100
    assert below == math.ceil(requests / 100) - 1


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("result[0] >= 0.99", 10), ("result[0] > 0.99", 9), ("result[0] * 100 >= 99", 10), ("!(result[0] < 0.99)", 10),
        ("0.99 <= result[0]", 10), ("result[0] > 2", -1), ("result[0] >= 0", 1000), ("all(result, # >= 0.99)", 10),
    ],
)  # fmt: skip
def test_conditions(condition: str, wanted: float) -> None:
    assert limit(one(SUCCESS_RATE[1], condition), 1000) == wanted


@pytest.mark.parametrize(
    ("query", "condition", "wanted"),
    [
        (f"100 * {ERRORS} / {REQUESTS}", "result[0] <= 2", 20),
        (f"1 - {ERRORS} / {REQUESTS}", "result[0] >= 0.975", 25),
        (ERRORS, "result[0] < 5", 4),
        (ERRORS.replace("increase", "rate"), "result[0] <= 0.5", 30),
        (f"{ERRORS} / ({REQUESTS} > 0)", "result[0] < 0.05", 49),
        (f"{ERRORS} / ({REQUESTS} % 7)", "result[0] < 1", None),
        (f"scalar({ERRORS}) / scalar({REQUESTS})", "result < 0.02", 19),
        (FAST.replace("0.3", "0.5"), "result[0] >= 990", 10),
        ('histogram_quantile(0.95, sum by (le) (rate(http_requests_bucket[60s])))', "result[0] <= 0.3", 50),
    ],
)  # fmt: skip
def test_queries(query: str, condition: str, wanted: float | None) -> None:
    if wanted is None:
        with pytest.raises(Unreadable, match="metric m: its query uses '%'"):
            one(query, condition)
        return
    assert limit(one(query, condition), 1000) == wanted


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [
        ('a_count{code=~"5.."}', Count.ERRORS), ('a_count{code!~"5.."}', Count.GOOD), ('a_count{status="200"}', Count.GOOD),
        ('a_count{response_code_class="5xx"}', Count.ERRORS), ('a_count{code!=""}', Count.ALL), ("a_count", Count.ALL),
        ("http_errors_total", Count.ERRORS), ('a_bucket{le="0.3"}', Count.FAST), ('a_bucket{le=~"299([.]0)?"}', Count.FAST),
        ('a_bucket{le="+Inf"}', Count.ALL), ('a_count{http_response_status_code=~"[45].."}', Count.ERRORS),
    ],
)  # fmt: skip
def test_what_a_selector_counts(selector: str, wanted: Count) -> None:
    assert classify(promql.parse(selector))[0] is wanted


def test_no_traffic_is_nan_for_a_share_and_nothing_for_a_vector() -> None:
    guarded, loose = one(*SUCCESS_RATE[1:]), one(SUCCESS_RATE[1], "", failureCondition="result[0] < 0.99")
    assert limit(guarded, 0) == -1
    assert limit(loose, 0) == 0  # NaN is not below any limit, so it passes: the trap that GATE.md names
    nothing = Value(np.zeros(1), np.zeros(1, dtype=bool))
    assert not guarded.acceptance.of(nothing)[0]


def refused(*objects: dict[str, Any], match: str, **more: Any) -> None:
    with pytest.raises(Unreadable, match=match):
        read_gate(as_documents(*objects), **more)


GOOD = metric(*SUCCESS_RATE)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"provider": {"web": {"url": "http://x"}}}, "metric success-rate: its provider is web"),
        ({"failureLimit": 2}, "metric success-rate: the controller refuses it: count 1 is less than the limits need"),
        ({"failureLimit": -1}, "metric success-rate: the controller refuses it: failureLimit and consecutiveSuccessLimit"),
        ({"successCondition": "result[0] >="}, "metric success-rate: its successCondition is no expression"),
        ({"successCondition": "split(result[0])"}, "metric success-rate: its condition uses something"),
        ({"successCondition": "nothing > 1"}, "metric success-rate: its condition is an error at every value"),
        ({"interval": "30s", "count": None}, "metric success-rate: initialDelay, interval and count"),
        ({"successCondition": "result[0] > 0.5 && result[0] < 0.9"}, "passes again"),
    ],
)
def test_what_cannot_be_computed_is_said_by_name(change: dict[str, Any], match: str) -> None:
    if match == "passes again":
        found = read_gate(as_documents(rollout(weighted([10])), template([{**GOOD, **change}])))
        with pytest.raises(Unreadable, match=match):
            most_bad(found.metrics, np.array([1000.0]), window=60)
        return
    refused(rollout(weighted([10])), template([{**GOOD, **change}]), match=match)


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("up", "reads up as it stands"), ("sum(increase(", "does not parse"),
        (f"{ERRORS} / {REQUESTS.replace('60', '90')}", "different"),
        ("sum(idelta(a_count[60s]))", "uses idelta|not understood"), (f"{ERRORS} / {FAST}", "mixes errors and latency"),
        (f"{FAST} / {FAST.replace('0.3', '1')}", "more than one latency bound"), ("vector(1)", "counts no requests"),
        ("sum(increase(a_count[60s] offset 1m))", "not understood"), ("max(increase(a_count[60s]))", "uses max"),
    ],
)  # fmt: skip
def test_queries_that_cannot_be_computed(query: str, match: str) -> None:
    refused(rollout(weighted([10])), template([metric("m", query, f"{GUARD} >= 0.5")]), match=f"metric m: .*{match}")


def test_inputs_without_a_gate() -> None:
    refused(rollout(weighted([10])), match="no AnalysisTemplate")
    refused(template([GOOD]), match="no Rollout")
    refused(template([GOOD]), rollout([{"setWeight": 10}]), match="none of its steps")
    refused(template([GOOD], name="other"), rollout(weighted([10])), match="AnalysisTemplate slo of a step")
    refused(template([GOOD]), rollout(weighted([10])), rollout(weighted([10]), name="b"), match="more than one Rollout")
    refused(template([GOOD]), rollout([{"setWeight": "x"}, analysis()]), match="setWeight")
    refused(template([GOOD]), rollout(weighted([10])), match="no metric is left", without=frozenset({"success-rate"}))


def test_choices() -> None:
    both = as_documents(template([GOOD]), rollout(weighted([10])), rollout(weighted([20, 40]), name="b"))
    assert [step.weight for step in read_gate(both, rollout="b").steps] == [20, 40]
    alone = as_documents(template([GOOD, metric(*LATENCY)]))
    found = read_gate(alone, weights=(5, 50), without=frozenset({"latency-p95"}))
    assert [step.weight for step in found.steps] == [5, 50]
    assert [each.name for each in found.metrics] == ["success-rate"]


def test_pauses_dry_runs_and_counts() -> None:
    steps = [
        {"setWeight": 5}, {"pause": {"duration": "2m"}}, {"setWeight": 20}, {"pause": {"duration": 30}},
        analysis(dryRun=[{"metricName": "error.*"}]),
    ]  # fmt: skip
    many = metric(*SUCCESS_RATE, count=3, interval="60s")
    found = read_gate(as_documents(rollout(steps), template([many, metric(*ERROR_RATE), metric(*ENOUGH)])))
    assert [(step.weight, step.pause, step.seconds) for step in found.steps] == [(5, 120, 120), (20, 30, 210)]
    assert [[m.name for m in each.metrics] for each in found.steps[1].measurements] == [
        ["success-rate", "requests"], ["success-rate"], ["success-rate"],
    ]  # fmt: skip
    assert "error-rate is left out" in found.notes[0]


def test_other_windows_keep_their_order() -> None:
    found = gate(*SPEC).with_window(120)
    assert [step.seconds for step in found.steps] == [120, 120, 120]
    assert found.window == 120
