"""The dashboards: JSON that Grafana imports, with queries that Prometheus parses over metrics that the app has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import promql_parser
import pytest
from chart_support import CHART, Object, Render
from values_table import VALUES

DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
VARIABLES = {"$__rate_interval": "1m", "$namespace": "webapp", "$app": "webapp"}


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> Object:
    path: Path = request.param
    found: Object = json.loads(path.read_text())
    return found


def queries(dashboard: Object) -> list[str]:
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for name, value in VARIABLES.items():
        found = [query.replace(name, value) for query in found]
    return found


def test_every_panel_has_a_title_a_query_and_a_place_of_its_own(dashboard: Object) -> None:
    assert dashboard["uid"]
    assert dashboard["title"]
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert all(panel["title"] and panel["description"] and panel["targets"] for panel in panels)


def test_every_query_parses_and_has_no_variable_that_the_dashboard_lacks(dashboard: Object) -> None:
    known = {f"${each['name']}" for each in dashboard["templating"]["list"]} | {"$__rate_interval"}
    assert set(re.findall(r"\$\w+", json.dumps(dashboard))) <= known
    for query in queries(dashboard):
        promql_parser.parse(query)


def test_the_slo_dashboard_tells_versions_apart_by_what_the_gate_asks_for() -> None:
    base = VALUES["analysis"]["app"]["durationMetric"]
    for query in queries(json.loads((CHART / "dashboards" / "slo.json").read_text())):
        assert "rollouts_pod_template_hash" in query
        assert set(re.findall(r"(\w+)\{", query)) <= {f"{base}_count", f"{base}_bucket"}


def test_each_is_a_config_map_that_grafanas_sidecar_finds(render: Render) -> None:
    objects = render(**{"dashboards.enabled": True})
    for path in DASHBOARDS:
        found = objects["ConfigMap", f"webapp-{path.stem}"]
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert json.loads(found["data"][path.name]) == json.loads(path.read_text())
