"""What becomes of the web app's pods on a kind platform: the real istiod injects the proxy, as it is configured there."""

from __future__ import annotations

import base64
import copy
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from chart_api import Api, free_ports, process
from chart_support import CHART, PLATFORMS, Render

from harness.chart import Helm
from harness.loopback import local_session
from harness.platforms.kind import manifests, pins, toolchain, values

Object = dict[str, Any]
Inject = Callable[[Object], Object]
DEADLINE = 60  # seconds


@pytest.fixture(scope="module")
def charts(helm: Helm) -> dict[str, dict[tuple[str, str], Object]]:
    """istiod's and the gateway's objects, as the platform has them."""
    made = toolchain.ensure(print)
    wanted = {"istiod": ("istiod", values.istiod()), "gateway": ("istio-ingressgateway", values.gateway())}
    return {
        chart: {
            (each["kind"], each["metadata"]["name"]): each
            for each in helm.template(release, "istio-system", made.charts / chart, set_values=given)
        }
        for chart, (release, given) in wanted.items()
    }


@pytest.fixture(scope="module")
def inject(
    api: Api, bin_dir: Path, charts: dict[str, dict[tuple[str, str], Object]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Inject]:
    """A pod after istiod's webhook. istiod runs with the mesh's configuration and templates of the platform."""
    folder = tmp_path_factory.mktemp("istiod")
    templates = folder / "var" / "lib" / "istio" / "inject"
    templates.mkdir(parents=True)
    for name in ("config", "values"):
        (templates / name).write_text(charts["istiod"]["ConfigMap", "istio-sidecar-injector"]["data"][name])
    (folder / "mesh.yaml").write_text(charts["istiod"]["ConfigMap", "istio"]["data"]["mesh"])
    http, grpc = free_ports(2)
    argv: list[str | Path] = [
        "/usr/bin/env", f"HOME={folder}", "POD_NAME=istiod-test", "POD_NAMESPACE=istio-system", "ENABLE_CA_SERVER=false",
        "VALIDATION_WEBHOOK_CONFIG_NAME=", "INJECTION_WEBHOOK_CONFIG_NAME=",
        bin_dir / "pilot-discovery", "discovery", f"--kubeconfig={api.kubeconfig}", f"--meshConfig={folder / 'mesh.yaml'}",
        f"--httpAddr=127.0.0.1:{http}", f"--grpcAddr=127.0.0.1:{grpc}", "--httpsAddr=", "--secureGRPCAddr=", "--monitoringAddr=",
        "--registries=Kubernetes", "--namespace=istio-system",
    ]  # fmt: skip
    with process(folder, argv) as istiod:
        deadline = time.monotonic() + DEADLINE
        while not answers(f"http://127.0.0.1:{http}/ready"):
            log = (folder / "env.log").read_text()[-2000:]
            assert istiod.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.1)  # between two looks; the condition is the answer, not the time
        yield lambda pod: injected(pod, f"http://127.0.0.1:{http}/inject")


def answers(url: str) -> bool:
    try:
        return local_session().get(url, timeout=5).ok
    except requests.RequestException:
        return False


def injected(pod: Object, url: str) -> Object:
    """The pod as the API server would store it, after the webhook has seen it."""
    request = {
        "uid": "1", "operation": "CREATE", "namespace": pod["metadata"]["namespace"], "object": pod,
        "kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"},
    }  # fmt: skip
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    answer = local_session().post(url, json=review, timeout=30).json()["response"]
    assert answer["allowed"], answer
    return patched(pod, json.loads(base64.b64decode(answer["patch"])))


def patched(document: Object, patch: list[Object]) -> Object:
    """A JSON patch applied, as far as istiod's go: add, replace and remove."""
    result = copy.deepcopy(document)
    for change in patch:
        *path, last = [each.replace("~1", "/").replace("~0", "~") for each in change["path"].split("/")[1:]]
        place: Any = result
        for key in path:
            place = place[int(key) if isinstance(place, list) else key]
        if isinstance(place, dict):
            if change["op"] == "remove":
                del place[last]
            else:
                place[last] = change["value"]
        elif change["op"] == "add":
            place.insert(len(place) if last == "-" else int(last), change["value"])
        elif change["op"] == "remove":
            del place[int(last)]
        else:
            place[int(last)] = change["value"]
    return result


def pod_of(template: Object, namespace: str) -> Object:
    """A pod as a ReplicaSet would make it."""
    labels = {**template["metadata"]["labels"], "rollouts-pod-template-hash": "abc123"}
    meta = {"name": "p", "namespace": namespace, "labels": labels, "annotations": template["metadata"].get("annotations", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def containers(pod: Object) -> dict[str, Object]:
    return {each["name"]: each for each in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])}


@pytest.fixture(scope="module")
def app(inject: Inject, helm: Helm) -> Object:
    rendered = helm.template("webapp", "lane-1", CHART, values_files=PLATFORMS["kind"])
    rollout = next(each for each in rendered if each["kind"] == "Rollout")
    return inject(pod_of(rollout["spec"]["template"], "lane-1"))


def test_the_apps_pod_gets_the_pinned_proxy(app: Object) -> None:
    found = containers(app)
    assert found["istio-proxy"]["image"] == f"{pins.ISTIO_HUB}/proxyv2:{pins.ISTIO}"
    assert found["istio-proxy"]["resources"]["limits"]["memory"] == values.PROXY["limits"]["memory"]


def test_prometheus_finds_the_app_behind_the_proxys_agent(app: Object) -> None:
    annotations = app["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(manifests.PROXY_METRICS_PORT)
    assert annotations["prometheus.io/path"] == manifests.proxies()["spec"]["podMetricsEndpoints"][0]["path"]
    ports = [port.get("name") for each in containers(app).values() for port in each.get("ports", ())]
    assert ports.count("http-envoy-prom") == 1, "one target for each pod"
    declared = {port["containerPort"] for each in containers(app).values() for port in each.get("ports", ())}
    assert manifests.PROXY_METRICS_PORT not in declared, "the monitor could then name it, and be simpler"


def scrape_config(api: Api, monitor: Object) -> Object:
    """What the Prometheus operator makes of a PodMonitor, as its source (v0.85) says, and as far as it matters to a target."""
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    keep = {"action": "keep", "source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": endpoint["port"]}
    copied = [
        {"source_labels": [f"__meta_kubernetes_pod_label_{name}"], "target_label": name, "regex": "(.+)", "replacement": "${1}"}
        for name in (each.replace("-", "_") for each in monitor["spec"]["podTargetLabels"])
    ]
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    own = [{names.get(key, key): value for key, value in each.items()} for each in endpoint["relabelings"]]
    return {
        "job_name": "monitor", "metrics_path": endpoint["path"], "scrape_interval": endpoint["interval"],
        "scrape_timeout": endpoint["interval"], "relabel_configs": [keep, *copied, *own],
        "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": str(api.kubeconfig)}],
    }


@pytest.mark.parametrize("monitor", ["the platform's", "the chart's", "by number"])
def test_prometheus_itself_makes_one_target_of_the_pod_and_labels_it_for_the_gate(
    monitor: str, app: Object, api: Api, tmp_path: Path, render: Render
) -> None:
    namespace = f"monitor-{len(monitor)}"
    plain = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    pod = {**app, "metadata": {**app["metadata"], "namespace": namespace}}
    api.run("apply", "--server-side", "--filename", "-", given={"apiVersion": "v1", "kind": "List", "items": [plain, pod]})
    status = {"status": {"phase": "Running", "podIP": "127.9.9.9", "podIPs": [{"ip": "127.9.9.9"}]}}
    api.run("patch", "pod", "p", f"--namespace={namespace}", "--subresource=status", "--patch", json.dumps(status))
    given: dict[str, object] = {"podMonitor": {"enabled": True, "port": 15020, "path": "/stats/prometheus", "interval": "2s"}}
    charts_own = render("kind", **given)["PodMonitor", "webapp"]
    config = scrape_config(api, charts_own if monitor == "the chart's" else manifests.proxies())
    config["kubernetes_sd_configs"][0]["namespaces"] = {"names": [namespace]}
    if monitor == "by number":
        number = {"source_labels": ["__meta_kubernetes_pod_container_port_number"], "regex": str(manifests.PROXY_METRICS_PORT)}
        config["relabel_configs"][0] = {"action": "keep", **number}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [config]}))
    (port,) = free_ports(1)
    argv: list[str | Path] = [
        api.kubectl.parent / "prometheus", f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with process(tmp_path, argv) as prometheus:
        found = targets(f"http://127.0.0.1:{port}/api/v1/targets", lambda: prometheus.poll() is None)
    if monitor == "by number":
        assert found == [], "and so the two monitors do not do that"
        return
    (target,) = found
    assert target["scrapeUrl"] == "http://127.9.9.9:15020/stats/prometheus"
    assert target["labels"]["rollouts_pod_template_hash"] == "abc123"
    assert target["labels"]["app"] == "webapp"
    assert target["labels"]["version"] == app["metadata"]["labels"]["version"]


def targets(url: str, alive: Callable[[], bool]) -> list[Object]:
    """The targets, once the pods have been looked at: what is dropped is told too."""
    deadline = time.monotonic() + DEADLINE
    while True:
        assert alive()
        assert time.monotonic() < deadline
        try:
            told = local_session().get(url, timeout=5).json()["data"]
        except (requests.RequestException, ValueError):
            told = {}
        if told.get("droppedTargets"):
            return list(told["activeTargets"])
        time.sleep(0.1)  # between two looks; the condition is the answer, not the time


def test_the_agent_is_told_where_the_apps_own_metrics_are(app: Object) -> None:
    environment = {each["name"]: each.get("value") for each in containers(app)["istio-proxy"]["env"]}
    told = json.loads(environment["ISTIO_PROMETHEUS_ANNOTATIONS"] or "{}")
    assert told == {"scrape": "true", "path": "/metrics", "port": "8080"}


def test_probes_go_by_the_agent_since_strict_mtls_lets_no_kubelet_in(app: Object) -> None:
    probe = containers(app)["webapp"]["readinessProbe"]["httpGet"]
    assert (probe["port"], probe["path"]) == (15020, "/app-health/webapp/readyz")


def test_the_api_takes_the_injected_pod(app: Object, api: Api) -> None:
    plain = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lane-1"}}
    api.run("apply", "--server-side", "--filename", "-", given=plain)
    api.run("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename", "-", given=app)


def test_a_pod_is_injected_by_its_own_label_whatever_its_namespace_says(
    charts: dict[str, dict[tuple[str, str], Object]], app: Object
) -> None:
    hooks = charts["istiod"]["MutatingWebhookConfiguration", "istio-sidecar-injector"]["webhooks"]
    labels, plain = app["metadata"]["labels"], {"kubernetes.io/metadata.name": "lane-1"}
    outside = [each for each in hooks if selects(each["namespaceSelector"], plain)]
    assert len([each for each in outside if selects(each["objectSelector"], labels)]) == 1
    without = {name: value for name, value in labels.items() if name != "sidecar.istio.io/inject"}
    assert not [each for each in outside if selects(each["objectSelector"], without)]


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a Kubernetes label selector takes these labels."""
    for each in selector.get("matchExpressions", ()):
        key, operator, wanted = each["key"], each["operator"], each.get("values", ())
        holds = {
            "In": labels.get(key) in wanted, "NotIn": labels.get(key) not in wanted, "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[operator]  # fmt: skip
        if not holds:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def test_the_gateways_pod_gets_its_image_and_the_buckets_that_the_gate_needs(
    inject: Inject, charts: dict[str, dict[tuple[str, str], Object]], render: Render
) -> None:
    deployment = charts["gateway"]["Deployment", "istio-ingressgateway"]
    pod = inject(pod_of(deployment["spec"]["template"], "istio-system"))
    (proxy,) = pod["spec"]["containers"]
    assert proxy["image"] == f"{pins.ISTIO_HUB}/proxyv2:{pins.ISTIO}"
    assert "router" in proxy["args"]
    assert [port["name"] for port in proxy["ports"]].count("http-envoy-prom") == 1
    buckets = json.loads(pod["metadata"]["annotations"]["sidecar.istio.io/statsHistogramBuckets"])["cluster.outbound"]
    assert 299 in buckets
    app = render("kind", **{"analysis.source": "envoy"})
    assert re.search(r'le=~?\\"299', json.dumps([each for (kind, _), each in app.items() if kind == "AnalysisTemplate"]))
