"""What the chart refuses, and how it says so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from chart_support import CHART, Object, Render
from values_table import VALUES, current, groups, rows, written

from harness.chart import Helm, failure, nested
from harness.errors import PlatformError, UsageError
from webapp.metrics import BUCKETS

SCHEMA: Object = json.loads((CHART / "values.schema.json").read_text())


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("group", list(groups(VALUES)))
def test_unknown_keys_are_refused_at_every_level(group: str) -> None:
    values = json.loads(json.dumps(VALUES))
    place = values
    for key in filter(None, group.split(".")):
        place = place[key]
    place["surprise"] = 1
    errors = list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(values))
    assert [error.message for error in errors] == ["Additional properties are not allowed ('surprise' was unexpected)"]


def test_an_unknown_key_stops_helm_with_one_line(render: Render) -> None:
    with pytest.raises(UsageError, match=r"additional properties 'succesRate' not allowed") as refused:
        render(**{"slo.succesRate": 0.9})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        {"rollout.steps": []},
        {"rollout.steps": [101]},
        {"rollout.steps": [10.5]},
        {"rollout.trafficSplit": "magic"},
        {"rollout.replicas": 0},
        {"slo.successRate": -0.1},
        {"slo.successRate": "0.99"},
        {"slo.errorRate": 3},
        {"slo.p95Ms": 0},
        {"analysis.windowSeconds": 0},
        {"analysis.prometheus.address": "prometheus:9090"},
        {"analysis.prometheus.hashLabel": "rollouts-pod-template-hash"},
        {"image.digest": "sha256:abc"},
        {"gateway.port": 70000},
        {"virtualService.timeout": "10"},
        {"env": [{"name": "BIND_ADDRESS", "value": "0.0.0.0"}]},
        {"env": [{"name": "LOG_LEVEL"}]},
        {"podAnnotations": {"trial": 7}},
        {"securityContext.runAsUser": 0},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(render: Render, values: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="don't meet the specifications of the schema"):
        render(**values)


@pytest.mark.parametrize(
    "values", [{"slo.successRate": 1.01}, {"slo.successRate": 0}, {"slo.errorRate": 0}, {"slo.errorRate": 1.5}]
)
def test_promises_that_cannot_be_kept_or_broken_are_allowed(render: Render, values: dict[str, object]) -> None:
    assert render(**values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"slo.p95Ms": 280}, r"slo\.p95Ms \(280\) is none of the app's histogram bounds.*250, 300, 400"),
        (
            {"rollout.progressDeadlineSeconds": 60},
            r"progressDeadlineSeconds \(60\) must be longer than analysis\.windowSeconds",
        ),
        (
            {"shutdown.preStopSleepSeconds": 30},
            r"terminationGracePeriodSeconds \(30\) must be longer than shutdown\.preStop",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused(render: Render, values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        render(**values)
    assert "\n" not in str(refused.value)


def test_every_value_is_explained() -> None:
    assert [path for path, _, words in rows() if not words.endswith((".", ")", "…"))] == []


def test_the_table_in_the_docs_is_current() -> None:
    assert written() == current(), "docs/chart.md: run `python tests/chart/values_table.py`"


def test_the_listed_buckets_are_the_apps() -> None:
    assert VALUES["slo"]["latencyBucketsMs"] == [round(bound * 1000) for bound in BUCKETS]


def test_overrides_keep_their_types_and_win_over_files(helm: Helm, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("image: {tag: from-file}\n")
    overrides = {"image.tag": "007", "env": [{"name": "A", "value": "x,y=z"}], "podAnnotations": {"a.b/c": "true"}}
    objects = helm.template("webapp", "webapp", CHART, values_files=[file], set_values=overrides)
    (release,) = [each["spec"]["template"] for each in objects if each["kind"] == "Rollout"]
    (app,) = release["spec"]["containers"]
    assert app["image"].endswith(":007")
    assert {"name": "A", "value": "x,y=z"} in app["env"]
    assert release["metadata"]["annotations"]["a.b/c"] == "true"


def test_nested() -> None:
    assert nested({"a.b": 1, "a.c": {"d.e": 2}, "f": []}) == {"a": {"b": 1, "c": {"d.e": 2}}, "f": []}
    assert nested({"a": {"b": 1}, "a.c": 2}) == {"a": {"b": 1, "c": 2}}
    with pytest.raises(UsageError, match=r"a\.b: a is a value already"):
        nested({"a": 1, "a.b": 2})
    with pytest.raises(UsageError, match="a is given twice"):
        nested({"a.b": 1, "a": 2})


def test_a_missing_file_is_named(helm: Helm, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(f"no values file {tmp_path / 'gone.yaml'}")):
        helm.template("webapp", "webapp", CHART, values_files=[tmp_path / "gone.yaml"])
    with pytest.raises(UsageError, match="no chart in"):
        helm.template("webapp", "webapp", tmp_path)


def test_a_missing_helm_is_the_platforms_failure(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="helm cannot be run"):
        Helm(binary=tmp_path / "helm", kubeconfig=tmp_path / "k", home=tmp_path / "home").template("webapp", "webapp", CHART)


def test_an_unreachable_cluster_is_the_platforms_failure(helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.json"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config.write_text(json.dumps({"clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": {}}]}))
    home = tmp_path / "user"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HELM_KUBEAPISERVER", "http://127.0.0.1:2")  # helm would go there instead
    lonely = Helm(binary=helm.binary, kubeconfig=config, context="c", home=tmp_path / "helm", timeout_seconds=30)
    with pytest.raises(PlatformError, match=r"127\.0\.0\.1:1: .*connection refused"):
        lonely.install_or_upgrade("webapp", "webapp", CHART)
    with pytest.raises(PlatformError, match=r"127\.0\.0\.1:1: .*connection refused"):
        lonely.uninstall("webapp", "webapp")
    assert not home.exists(), "helm wrote into the user's home"


def test_failure_of_a_conflict_says_what_to_do() -> None:
    said = failure("upgrade", 'Error: UPGRADE FAILED: conflict occurred: 1 conflict with "rollouts-controller": .spec.http\n')
    assert isinstance(said, PlatformError)
    assert "force_conflicts" in str(said)
