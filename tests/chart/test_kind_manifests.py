"""The kind platform's manifests and values, held against the real API server, upstream's own charts, and kind itself."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_api import Api
from chart_support import PLATFORMS, Render

from harness.chart import Helm
from harness.platforms.kind import manifests, pins, toolchain, values
from harness.platforms.kind.config import GATEWAY, GIT_MOUNT, NODE_PORTS, KindConfig
from harness.platforms.kind.step import File, Step
from harness.platforms.kind.steps import steps
from harness.platforms.kind.upstream import images_of

Object = dict[str, Any]
(VALUES_KIND,) = PLATFORMS["kind"]
CHARTS = {
    "istio-base": ("base", "istio-base", {}), "istiod": ("istiod", "istiod", values.istiod()),
    "gateway": ("gateway", GATEWAY, values.gateway()),
}  # fmt: skip


@pytest.fixture(scope="session")
def made() -> toolchain.Toolchain:
    return toolchain.ensure(print)


@pytest.fixture(scope="session")
def config(made: toolchain.Toolchain, tmp_path_factory: pytest.TempPathFactory) -> KindConfig:
    folder = tmp_path_factory.mktemp("kind")
    return KindConfig(folder=folder, kubeconfig=folder / "kubeconfig", sources=made.sources(), git=folder / "private" / "git")


@pytest.fixture(scope="session")
def in_order(api: Api, config: KindConfig) -> dict[str, Step]:
    """The steps; the namespaces that the later ones use are there."""
    found = {step.name: step for step in steps(config)}
    api.run("apply", "--server-side", "--filename", "-", given={"apiVersion": "v1", "kind": "List", "items": [
        *manifests.basics(config), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-public"}},
    ]})  # fmt: skip
    return found


def objects(file: File) -> list[Object]:
    return [each for each in yaml.safe_load_all(file.text.replace("\n...\n", "\n")) if each]


def dry_run(api: Api, items: list[Object], *options: str) -> None:
    """Refuses what the API server refuses, and each field that it does not know."""
    api.run("apply", "--server-side", "--dry-run=server", "--validate=strict", *options, "--filename", "-",
            given={"apiVersion": "v1", "kind": "List", "items": items})  # fmt: skip


@pytest.mark.parametrize("name", ["namespaces", "access", "mesh-policy", "monitors"])
def test_the_api_takes_the_objects_of_our_own(name: str, api: Api, in_order: dict[str, Step]) -> None:
    (file,) = in_order[name].files.values()
    assert not file.origin
    dry_run(api, objects(file))


def test_the_api_refuses_a_field_that_it_does_not_know(api: Api, in_order: dict[str, Step]) -> None:
    (file,) = in_order["monitors"].files.values()
    wrong = objects(file)
    wrong[0]["spec"]["podMetricsEndpoints"][0]["portNumber_"] = 1
    with pytest.raises(AssertionError, match="portNumber_"):
        dry_run(api, wrong)


@pytest.mark.parametrize(("name", "least"), [("argo-cd", 55), ("argo-rollouts", 20), ("kiali", 6)])
def test_the_api_takes_upstreams_manifests_as_we_change_them(
    name: str, least: int, api: Api, in_order: dict[str, Step], config: KindConfig
) -> None:
    step = in_order[name]
    (file,) = step.files.values()
    apply = step.calls[0].argv
    path = config.folder / f"{name}.yaml"
    path.write_text(file.text)
    # The very call of the plan, but for the program, the cluster and where the file is.
    options = [each for each in apply[1:] if not each.startswith(("--kubeconfig", "--context", "--filename"))]
    told = api.run(*options, "--dry-run=server", "--validate=strict", "--filename", str(path))
    assert len(told.splitlines()) >= least


def test_every_workload_that_a_step_waits_for_is_among_its_objects(
    helm: Helm, config: KindConfig, made: toolchain.Toolchain
) -> None:
    for step in steps(config):
        waits = [call.argv[3] for call in step.calls if call.argv[1:3] == ("rollout", "status")]
        texts = [file for file in step.files.values() if file.origin]
        if not waits or step.name == "monitoring":  # its chart is not to be had here
            continue
        found = [each for file in texts for each in objects(file)]
        if step.name in CHARTS:
            found = rendered(helm, made, step.name)
        there = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in found}
        assert set(waits) <= there
        workloads = {name for name in there if name.startswith(("deployment/", "statefulset/", "daemonset/"))}
        assert set(waits) == workloads


def rendered(helm: Helm, made: toolchain.Toolchain, step: str) -> list[Object]:
    chart, release, given = CHARTS[step]
    return helm.template(release, "istio-system", made.charts / chart, set_values=given)


def test_the_recorded_fingerprint_is_found_again(api: Api, in_order: dict[str, Step]) -> None:
    for name in ("argo-cd", "istio-base"):
        *_, record = in_order[name].calls
        look = in_order[name].done[0]
        api.run(*(each for each in record.argv[1:] if not each.startswith(("--kubeconfig", "--context"))))
        told = api.run(*(each for each in look.call.argv[1:] if not each.startswith(("--kubeconfig", "--context"))))
        assert told.strip() == look.prints
    # A later run applies the namespaces again, and the record survives.
    items = objects(next(iter(in_order["namespaces"].files.values())))
    api.run("apply", "--server-side", "--force-conflicts", "--field-manager=gateproof", "--filename", "-",
            given={"apiVersion": "v1", "kind": "List", "items": items})  # fmt: skip
    assert set(api.get("configmap", "gateproof-setup", "gateproof")["data"]) >= {"argo-cd", "istio-base"}


def test_a_half_done_helm_release_can_be_told_by_its_secret(api: Api, in_order: dict[str, Step]) -> None:
    clear = in_order["istiod"].calls[0].argv
    for name, status in (("istiod", "pending-install"), ("istiod", "deployed"), ("istio-base", "pending-upgrade")):
        secret = {
            "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
            "metadata": {
                "name": f"sh.helm.release.v1.{name}.{status}", "namespace": "istio-system",
                "labels": {"owner": "helm", "name": name, "status": status},
            },
        }  # fmt: skip
        api.run("apply", "--server-side", "--filename", "-", given=secret)
    api.run(*(each for each in clear[1:] if not each.startswith(("--kubeconfig", "--context"))))
    left = json.loads(api.run("get", "secrets", "--namespace", "istio-system", "--output", "json"))["items"]
    assert {each["metadata"]["labels"]["status"] for each in left} == {"deployed", "pending-upgrade"}


@pytest.mark.parametrize("step", list(CHARTS))
def test_istios_own_charts_take_our_values(
    step: str, helm: Helm, made: toolchain.Toolchain, api: Api, in_order: dict[str, Step]
) -> None:
    found = rendered(helm, made, step)
    dry_run(api, [each for each in found if each["kind"] != "CustomResourceDefinition"], "--namespace=istio-system")
    images = {image for each in found for image in images_of(yaml.safe_dump(each))} - {"auto"}
    assert images == ({f"{pins.ISTIO_HUB}/pilot:{pins.ISTIO}"} if step == "istiod" else set())


def test_what_istiod_injects_is_the_pinned_proxy_with_the_one_port_that_the_monitor_names(
    helm: Helm, made: toolchain.Toolchain
) -> None:
    found = {(each["kind"], each["metadata"]["name"]): each for each in rendered(helm, made, "istiod")}
    injector = found["ConfigMap", "istio-sidecar-injector"]["data"]
    settings = json.loads(injector["values"])["global"]
    assert (settings["hub"], settings["tag"]) == (pins.ISTIO_HUB, pins.ISTIO)
    port = manifests.proxies()["spec"]["podMetricsEndpoints"][0]["port"]
    assert f"name: {port}" in injector["config"]
    assert "enablePrometheusMerge: false" not in found["ConfigMap", "istio"]["data"]["mesh"]


def test_the_gateway_is_where_the_chart_of_the_web_app_looks_for_it(
    helm: Helm, made: toolchain.Toolchain, render: Render, config: KindConfig
) -> None:
    found = {each["kind"]: each for each in rendered(helm, made, "gateway")}
    app = render("kind")
    gateway = app["Gateway", "webapp"]["spec"]
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert gateway["selector"].items() <= labels.items()
    ports = {each["port"]: each["nodePort"] for each in found["Service"]["spec"]["ports"] if "nodePort" in each}
    mapped = {each["hostPort"]: each["containerPort"] for each in manifests.cluster(config, {})["nodes"][0]["extraPortMappings"]}
    assert ports[gateway["servers"][0]["port"]["number"]] == mapped[config.ports.gateway]
    assert app["Rollout", "webapp"]["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "true"
    assert yaml.safe_load(VALUES_KIND.read_text())["analysis"]["envoy"]["latencyBucketsMs"] == values.GATEWAY_BUCKETS_MS
    account = found["ServiceAccount"]["metadata"]
    principal = f"cluster.local/ns/{account['namespace']}/sa/{account['name']}"
    assert app["AuthorizationPolicy", "webapp"]["spec"]["rules"][0]["from"][0]["source"]["principals"] == [principal]


# Enough of a Docker for kind to come as far as the node's container, which it then does not get.
DOCKER = """\
#!/bin/sh
printf '%s\\n' "$*" >>"$(dirname "$0")/log"
case "$1" in
  info) echo '{"CgroupVersion": "2", "SecurityOptions": [], "OSType": "linux", "Driver": "overlay2"}' ;;
  run) exit 1 ;;
esac
"""


def kind(made: toolchain.Toolchain, folder: Path, text: str) -> tuple[str, str]:
    """What the real `kind create cluster` says of a configuration, and the arguments with which it asks for its node."""
    docker = folder / "bin" / "docker"
    docker.parent.mkdir(exist_ok=True)
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    (log := docker.parent / "log").write_text("")
    (folder / "kind.yaml").write_text(text)
    done = subprocess.run(
        [made.kind, "create", "cluster", "--config", folder / "kind.yaml", "--kubeconfig", folder / "kubeconfig"],
        env={"PATH": f"{docker.parent}:/usr/bin:/bin", "HOME": str(folder), "KIND_EXPERIMENTAL_PROVIDER": "docker"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    return done.stdout + done.stderr, "\n".join(line for line in log.read_text().splitlines() if line.startswith("run "))


def test_kind_itself_makes_of_our_configuration_what_is_meant(
    made: toolchain.Toolchain, config: KindConfig, tmp_path: Path
) -> None:
    said, run = kind(made, tmp_path, manifests.text(manifests.cluster(config, {manifests.CONFIG_LABEL: "x"})))
    assert run.endswith(f" {pins.NODE_IMAGE}"), said
    assert f"--name {config.node} " in run
    assert "--net kind " in run
    published = re.findall(r"--publish=(\S+):(\d+):(\d+)/TCP", run)
    assert {host for host, _, _ in published} == {"127.0.0.1"}
    assert f"--volume={config.git}:{GIT_MOUNT}:ro " in run
    wanted = {(str(getattr(config.ports, name)), str(port)) for name, port in NODE_PORTS.items()}
    assert {(ours, nodes) for _, ours, nodes in published if nodes != "6443"} == wanted


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"extraPortMapping": []}, "extraPortMapping"),
        ({"role": "boss"}, "boss"),
        ({"extraPortMappings": [{"containerPort": 1, "hostPort": 1, "listenAddress": "127.0.0.1", "protocol": "X"}]}, "X"),
    ],
)
def test_kind_itself_refuses_a_wrong_configuration(
    wrong: Object, words: str, made: toolchain.Toolchain, config: KindConfig, tmp_path: Path
) -> None:
    cluster = manifests.cluster(config, {})
    cluster["nodes"][0] |= wrong
    said, run = kind(made, tmp_path, manifests.text(cluster))
    assert words in said
    assert not run
