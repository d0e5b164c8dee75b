"""The gate's queries and conditions, evaluated by Prometheus' own engine (promtool) on series that tests make up."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import pytest
from chart_support import Render
from gate_support import GUARD, Evaluate, holds, metrics, queries


@dataclass(kw_only=True)
class Traffic:
    """Series of one window. Counters grow by whole requests each scrape, so each increase is known."""

    series: list[dict[str, str]] = field(default_factory=list)

    def add(self, *, status: str, per_scrape: float, fast: float | None = None, hash_: str = "new", **labels: str) -> None:
        """`fast` of `per_scrape` requests were answered within 0.3 s (default: all)."""
        found = {"namespace": "webapp", "rollouts_pod_template_hash": hash_, "http_response_status_code": status, **labels}
        text = ",".join(f'{name}="{value}"' for name, value in found.items())
        base = "http_server_request_duration_seconds"
        for name, step in ((f"{base}_count{{{text}}}", per_scrape), (f'{base}_bucket{{{text},le="0.3"}}', fast)):
            self.series.append({"series": name, "values": f"0+{per_scrape if step is None else step}x30"})


def test_the_metrics_are_the_architectures_promises(render: Render) -> None:
    conditions = {name: metric["successCondition"].removeprefix(GUARD) for name, metric in metrics(render()).items()}
    assert conditions == {"requests": ">= 30", "success-rate": ">= 0.99", "error-rate": "< 0.01", "latency-p95": ">= 0.95"}


def test_every_metric_has_one_guarded_condition_and_measures_a_full_window_once(render: Render) -> None:
    for metric in metrics(render(**{"analysis.windowSeconds": 45})).values():
        assert metric.keys() == {
            "name",
            "initialDelay",
            "count",
            "failureLimit",
            "consecutiveErrorLimit",
            "successCondition",
            "provider",
        }
        assert metric["successCondition"].startswith(GUARD)
        assert (metric["initialDelay"], metric["count"], metric["failureLimit"]) == ("45s", 1, 0)
        assert set(re.findall(r"\[[^\]]*\]", metric["provider"]["prometheus"]["query"])) == {"[45s]"}


def test_every_selector_is_scoped_to_the_canary_in_its_namespace(render: Render) -> None:
    objects = render(**{"analysis.prometheus.hashLabel": "pod_hash", "analysis.prometheus.address": "http://127.0.0.1:9"})
    for metric in metrics(objects).values():
        assert metric["provider"]["prometheus"]["address"] == "http://127.0.0.1:9"
        selectors = re.findall(r"http_server_request_duration_seconds_\w+\{(.*?)\}\[", metric["provider"]["prometheus"]["query"])
        assert selectors
        for selector in selectors:
            assert selector.startswith('namespace="{{args.namespace}}",pod_hash="{{args.canary-hash}}"')
    assert {"name": "namespace", "value": "webapp"} in objects["AnalysisTemplate", "webapp-slo"]["spec"]["args"]


@pytest.mark.parametrize(
    ("milliseconds", "label"),
    [(5, "0.005"), (75, "0.075"), (250, "0.25"), (300, "0.3"), (1000, "1.0"), (10000, "10.0"), (60, "0.06")],
)
def test_the_bucket_is_named_as_prometheus_stores_it(render: Render, milliseconds: int, label: str) -> None:
    query = queries(render(**{"slo.p95Ms": milliseconds, "slo.latencyBucketsMs": [milliseconds, 20000]}))["latency-p95"]
    assert re.findall(r'le="([^"]*)"', query) == [label]


@pytest.mark.parametrize(("value", "printed"), [(1, "1"), (1.01, "1.01"), (0, "0"), (0.9995, "0.9995"), (0.00001, "1e-05")])
def test_thresholds_keep_their_value(render: Render, value: float, printed: str) -> None:
    found = metrics(render(**{"slo.successRate": value, "slo.errorRate": value, "analysis.minRequests": 10_000_000}))
    assert found["success-rate"]["successCondition"] == f"{GUARD}>= {printed}"
    assert found["error-rate"]["successCondition"] == f"{GUARD}< {printed}"
    assert found["requests"]["successCondition"] == f"{GUARD}>= 10000000"


# One scrape adds so many (good, bad, fast of them); twelve scrapes make a window.
@pytest.mark.parametrize(
    ("added", "values", "broken"),
    [
        pytest.param((100, 0, 100), (1200, 1, 0, 1), set(), id="healthy"),
        pytest.param((99, 1, 100), (1200, 0.99, 0.01, 1), {"error-rate"}, id="exactly one percent: the two promises part"),
        pytest.param((98, 2, 100), (1200, 0.98, 0.02, 1), {"success-rate", "error-rate"}, id="errors"),
        pytest.param((0, 10, 10), (120, 0, 1, 1), {"success-rate", "error-rate"}, id="nothing but errors"),
        pytest.param((100, 0, 95), (1200, 1, 0, 0.95), set(), id="95 of 100 in time"),
        pytest.param((100, 0, 94), (1200, 1, 0, 0.94), {"latency-p95"}, id="94 of 100 in time"),
        pytest.param((100, 0, 0), (1200, 1, 0, 0), {"latency-p95"}, id="all too slow"),
        pytest.param((2, 0, 2), (24, 1, 0, 1), {"requests"}, id="too few"),
        pytest.param(
            (0, 0, 0),
            (0, math.nan, math.nan, math.nan),
            {"requests", "success-rate", "error-rate", "latency-p95"},
            id="no traffic",
        ),
    ],
)
def test_decisions(
    render: Render, evaluate: Evaluate, added: tuple[int, int, int], values: tuple[float, ...], broken: set[str]
) -> None:
    objects = render()
    good, bad, fast = added
    traffic = Traffic()
    traffic.add(status="200", per_scrape=good, fast=min(fast, good))
    traffic.add(status="500", per_scrape=bad, fast=max(0, fast - good))
    # Somebody else's requests, which must not count: the stable version's, and those of the same hash elsewhere.
    traffic.add(status="500", per_scrape=1000, fast=0, hash_="old")
    traffic.add(status="200", per_scrape=1000, fast=0, namespace="other")
    measured = dict(zip(metrics(objects), values, strict=True))
    evaluate(traffic.series, queries(objects), dict(measured))
    verdicts = {name: holds(metric["successCondition"], measured[name]) for name, metric in metrics(objects).items()}
    assert {name for name, kept in verdicts.items() if not kept} == broken


def test_a_version_without_any_error_series_has_no_errors(render: Render, evaluate: Evaluate) -> None:
    traffic = Traffic()
    traffic.add(status="200", per_scrape=10)
    values = {"requests": 120, "success-rate": 1, "error-rate": 0, "latency-p95": 1}
    evaluate(traffic.series, queries(render()), values)


def test_a_canary_that_is_not_scraped_has_no_values_and_fails(render: Render, evaluate: Evaluate) -> None:
    traffic = Traffic()
    traffic.add(status="200", per_scrape=10, hash_="old")
    objects = render()
    evaluate(traffic.series, queries(objects), dict.fromkeys(metrics(objects)))
    assert not any(holds(metric["successCondition"], None) for metric in metrics(objects).values())


@pytest.mark.parametrize("times", [1, 5, 9, 17])  # by 5, 9 and 17, the plain quotient is 0.009999999999999998: under 1 %
@pytest.mark.parametrize("spread", [(1, 98), (49, 50)])
def test_exactly_ninety_nine_of_a_hundred_is_not_lost_in_floating_point(
    render: Render, evaluate: Evaluate, spread: tuple[int, int], times: int
) -> None:
    traffic = Traffic()
    for pod, per_scrape in enumerate(spread):
        traffic.add(status="200", per_scrape=per_scrape * times, pod=str(pod))
    traffic.add(status="500", per_scrape=times, pod="0")
    evaluate(traffic.series, queries(render()), {"success-rate": 0.99, "error-rate": 0.01})
