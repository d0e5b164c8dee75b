"""What the chart renders: the release's steps, the pods, the routes, on each platform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from chart_support import CHART, PLATFORMS, Object, Render

from harness.chart import Helm

CUSTOM = {"argoproj.io/v1alpha1", "networking.istio.io/v1"}
DIGEST = "sha256:" + "0123456789abcdef" * 4


def rollout(objects: dict[tuple[str, str], Object]) -> Any:
    return objects["Rollout", "webapp"]["spec"]


def pod(objects: dict[tuple[str, str], Object]) -> Any:
    return rollout(objects)["template"]["spec"]


def container(objects: dict[tuple[str, str], Object]) -> Any:
    (only,) = pod(objects)["containers"]
    return only


def routes(objects: dict[tuple[str, str], Object]) -> Any:
    (primary,) = objects["VirtualService", "webapp"]["spec"]["http"]
    return primary["route"]


@pytest.mark.parametrize("split", ["subsets", "services"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_custom_object_is_what_its_crd_describes(
    render: Render, accepts: Callable[[Object], None], platform: str, split: str
) -> None:
    objects = render(platform, **{"rollout.trafficSplit": split, "gateway.bind": "127.0.0.1", "image.digest": DIGEST})
    custom = [each for each in objects.values() if each["apiVersion"] in CUSTOM]
    assert {each["kind"] for each in custom} >= {"Rollout", "AnalysisTemplate", "Gateway", "VirtualService"}
    for each in custom:
        accepts(each)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_lint_finds_no_fault(helm: Helm, platform: str) -> None:
    helm.lint(CHART, values_files=PLATFORMS[platform])


@pytest.mark.parametrize("platform", PLATFORMS)
def test_steps_are_those_of_the_architecture_each_followed_by_its_analysis(render: Render, platform: str) -> None:
    steps = rollout(render(platform))["strategy"]["canary"]["steps"]
    assert [step["setWeight"] for step in steps[::2]] == [10, 30, 60]
    assert len(steps) == 6
    for step in steps[1::2]:
        analysis = step["analysis"]
        assert analysis["templates"] == [{"templateName": "webapp-slo"}]
        assert {"name": "canary-hash", "valueFrom": {"podTemplateHashValue": "Latest"}} in analysis["args"]


def test_other_steps_are_rendered_as_given(render: Render) -> None:
    steps = rollout(render(**{"rollout.steps": [50]}))["strategy"]["canary"]["steps"]
    assert [list(step) for step in steps] == [["setWeight"], ["analysis"]]
    assert steps[0] == {"setWeight": 50}


def test_retention_names_every_metric_of_the_template(render: Render) -> None:
    objects = render(**{"analysis.measurementRetention": 77})
    names = {metric["name"] for metric in objects["AnalysisTemplate", "webapp-slo"]["spec"]["metrics"]}
    for step in rollout(objects)["strategy"]["canary"]["steps"][1::2]:
        retention = step["analysis"]["measurementRetention"]
        assert {each["metricName"] for each in retention} == names
        assert {each["limit"] for each in retention} == {77}


def test_a_release_can_neither_skip_the_gate_nor_leave_its_pods_too_early(render: Render) -> None:
    spec = rollout(render())
    canary = spec["strategy"]["canary"]
    assert "rollbackWindow" not in spec
    assert canary["dynamicStableScale"] is False
    assert canary["scaleDownDelaySeconds"] > 0
    assert canary["abortScaleDownDelaySeconds"] > 0
    assert spec["progressDeadlineAbort"] is True


def test_subsets_are_the_default_split(render: Render) -> None:
    objects = render()
    canary = rollout(objects)["strategy"]["canary"]
    assert canary["trafficRouting"]["istio"] == {
        "virtualService": {"name": "webapp", "routes": ["primary"]},
        "destinationRule": {"name": "webapp", "stableSubsetName": "stable", "canarySubsetName": "canary"},
    }
    assert "stableService" not in canary
    assert [key for key in objects if key[0] == "Service"] == [("Service", "webapp")]
    assert [(each["destination"], each["weight"]) for each in routes(objects)] == [
        ({"host": "webapp", "subset": "stable"}, 100),
        ({"host": "webapp", "subset": "canary"}, 0),
    ]
    rule = objects["DestinationRule", "webapp"]["spec"]
    assert rule["host"] == "webapp"
    assert [subset["name"] for subset in rule["subsets"]] == ["stable", "canary"]
    assert "outlierDetection" not in str(rule)


def test_two_services_as_a_value(render: Render) -> None:
    objects = render(**{"rollout.trafficSplit": "services"})
    canary = rollout(objects)["strategy"]["canary"]
    assert (canary["stableService"], canary["canaryService"]) == ("webapp-stable", "webapp-canary")
    assert "destinationRule" not in canary["trafficRouting"]["istio"]
    assert ("DestinationRule", "webapp") not in objects
    assert {("Service", "webapp"), ("Service", "webapp-stable"), ("Service", "webapp-canary")} <= objects.keys()
    assert [(each["destination"], each["weight"]) for each in routes(objects)] == [
        ({"host": "webapp-stable"}, 100),
        ({"host": "webapp-canary"}, 0),
    ]


def test_the_gateway_repeats_nothing_and_answers_one_host(render: Render) -> None:
    objects = render("local", **{"gateway.port": 18081})
    (primary,) = objects["VirtualService", "webapp"]["spec"]["http"]
    assert primary["name"] == "primary"
    assert primary["retries"] == {"attempts": 0}
    (server,) = objects["Gateway", "webapp"]["spec"]["servers"]
    assert server == {
        "port": {"number": 18081, "name": "http", "protocol": "HTTP"},
        "bind": "127.0.0.1",
        "hosts": ["webapp.local"],
    }
    assert "bind" not in render()["Gateway", "webapp"]["spec"]["servers"][0]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, "localhost:5001/webapp:v1.0"),
        ({"tag": "v1.1"}, "localhost:5001/webapp:v1.1"),
        ({"digest": DIGEST}, f"localhost:5001/webapp@{DIGEST}"),
        ({"tag": "v1.1", "digest": DIGEST}, f"localhost:5001/webapp:v1.1@{DIGEST}"),
    ],
)
def test_image_reference(render: Render, image: dict[str, str], expected: str) -> None:
    assert container(render(image=image))["image"] == expected


def test_environment(render: Render) -> None:
    def variables(platform: str) -> dict[str, object]:
        env = container(render(platform, env=[{"name": "FAULT_ERROR_RATE", "value": "5"}]))["env"]
        found = {each["name"]: each.get("value") or each["valueFrom"]["fieldRef"]["fieldPath"] for each in env}
        assert len(found) == len(env)
        return found

    given = {"PORT": "8080", "POD_NAME": "metadata.name", "POD_IP": "status.podIP", "FAULT_ERROR_RATE": "5"}
    assert variables("default") == given
    assert variables("local") == given | {"BIND_ADDRESS": "status.podIP"}


def test_the_pod_may_do_nothing_it_need_not(render: Render) -> None:
    objects = render()
    assert pod(objects)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container(objects)["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert pod(objects)["automountServiceAccountToken"] is False


def test_probes_and_shutdown(render: Render) -> None:
    app = container(render("local"))
    assert app["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert app["readinessProbe"]["periodSeconds"] == 1
    assert app["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert app["lifecycle"]["preStop"]["sleep"]["seconds"] == 2
    assert "lifecycle" not in container(render(**{"shutdown.preStopSleepSeconds": 0}))


def test_a_trials_annotation_is_in_the_pod_template_and_no_version_is_in_the_selector(render: Render) -> None:
    spec = rollout(render(**{"podAnnotations": {"gateproof.dev/trial": "7"}, "image.tag": "v1.1"}))
    annotations = spec["template"]["metadata"]["annotations"]
    assert annotations == {
        "gateproof.dev/trial": "7",
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8080",
        "prometheus.io/path": "/metrics",
    }
    labels = spec["template"]["metadata"]["labels"]
    assert labels["version"] == "v1.1"
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert spec["selector"] == rollout(render())["selector"]


def test_service_test_pod_and_budget_agree_on_which_pods_are_the_apps(render: Render) -> None:
    objects = render(podLabels={"team": "blue", "app.kubernetes.io/name": "other"})
    labels = rollout(objects)["template"]["metadata"]["labels"]
    selector = objects["Service", "webapp"]["spec"]["selector"]
    assert labels["team"] == "blue"
    assert selector.items() <= labels.items()
    assert objects["PodDisruptionBudget", "webapp"]["spec"]["selector"]["matchLabels"] == selector
    assert not selector.items() <= objects["Pod", "webapp-test"]["metadata"]["labels"].items()
    (port,) = objects["Service", "webapp"]["spec"]["ports"]
    assert (port["name"], port["port"], port["targetPort"]) == ("http", 80, "http")


def test_integers_stay_integers_and_names_follow_the_release(helm: Helm) -> None:
    values = {"rollout.progressDeadlineSeconds": 86400, "securityContext.runAsUser": 4294967294}
    objects = helm.template("shop", "prod", CHART, set_values=values)
    assert {each["metadata"]["namespace"] for each in objects} == {"prod"}
    assert {each["metadata"]["name"] for each in objects} == {"shop-webapp", "shop-webapp-slo", "shop-webapp-test"}
    (release,) = [each["spec"] for each in objects if each["kind"] == "Rollout"]
    assert release["progressDeadlineSeconds"] == 86400
    assert release["template"]["spec"]["securityContext"]["runAsUser"] == 4294967294


def test_values_local_and_kind_hold_differences_only(helm: Helm) -> None:
    base = yaml.safe_load((CHART / "values.yaml").read_text())

    def repeated(ours: object, theirs: object, path: str) -> list[str]:
        if isinstance(ours, dict) and isinstance(theirs, dict):
            return [each for key in ours for each in repeated(ours[key], theirs.get(key), f"{path}.{key}")]
        return [path] if ours == theirs else []

    for platform in ("local", "kind"):
        ours = yaml.safe_load((CHART / f"values-{platform}.yaml").read_text())
        assert repeated(ours, base, platform) == []
