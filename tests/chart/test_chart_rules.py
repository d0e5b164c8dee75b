"""The recording and alerting rules, run by Prometheus' own engine (promtool) over series that tests make up."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_support import Object, Render

from harness.errors import UsageError

STEP = 60
"""Seconds between two samples, and between two evaluations: half as often as the file asks for is as good and half the work."""
HOUR = 3600 // STEP
BASE = "http_server_request_duration_seconds"
LABELS = 'namespace="webapp",app="webapp"'
RELEASE = 'exported_namespace="webapp",name="webapp"'

Tests = list[dict[str, Any]]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def rule_file(render: Render) -> str:
    """The plain rule file."""
    text: str = render(**{"rules.configMap": True})["ConfigMap", "webapp-rules"]["data"]["webapp.rules.yaml"]
    return text


@pytest.fixture
def promtool(bin_dir: Path, tmp_path: Path) -> Run:
    """Run promtool's unit tests over a rule file."""

    def run(text: str, tests: Tests) -> subprocess.CompletedProcess[str]:
        (tmp_path / "rules.yaml").write_text(text.replace("interval: 30s", f"interval: {STEP}s"))
        # Unless told otherwise, promtool takes a file's groups in the order of a Go map: one run in eight has the alerts see the
        # shares of the evaluation before.
        order = [each["name"] for each in yaml.safe_load(text)["groups"]]
        settings = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{STEP}s", "group_eval_order": order, "tests": tests}
        (tmp_path / "tests.yaml").write_text(yaml.safe_dump(settings))
        argv: list[str | Path] = [bin_dir / "promtool", "test", "rules", "tests.yaml"]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    return run


def requests(status: str, *stretches: tuple[int, int], fast: bool = True) -> list[dict[str, str]]:
    """Series of one status: so many requests a sample, for so many samples, stretch after stretch."""
    values, count = ["0"], 0
    for per_sample, samples in stretches:
        for _ in range(samples):
            count += per_sample
            values.append(str(count))
    text = " ".join(values)
    zero = f"0x{len(values)}"
    code = f'http_response_status_code="{status}"'
    return [
        {"series": f"{BASE}_count{{{LABELS},{code}}}", "values": text},
        {"series": f'{BASE}_bucket{{{LABELS},{code},le="0.3"}}', "values": text if fast else zero},
    ]


def alert(name: str, at: str, *wanted: tuple[str, str, str]) -> dict[str, Any]:
    """That exactly these (severity, slo, window) fire at this moment; their texts are looked at by a test of their own."""
    return {"alertname": name, "eval_time": at, "wanted": wanted}


def group(series: list[dict[str, str]], alerts: list[dict[str, Any]] = (), values: dict[str, float | None] | None = None,  # type: ignore[assignment]
          at: str = "30m") -> dict[str, Any]:  # fmt: skip
    """One of promtool's groups. Alerts are asked for by the series ALERTS, which holds their labels and no texts."""
    asked = [
        {
            "expr": f'count by (severity, slo, window) (ALERTS{{alertname="{each["alertname"]}",alertstate="firing"}})',
            "eval_time": each["eval_time"],
            "exp_samples": [
                {"labels": f'{{severity="{severity}", slo="{slo}", window="{window}"}}', "value": 1}
                for severity, slo, window in each["wanted"]
            ],
        }
        for each in alerts
    ]
    for query, value in (values or {}).items():
        samples = [] if value is None else [{"labels": "{}", "value": value}]
        asked.append({"expr": f"round(sum({query}), 1e-6)", "eval_time": at, "exp_samples": samples})
    return {"interval": f"{STEP}s", "input_series": series, "promql_expr_test": asked}


PAGE_1H, PAGE_6H = ("page", "errors", "1h"), ("page", "errors", "6h")
TICKET_1D, TICKET_3D = ("ticket", "errors", "1d"), ("ticket", "errors", "3d")
RECORDED = {
    "app:request_errors:ratio_rate5m": 0.005, "app:request_errors:ratio_rate1h": 0.005, "app:requests:rate5m": 3.333333,
    "app:request_slow:ratio_rate30m": 0.0, "app:request_slow:ratio_rate3d": 0.0,
}  # fmt: skip
GROUPS = {
    "half a percent of errors is within the promise": group(
        [*requests("200", (199, HOUR)), *requests("500", (1, HOUR))], [alert("ErrorBudgetBurn", "60m")],
        RECORDED,
    ),
    "without any series of an error the share is 0, not missing": group(
        requests("200", (100, HOUR)), [alert("ErrorBudgetBurn", "60m")], {"app:request_errors:ratio_rate1h": 0.0}
    ),
    "without traffic there is no share, and no alert": group(
        [*requests("200", (0, HOUR)), *requests("500", (0, HOUR))],
        [alert("ErrorBudgetBurn", "60m"), alert("LatencyBudgetBurn", "60m")],
        {"count(app:request_errors:ratio_rate1h != app:request_errors:ratio_rate1h)": 1.0},
    ),
    # Ten minutes of 50 % make 8.3 % of an hour: above 6 (6 %), but not 14.4 (14.4 %); twenty make 16.7 %.
    "a burst calls once it is worth a call, and is quiet soon after it ended": group(
        [*requests("200", (100, 10 * HOUR), (50, 20), (100, HOUR)), *requests("500", (0, 10 * HOUR), (50, 20), (0, HOUR))],
        [
            alert("ErrorBudgetBurn", "600m"), alert("ErrorBudgetBurn", "610m"), alert("ErrorBudgetBurn", "620m", PAGE_1H),
            alert("ErrorBudgetBurn", "627m"),
        ],
    ),
    "7 % for hours calls by the longer windows": group(
        [*requests("200", (93, 7 * HOUR)), *requests("500", (7, 7 * HOUR))],
        [alert("ErrorBudgetBurn", "10m"), alert("ErrorBudgetBurn", "420m", PAGE_6H, TICKET_1D, TICKET_3D)],
    ),
    "2 % for hours is a ticket": group(
        [*requests("200", (98, 7 * HOUR)), *requests("500", (2, 7 * HOUR))], [alert("ErrorBudgetBurn", "420m", TICKET_3D)]
    ),
    "slow answers burn a budget of their own": group(
        [*requests("200", (20, HOUR)), *requests("404", (80, HOUR), fast=False)],
        [
            alert("ErrorBudgetBurn", "60m"),
            alert("LatencyBudgetBurn", "30m", ("page", "latency", "1h"), ("page", "latency", "6h")),
        ],
        {"app:request_slow:ratio_rate5m": 0.8},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GROUPS)
def test_rules(rule_file: str, promtool: Run, name: str) -> None:
    done = promtool(rule_file, [GROUPS[name]])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "noticed_by"),
    [
        ("> 0.144", "> 0.5", "a burst"),
        ("ratio_rate5m{" + LABELS + "} > 0.144", "ratio_rate1h{" + LABELS + "} > 0.144", "a burst"),
        ("and app", "or app", "a burst"),
        ("or 0 *", "or 1 *", "without any series"),
        ('=~"5.."', '=~"4.."', "half a percent"),
        ('le="0.3"', 'le="0.5"', "slow answers"),
    ],
)
def test_a_rule_that_is_wrong_is_noticed(rule_file: str, promtool: Run, right: str, wrong: str, noticed_by: str) -> None:
    assert right in rule_file
    done = promtool(rule_file.replace(right, wrong), [next(each for name, each in GROUPS.items() if name.startswith(noticed_by))])
    assert done.returncode == 1
    assert "FAILED" in done.stdout + done.stderr


def test_what_the_gate_decides_is_told(rule_file: str, promtool: Run) -> None:
    series = [
        {"series": f'rollout_info{{{RELEASE},phase="Abort"}}', "values": "_x10 1x20"},
        {"series": f'rollout_info{{{RELEASE},phase="Progressing"}}', "values": "1x10 stale"},
        {"series": 'rollout_info{exported_namespace="webapp",name="other",phase="Abort"}', "values": "1x100"},
        {"series": 'analysis_run_info{exported_namespace="webapp",name="webapp-abc-2-1",phase="Error"}', "values": "_x10 1x100"},
    ]
    told = {
        "alertname": "ReleaseRolledBack", "eval_time": "10m",
        "exp_alerts": [{
            "exp_labels": {"severity": "ticket", "name": "webapp", "exported_namespace": "webapp"},
            "exp_annotations": {"summary": "the release of webapp in webapp was aborted; Git and the chart still name it"},
        }],
    }  # fmt: skip
    blind = {
        "exp_labels": {"severity": "ticket", "name": "webapp-abc-2-1", "exported_namespace": "webapp", "phase": "Error"},
        "exp_annotations": {
            "summary": "webapp-abc-2-1 in webapp ended as Error: the release was not judged, whatever became of it"
        },
    }
    tests = [
        told, {"alertname": "ReleaseRolledBack", "eval_time": "4m", "exp_alerts": []},
        {"alertname": "GateCannotMeasure", "eval_time": "10m", "exp_alerts": [blind]},
        # It is kept as an object, and is no news any more.
        {"alertname": "GateCannotMeasure", "eval_time": "40m", "exp_alerts": []},
    ]  # fmt: skip
    done = promtool(rule_file, [{"interval": f"{STEP}s", "input_series": series, "alert_rule_test": tests}])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_texts_name_the_share_and_the_promise(rule_file: str) -> None:
    texts = [rule["annotations"]["summary"] for rule in alerts(rule_file) if rule["alert"].endswith("BudgetBurn")]
    assert all("{{ $value | humanizePercentage }}" in text for text in texts)
    assert any("take longer than 300 ms" in text for text in texts)


def alerts(text: str) -> Iterator[Object]:
    for each in yaml.safe_load(text)["groups"]:
        yield from (rule for rule in each["rules"] if "alert" in rule)


def test_thresholds_follow_the_promise(render: Render) -> None:
    def of(**values: object) -> list[str]:
        rules = render(**{"rules.configMap": True}, **values)["ConfigMap", "webapp-rules"]["data"]["webapp.rules.yaml"]
        return [f"{rule['labels'].get('window')} {rule['expr'].split('> ')[1].split()[0]}"
                for rule in alerts(rules) if rule["alert"] == "ErrorBudgetBurn"]  # fmt: skip

    assert of() == ["1h 0.144", "6h 0.06", "1d 0.03", "3d 0.01"]
    assert of(**{"slo.successRate": 0.999}) == ["1h 0.0144", "6h 0.006", "1d 0.003", "3d 0.001"]
    # 14.4 times a budget of 10 % is more than everything: such an alert could never fire, and is left out.
    assert of(**{"slo.successRate": 0.9}) == ["6h 0.6", "1d 0.3", "3d 0.1"]


@pytest.mark.parametrize("rate", [0, 1, 1.01])
def test_without_a_budget_there_are_no_rules(render: Render, rate: float) -> None:
    with pytest.raises(UsageError, match="no budget to burn"):
        render(**{"rules.enabled": True, "slo.successRate": rate})


def test_the_operators_object_and_the_plain_file_hold_the_same(render: Render, rule_file: str) -> None:
    rule = render(**{"rules.enabled": True, "rules.labels": {"release": "kube-prometheus"}})["PrometheusRule", "webapp"]
    assert rule["spec"] == yaml.safe_load(rule_file)
    assert rule["metadata"]["labels"]["release"] == "kube-prometheus"


def test_recording_alone_is_a_choice_and_the_default_is_none(render: Render) -> None:
    assert not any("rules" in name or kind == "PrometheusRule" for kind, name in render())
    text = render(**{"rules.configMap": True, "rules.alerts": False})["ConfigMap", "webapp-rules"]["data"]["webapp.rules.yaml"]
    assert list(alerts(text)) == []
