"""The dashboards: JSON that Grafana imports, with queries that Prometheus parses, over what the values say."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable

import grafana
import promql_parser
import pytest
from chart_support import CHART, Object, Render
from values_table import VALUES

NAMES = sorted(path.stem for path in (CHART / "dashboards").glob("*.json"))
VARIABLES = {"__rate_interval": "1m", "namespace": "webapp", "app": "webapp", "period": "1h"}
APP = {
    f"{VALUES['analysis']['app']['durationMetric']}_count", f"{VALUES['analysis']['app']['durationMetric']}_bucket",
    "http_server_active_requests", "webapp_faults_injected_total", "process_cpu_seconds_total", "process_resident_memory_bytes",
}  # fmt: skip
ROLLOUT_PHASES = {"Completed", "Progressing", "Paused", "Timeout", "Error", "Abort", "InvalidSpec"}
"""Of rollout_info (controller/metrics/rollouts.go of v1.10.2). They are others than the Rollout's own, Healthy and Degraded."""
GATEWAY = {"envoy_cluster_upstream_rq", "envoy_cluster_upstream_rq_time_bucket"}
CONTROLLER = {
    "rollout_info", "analysis_run_info", "analysis_run_metric_phase",
    *(f"rollout_info_replicas_{each}" for each in ("desired", "available", "updated", "unavailable")),
}  # fmt: skip


@pytest.fixture
def dashboards(render: Render) -> Callable[..., dict[str, Object]]:
    """The dashboards by name, as the chart renders them for these values."""

    def rendered(platform: str = "default", **values: object) -> dict[str, Object]:
        objects = render(platform, **{"dashboards.enabled": True}, **values)
        return {name: json.loads(objects["ConfigMap", f"webapp-{name}"]["data"][f"{name}.json"]) for name in NAMES}

    return rendered


def metrics(text: str) -> set[str]:
    return set(re.findall(r"([a-z_]+)\{", text))


@pytest.mark.parametrize("name", NAMES)
def test_grafana_would_find_no_fault(dashboards: Callable[..., dict[str, Object]], name: str) -> None:
    assert grafana.faults(dashboards()[name]) == []


def test_a_fault_would_be_found(dashboards: Callable[..., dict[str, Object]]) -> None:
    sound = dashboards()["slo"]
    for break_it, told in (
        (lambda board: board["panels"][1].update(id=board["panels"][0]["id"]), "two panels of one id"),
        (lambda board: board["panels"][1]["gridPos"].update(x=5), "lies over"),
        (lambda board: board["panels"][3]["gridPos"].update(x=20), "outside of the grid"),
        (lambda board: board["panels"][0]["fieldConfig"]["defaults"].pop("unit"), "no unit"),
        (lambda board: board["panels"][0]["targets"][0].update(expr="up{a=\"$nobody\"}"), "$nobody is unknown"),
        (lambda board: board["panels"][0]["datasource"].update(uid="abc"), "a data source of its own"),
        (lambda board: board["panels"][1]["fieldConfig"]["defaults"]["thresholds"]["steps"].reverse(), "out of order"),
        (lambda board: board.update(uid="with blanks"), "uid"),
    ):
        broken = copy.deepcopy(sound)
        break_it(broken)
        assert any(told in fault for fault in grafana.faults(broken)), told


def test_each_has_an_address_of_its_own_and_leads_to_the_others(dashboards: Callable[..., dict[str, Object]]) -> None:
    found = dashboards().values()
    assert len({board["uid"] for board in found}) == len({board["title"] for board in found}) == len(NAMES) == 4
    assert all(board["links"][0]["tags"] == board["tags"] for board in found)


@pytest.mark.parametrize("platform", ["default", "local", "kind"])
def test_every_query_parses_and_asks_for_metrics_that_somebody_has(
    dashboards: Callable[..., dict[str, Object]], platform: str
) -> None:
    asked: set[str] = set()
    for board in dashboards(platform).values():
        for query in (*grafana.queries(board, VARIABLES).values(), *grafana.annotations(board, VARIABLES).values()):
            promql_parser.parse(query)
            asked |= metrics(query)
        assert "@" not in json.dumps(board), "a name that no value replaced"
    assert asked == APP | GATEWAY | CONTROLLER


def test_phases_are_the_controllers(dashboards: Callable[..., dict[str, Object]], render: Render) -> None:
    text = json.dumps([*dashboards().values(), render(**{"rules.enabled": True})["PrometheusRule", "webapp"]]).replace('\\"', '"')
    asked = {each for found in re.findall(r'rollout_info\{[^}]*phase=~?"([^"]*)"', text) for each in found.split("|")}
    assert {"Abort", "Completed"} <= asked <= ROLLOUT_PHASES


def test_the_gates_decisions_are_annotations_of_each(dashboards: Callable[..., dict[str, Object]]) -> None:
    for board in dashboards().values():
        found = grafana.annotations(board, VARIABLES)
        assert list(found) == ["A release begins", "Completed", "Rolled back", "Analyses"]
        assert 'phase="Abort"' in found["Rolled back"]


def test_thresholds_are_the_promises_of_the_values(dashboards: Callable[..., dict[str, Object]]) -> None:
    usual = json.dumps(dashboards())
    for number in ("0.99", "0.01", "0.3", "300"):
        assert re.search(rf'"value": {number}\b', usual), number
    other = dashboards(**{"slo.successRate": 0.999, "slo.errorRate": 0.002, "slo.p95Ms": 500})
    steps = [
        step["value"]
        for board in other.values() for panel in grafana.panels(board)
        for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", ())
    ]  # fmt: skip
    assert {0.999, 0.002, 0.5, 500} <= set(steps)
    assert not {0.99, 0.01, 0.3, 300} & set(steps)
    text = json.dumps(other)
    assert "/ 0.001" in text
    assert 'le=\\"0.5\\"' in text
    assert "300 ms" not in text


@pytest.mark.parametrize(("rate", "budget"), [(1, "1e-09"), (1.01, "1e-09"), (0.95, "0.05"), (0.9999, "0.0001"), (0, "1")])
def test_a_promise_that_nothing_can_keep_has_next_to_no_budget(
    dashboards: Callable[..., dict[str, Object]], rate: float, budget: str
) -> None:
    assert f"/ {budget}" in json.dumps(dashboards(**{"slo.successRate": rate}))


def test_an_app_with_names_of_its_own_is_asked_by_them(dashboards: Callable[..., dict[str, Object]]) -> None:
    found = dashboards(**{
        "analysis.app.durationMetric": "took_ms", "analysis.app.unit": "milliseconds", "analysis.app.codeLabel": "status",
        "analysis.app.requestsMetric": "asked_total", "analysis.app.errorCodes": "5..|0",
        "analysis.prometheus.hashLabel": "pod_hash",
        "analysis.envoy.clusterLabel": "envoy_cluster_name", "dashboards.rolloutsNamespaceLabel": "namespace",
    })  # fmt: skip
    text = json.dumps(found)
    assert not re.search(r"http_server_request|rollouts_pod_template_hash|\bcluster_name|exported_namespace", text)
    assert {"took_ms_bucket", "took_ms_count", "asked_total"} <= metrics(text)
    assert 'status=~\\"5..|0\\"' in text
    percentile = next(each for each in grafana.panels(found["canary"]) if each["title"].startswith("95th percentile of"))
    assert percentile["fieldConfig"]["defaults"]["unit"] == "ms"
    assert percentile["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"] == 300


def test_they_render_where_the_gate_counts_elsewhere(dashboards: Callable[..., dict[str, Object]]) -> None:
    found = dashboards(**{"analysis.source": "istio", "slo.p95Ms": 350, "analysis.istio.latencyBucketsMs": [349]})
    assert 'le=\\"0.35\\"' in json.dumps(found)


def test_each_is_a_config_map_that_grafanas_sidecar_finds(render: Render) -> None:
    objects = render(**{"dashboards.enabled": True})
    for name in NAMES:
        assert objects["ConfigMap", f"webapp-{name}"]["metadata"]["labels"]["grafana_dashboard"] == "1"
