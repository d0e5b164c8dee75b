"""Options in combination: taken by the real API server, by schemas made from it, and by the real rollouts controller.

The product of all options has millions of members. These choices hold every three settings in every way that they can stand
together, besides everything off and everything on.
"""

from __future__ import annotations

import copy
import json
import math
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from chart_api import DEADLINE, Api, process
from chart_support import CHART, Object, closed
from combinations import OPTIONS, Choice, covering, described, uncovered, values

from harness.chart import Helm

CHOICES = covering()
NAMESPACE = "combinations"
KINDS = frozenset(
    [
        "Rollout",
        "AnalysisTemplate",
        "Service",
        "Gateway",
        "VirtualService",
        "DestinationRule",
        "ServiceAccount",
        "Pod",
        "ConfigMap",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "PodMonitor",
        "ServiceMonitor",
        "PrometheusRule",
        "NetworkPolicy",
        "PeerAuthentication",
        "AuthorizationPolicy",
    ]
)
WATCHED = {"Rollout", "AnalysisTemplate", "Service", "VirtualService", "DestinationRule"}


@pytest.fixture(scope="module")
def rendered(helm: Helm) -> dict[Choice, list[Object]]:
    """Every choice as helm renders it."""

    def render(choice: Choice) -> list[Object]:
        return helm.template("webapp", NAMESPACE, CHART, set_values=values(choice))

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CHOICES, pool.map(render, CHOICES), strict=True))


@pytest.fixture(scope="module")
def distinct(rendered: dict[Choice, list[Object]]) -> list[Object]:
    """Every object of any choice, once."""
    found = {json.dumps(each, sort_keys=True): each for objects in rendered.values() for each in objects}
    return list(found.values())


@pytest.fixture(scope="module")
def namespace(api: Api) -> str:
    api.run("create", "namespace", NAMESPACE)
    return NAMESPACE


def dry_run(api: Api, objects: list[Object]) -> str:
    """Have the API server do everything but store the objects; a field that it does not know is an error."""
    given = {"apiVersion": "v1", "kind": "List", "items": objects}
    return api.run("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename", "-", given=given)


def kubeconform(program: Path, schemas: Path, objects: list[Object]) -> list[str]:
    """What kubeconform finds wrong: nothing, for valid objects."""
    location = f"{schemas}/{{{{.Group}}}}_{{{{.ResourceAPIVersion}}}}_{{{{.ResourceKind}}}}.json"
    done = subprocess.run(
        [program, "-schema-location", location, "-output", "json", "-summary", "-"],
        input="\n---\n".join(map(json.dumps, objects)),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert sum(answer["summary"].values()) == len(objects), answer["summary"]
    return [f"{each['kind']} {each['name']}: {each['msg']}" for each in answer["resources"] or []]


@pytest.fixture(scope="module")
def schema_folder(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON schemas for kubeconform, made from what the API server says of itself; nothing is downloaded."""
    folder = tmp_path_factory.mktemp("schemas")
    index = json.loads(api.run("get", "--raw", "/openapi/v3"))["paths"]
    for path, entry in index.items():
        if path.count("/") < 1 or not path.startswith("api"):
            continue
        text = api.run("get", "--raw", entry["serverRelativeURL"]).replace("#/components/schemas/", "#/definitions/")
        components = closed(json.loads(text).get("components", {}).get("schemas", {}))
        for name, schema in components.items():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                group = kind["group"] or kind["version"]  # kubeconform's name for the group of v1
                file = folder / f"{group}_{kind['version']}_{kind['kind'].lower()}.json"
                file.write_text(json.dumps({"$ref": f"#/definitions/{name}", "definitions": components}))
    return folder


def broken(objects: list[Object]) -> Iterator[Object]:
    """One object of each kind that has a spec, with a field in it that nobody knows."""
    for kind in sorted({each["kind"] for each in objects if "spec" in each}):
        found = copy.deepcopy(next(each for each in objects if each["kind"] == kind))
        found["spec"]["surprise"] = 1
        yield found


def test_the_choices_hold_every_three_settings() -> None:
    assert uncovered(CHOICES) == set()
    assert math.prod(map(len, OPTIONS.values())) > 10**7
    assert len(CHOICES) < 80


def test_the_choices_render_every_kind_of_object(distinct: list[Object]) -> None:
    assert {each["kind"] for each in distinct} == KINDS


def test_no_choice_renders_two_objects_of_one_name(rendered: dict[Choice, list[Object]]) -> None:
    for choice, objects in rendered.items():
        names = [(each["kind"], each["metadata"]["name"]) for each in objects]
        assert len(names) == len(set(names)), described(choice)


def test_the_api_server_takes_every_object(api: Api, namespace: str, distinct: list[Object]) -> None:
    taken = dry_run(api, distinct).splitlines()
    assert len(taken) == len(distinct)


def test_the_dry_run_refuses_a_field_that_nobody_knows(api: Api, namespace: str, distinct: list[Object]) -> None:
    for wrong in broken(distinct):
        with pytest.raises(AssertionError, match="surprise"):
            dry_run(api, [wrong])


def test_kubeconform_takes_every_object(checks: Path, schema_folder: Path, distinct: list[Object]) -> None:
    assert kubeconform(checks / "kubeconform", schema_folder, distinct) == []


def test_kubeconform_refuses_a_field_that_nobody_knows(checks: Path, schema_folder: Path, distinct: list[Object]) -> None:
    wrong = list(broken(distinct))
    found = kubeconform(checks / "kubeconform", schema_folder, wrong)
    assert len(found) == len(wrong)
    assert all("surprise" in each for each in found)


def test_the_real_controller_finds_no_fault_in_any_rollout(
    api: Api, bin_dir: Path, tmp_path: Path, rendered: dict[Choice, list[Object]]
) -> None:
    namespaces = {f"{NAMESPACE}-{index}": choice for index, choice in enumerate(rendered)}
    objects: list[Object] = []
    for name, choice in namespaces.items():
        objects.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        watched = [copy.deepcopy(each) for each in rendered[choice] if each["kind"] in WATCHED]
        for each in watched:
            if each["kind"] == "Rollout":  # this controller refuses every account's name: see values-local.yaml
                each["spec"]["template"]["spec"].pop("serviceAccountName", None)
        objects += [each | {"metadata": each["metadata"] | {"namespace": name}} for each in watched]
    given = {"apiVersion": "v1", "kind": "List", "items": objects}
    api.run("apply", "--server-side", "--filename", "-", given=given)
    argv: list[str | Path] = [bin_dir / "rollouts-controller", "--kubeconfig", api.kubeconfig, "--leader-elect=false"]
    argv += ["--healthzPort=-1", "--metricsPort=-1"]  # both would listen on every interface
    try:
        with process(tmp_path, argv) as controller:
            deadline = time.monotonic() + DEADLINE
            while waiting := _unseen(api, set(namespaces)):
                assert controller.poll() is None, (tmp_path / "rollouts-controller.log").read_text()[-2000:]
                assert time.monotonic() < deadline, f"{len(waiting)} Rollouts without a status: {sorted(waiting)[:5]}"
                time.sleep(0.2)  # between two looks; the condition is the answer, not the time
        for found in _rollouts(api, set(namespaces)):
            assert "InvalidSpec" not in json.dumps(found["status"]), (
                f"{described(namespaces[found['metadata']['namespace']])}: {found['status']}"
            )
    finally:
        api.run("delete", "rollouts", "--all-namespaces", "--all", "--wait=false")


def _rollouts(api: Api, namespaces: set[str]) -> list[Object]:
    found = json.loads(api.run("get", "rollouts", "--all-namespaces", "--output", "json"))["items"]
    return [each for each in found if each["metadata"]["namespace"] in namespaces]


def _unseen(api: Api, namespaces: set[str]) -> set[str]:
    """Where the controller has neither found a fault nor taken the Rollout's pods in hand."""
    return namespaces - {
        each["metadata"]["namespace"]
        for each in _rollouts(api, namespaces)
        if each.get("status", {}).get("currentPodHash") or "InvalidSpec" in json.dumps(each.get("status", {}))
    }
