"""What the gate counts when it asks proxies instead of the app (analysis.source envoy and istio), by Prometheus' own engine.

The window is the last 30 of 60 seconds, scraped every 5: six scrapes in it, and the last one before it at 30 s.
"""

from __future__ import annotations

import json
import re

import pytest
import yaml
from chart_support import CHART, Object, Render
from gate_support import SCRAPE, Evaluate, Series, holds, metrics, queries

from harness.errors import UsageError
from harness.platforms.local.components.gateway import LATENCY_BOUNDS_MS

CANARY = "outbound|80|canary|webapp.webapp.svc.cluster.local"
BEFORE, WINDOW = 7, 6  # scrapes
NEVER = "_x6"
ENVOY = {"analysis.source": "envoy", "analysis.windowSeconds": 30, "analysis.envoy.latencyBucketsMs": [299, 499]}
ISTIO = {"analysis.source": "istio", "analysis.windowSeconds": 30}
SOURCES = {"envoy": ENVOY, "istio": ISTIO}


def growing(start: int, before: int, within: int) -> str:
    """A counter's samples: so many more each scrape before the window, and so many in it."""
    old = [start + before * i for i in range(BEFORE)]
    return " ".join(map(str, old + [old[-1] + within * (i + 1) for i in range(WINDOW)]))


def born(first: int, step: int = 0, *, at: int = 2) -> str:
    """A counter that is first seen with this value, in the window's scrape `at`."""
    absent = BEFORE - 1 + at
    return " ".join(["_"] * absent + [str(first + step * i) for i in range(BEFORE + WINDOW - absent)])


def counter(source: str, code: str, values: str, **labels: str) -> dict[str, str]:
    return {"series": _named(source, "requests", response_code=code, **labels), "values": values}


def histogram(source: str, values: str, fast: str, *, bound: str = "299", **labels: str) -> Series:
    return [
        {"series": _named(source, "count", **labels), "values": values},
        {"series": _named(source, "bucket", le=bound, **labels), "values": fast},
        {"series": _named(source, "bucket", le="+Inf", **labels), "values": values},
    ]


def _named(source: str, what: str, **labels: str) -> str:
    if source == "envoy":
        name = {"requests": "", "count": "_time_count", "bucket": "_time_bucket"}[what]
        name, found = f"envoy_cluster_upstream_rq{name}", {"job": "gateway", "cluster_name": CANARY}
    else:
        base = "istio_request_duration_milliseconds"
        name = {"requests": "istio_requests_total", "count": f"{base}_count", "bucket": f"{base}_bucket"}[what]
        found = {"job": "gateway", "namespace": "webapp", "rollouts_pod_template_hash": "new", "reporter": "destination"}
    return f"{name}{{{','.join(f'{key}={json.dumps(value)}' for key, value in (found | labels).items())}}}"


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def objects(render: Render, source: str) -> dict[tuple[str, str], Object]:
    return render(**SOURCES[source])


def test_the_metrics_are_named_guarded_and_timed_as_with_the_app(render: Render, objects: dict[tuple[str, str], Object]) -> None:
    found, expected = metrics(objects), metrics(render(**{"analysis.windowSeconds": 30}))
    assert list(found) == list(expected)
    for name, metric in found.items():
        ours = {key: value for key, value in metric.items() if key != "provider"}
        assert ours == {key: value for key, value in expected[name].items() if key != "provider"}


@pytest.mark.parametrize(
    ("seen", "values"),
    [
        pytest.param((growing(0, 0, 10), ""), (60, 1, 0), id="a counter that was there"),
        pytest.param((growing(5000, 70, 10), growing(400, 9, 0)), (60, 1, 0), id="what came before the window is not in it"),
        pytest.param((growing(5000, 70, 10), growing(400, 9, 1)), (66, 60 / 66, 6 / 66), id="errors on top of older ones"),
        pytest.param((growing(0, 0, 10), born(3)), (63, 60 / 63, 3 / 63), id="an error that stays the only one is not lost"),
        pytest.param((born(10, 10, at=1), born(1, 1, at=1)), (66, 60 / 66, 6 / 66), id="a canary's very first requests"),
        pytest.param((born(99, at=6), born(1, at=6)), (100, 0.99, 0.01), id="all seen by the last scrape only: one percent"),
        pytest.param((f"{growing(900, 0, 0)[:-11]}10 20 30", ""), (30, 1, 0), id="a proxy that began anew"),
        pytest.param(("61 61 stale _x4 20+20x5", ""), (120, 1, 0), id="a former release's cluster that counted less"),
        pytest.param(("61x5 stale 20+20x5", ""), (120, 1, 0), id="one that was there until just before"),
        pytest.param(
            ("900x5 stale 910+10x5", "7x5 stale 7x5", "1x5 0 1x5"), (60, 1, 0), id="a failed scrape makes no counter new"
        ),
        pytest.param(("300x3 stale _x2 310+10x5", "5x3 stale _x3 3x3 9"), (369, 360 / 369, 9 / 369), id="a cluster made anew"),
        pytest.param((f"{growing(0, 0, 10)[:-3]} stale", ""), (50, 1, 0), id="a proxy that went away in the window"),
    ],
)
def test_requests_and_errors_are_counted_exactly(
    evaluate: Evaluate, source: str, objects: dict[tuple[str, str], Object], seen: tuple[str, ...], values: tuple[float, ...]
) -> None:
    ok, bad, up = (*seen, "1x12")[:3]
    series = [{"series": "up{job='gateway'}", "values": up}, counter(source, "200", ok)]
    series += [counter(source, "503", bad)] if bad else []
    requests, success, errors = values
    wanted = {"requests": requests, "success-rate": round(success, 8), "error-rate": round(errors, 8)}
    evaluate(series, queries(objects), wanted)


def test_every_error_is_one_and_nothing_else(evaluate: Evaluate, source: str, objects: dict[tuple[str, str], Object]) -> None:
    codes = {"200": 10, "302": 1, "404": 2, "499": 1, "500": 1, "502": 1, "503": 2, "504": 2}
    series = [counter(source, code, growing(3, 1, step)) for code, step in codes.items()]
    evaluate(series, queries(objects), {"requests": 120, "success-rate": 0.7, "error-rate": 0.3})


def test_envoys_counts_by_class_are_not_counted_again(evaluate: Evaluate, render: Render) -> None:
    by_class = {"series": _named("envoy", "requests", response_code_class="5xx"), "values": growing(0, 0, 10)}
    series = [counter("envoy", "200", growing(0, 0, 10)), by_class]
    evaluate(series, queries(render(**ENVOY)), {"requests": 60, "success-rate": 1, "error-rate": 0})


@pytest.mark.parametrize(
    ("source", "foreign"),
    [
        ("envoy", {"cluster_name": "outbound|80|stable|webapp.webapp.svc.cluster.local"}),
        ("envoy", {"cluster_name": "outbound|80||webapp.webapp.svc.cluster.local"}),
        ("envoy", {"cluster_name": "outbound|80|canary|webapp.other.svc.cluster.local"}),
        ("istio", {"rollouts_pod_template_hash": "old"}),
        ("istio", {"namespace": "other"}),
        ("istio", {"reporter": "source"}),
    ],
)
def test_nobody_elses_requests_count(evaluate: Evaluate, render: Render, source: str, foreign: dict[str, str]) -> None:
    series = [
        counter(source, "200", growing(0, 1, 10)),
        *histogram(source, growing(0, 1, 10), growing(0, 1, 10)),
        counter(source, "500", growing(0, 1, 1000), **foreign),
        *histogram(source, growing(0, 1, 1000), growing(0, 0, 0), **foreign),
    ]
    wanted = {"requests": 60, "success-rate": 1, "error-rate": 0, "latency-p95": 1}
    evaluate(series, queries(render(**SOURCES[source])), wanted)


@pytest.mark.parametrize("bound", ["299", "299.0"])  # as Envoy writes it, and as Prometheus 3 stores it
@pytest.mark.parametrize("fast", [(growing(7, 1, 19), 0.95), (born(107), 107 / 120), (NEVER, None)])
def test_latency_is_the_share_of_answers_within_the_limit(
    evaluate: Evaluate, source: str, objects: dict[tuple[str, str], Object], bound: str, fast: tuple[str, float | None]
) -> None:
    samples, share = fast
    series = histogram(source, growing(7, 1, 20), samples, bound=bound)
    evaluate(series, queries(objects), {"latency-p95": None if share is None else round(share, 8)})


def test_a_canary_that_nothing_is_known_of_fails(evaluate: Evaluate, objects: dict[tuple[str, str], Object]) -> None:
    evaluate([], queries(objects), dict.fromkeys(metrics(objects)))
    assert not any(holds(metric["successCondition"], None) for metric in metrics(objects).values())


def test_two_services_have_a_cluster_each(render: Render) -> None:
    query = queries(render(**ENVOY, **{"rollout.trafficSplit": "services", "service.port": 8000}))["requests"]
    assert set(re.findall(r'cluster_name="([^"]*)"', query)) == {"outbound|8000||webapp-canary.webapp.svc.cluster.local"}


def test_an_envoy_of_ones_own(render: Render) -> None:
    own = {
        "clusterLabel": "envoy_cluster_name",
        "codeLabel": "envoy_response_code",
        "errorCodes": "5..|429",
        "clusterDomain": "example.test",
        "matchLabels": {"job": "edge", "dc": "a"},
        "latencyBucketsMs": [299],
    }
    query = queries(render(**{"analysis.source": "envoy", "analysis.envoy": own}))["error-rate"]
    cluster = 'envoy_cluster_name="outbound|80|canary|webapp.webapp.svc.example.test",dc="a",job="edge"'
    assert f'envoy_cluster_upstream_rq{{{cluster},envoy_response_code=~"5..|429"}}' in query
    assert "cluster_name=" not in query.replace("envoy_cluster_name=", "")


def test_an_app_with_other_metrics(evaluate: Evaluate, render: Render) -> None:
    own = {"durationMetric": "rq_ms", "unit": "milliseconds", "requestsMetric": "hits", "codeLabel": "is", "errorCodes": "err"}
    labels = 'namespace="webapp",rollouts_pod_template_hash="new"'
    values = f"0+10x{60 // SCRAPE}"
    series = [
        {"series": f'hits{{{labels},is="fine"}}', "values": values},
        {"series": f'hits{{{labels},is="err"}}', "values": values},
        {"series": f"rq_ms_count{{{labels}}}", "values": values},
        {"series": f'rq_ms_bucket{{{labels},le="300"}}', "values": f"0+9x{60 // SCRAPE}"},
    ]
    wanted = {"requests": 240, "success-rate": 0.5, "error-rate": 0.5, "latency-p95": 0.9}
    evaluate(series, queries(render(**{"analysis.app": own})), wanted)


def test_the_sidecars_of_the_pods_get_the_buckets_that_the_gate_asks_for(render: Render) -> None:
    def annotations(**values: object) -> Object:
        found: Object = render(**values)["Rollout", "webapp"]["spec"]["template"]["metadata"]["annotations"]
        return found

    name = "sidecar.istio.io/statsHistogramBuckets"
    buckets = json.loads(annotations(**ISTIO, podAnnotations={name: "{}"})[name])
    assert 299 in buckets["istiocustom"]
    assert name not in annotations()
    assert annotations(podAnnotations={name: "{}"})[name] == "{}"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"analysis.source": "envoy"}, r"slo\.p95Ms \(300\) needs the bound 299.*1000, 2500.*sidecar\.istio\.io/statsHistogramB"),
        ({"analysis.source": "istio", "slo.p95Ms": 400}, r"\(400\) needs the bound 399.*the chart gives it to the pods'"),
        ({"analysis.source": "istio", "slo.p95Ms": 305}, r"\(305\) has more than two digits.*choose 300 or 310"),
        ({"analysis.source": "envoy", "slo.p95Ms": 12345}, r"\(12345\) has more than two digits.*choose 12000 or 13000"),
    ],
)
def test_a_limit_that_the_sources_histogram_cannot_tell_is_refused(render: Render, values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        render(**values)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("limit", [10, 95, 100, 110, 1000, 2500, 10000, 99000])
def test_limits_of_two_digits_are_taken(render: Render, limit: int) -> None:
    values = {"slo.p95Ms": limit, "analysis.istio.latencyBucketsMs": [limit - 1]}
    assert f'le=~"{limit - 1}([.]0)?"' in queries(render(**ISTIO, **values))["latency-p95"]


def test_the_local_platforms_values_list_what_its_gateway_has(render: Render) -> None:
    listed = yaml.safe_load((CHART / "values-local.yaml").read_text())["analysis"]["envoy"]["latencyBucketsMs"]
    assert listed == list(LATENCY_BOUNDS_MS)
    assert render("local", **{"analysis.source": "envoy"})
