"""What a kind platform is made of, held by a golden file, and the rules that its steps keep."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from kind_cases import CONFIG, SOURCES

from harness.errors import PlatformError
from harness.platforms.kind import manifests, pins
from harness.platforms.kind.config import GIT_MOUNT, NODE_PORTS, REPOSITORY_URL, KindConfig, Ports
from harness.platforms.kind.dashboards import dashboards
from harness.platforms.kind.step import Call, Step, ordered, render
from harness.platforms.kind.steps import cluster, removal, steps
from harness.platforms.kind.upstream import images_of

GOLDEN = Path(__file__).parent / "kind-plan.golden"
TOOLCHAINS = Path(__file__).parents[3] / "harness" / "platforms"


def records(config: KindConfig) -> dict[str, str | None]:
    """By step, what its first check must print: the fingerprint, in some form."""
    return {step.name: step.done[0].prints for step in steps(config) if step.done}


def test_the_plan_is_what_the_golden_file_says() -> None:
    text = render(steps(CONFIG))
    if os.environ.get("GATEPROOF_WRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "if the change is meant: GATEPROOF_WRITE_GOLDEN=1 ./run.sh test tests/unit/kind"


def test_each_step_comes_after_what_it_needs() -> None:
    names = [step.name for step in ordered(steps(CONFIG))]
    for step in steps(CONFIG):
        assert all(names.index(need) < names.index(step.name) for need in step.needs)


def test_a_circle_a_missing_need_and_a_name_given_twice_are_refused() -> None:
    call = (Call(argv=("true",)),)
    with pytest.raises(PlatformError, match="circle"):
        ordered([Step(name="a", title="", calls=call, needs=("b",)), Step(name="b", title="", calls=call, needs=("a",))])
    with pytest.raises(PlatformError, match="two steps are named a; a needs b, which is no step"):
        ordered([Step(name="a", title="", calls=call, needs=("b",)), Step(name="a", title="", calls=call)])


def test_an_equal_platform_is_recognised_from_another_folder() -> None:
    elsewhere = replace(CONFIG, folder=Path("/other/kind"), kubeconfig=Path("/other/kubeconfig"), git=Path("/other/git"))
    assert records(elsewhere) == records(CONFIG)
    assert cluster(elsewhere).done == cluster(CONFIG).done


def test_a_change_is_seen_in_the_steps_that_it_touches_and_in_no_other() -> None:
    changed = SOURCES.argo_cd.replace("name: argocd-server", "name: argocd-server-2")
    other = records(replace(CONFIG, sources=replace(SOURCES, argo_cd=changed)))
    assert {name for name, mark in records(CONFIG).items() if other[name] != mark} == {"argo-cd"}
    moved = records(replace(CONFIG, ports=Ports(registry=5999)))
    # (The node's own file about the registry is found by its name, which has the port in it.)
    assert {name for name, mark in records(CONFIG).items() if moved[name] != mark} == {"registry", "namespaces"}
    found = records(replace(CONFIG, makes_network=False))
    assert found == records(CONFIG), "whose network it is must not make a registry another one"


def test_every_call_names_its_cluster() -> None:
    calls = [call for step in steps(CONFIG) for call in (*step.calls, *step.undo, *(each.call for each in step.done))]
    for argv in (call.argv for call in (*calls, *removal(CONFIG, network=True))):
        told = " ".join(argv)
        if argv[0] == "kubectl":
            assert "--kubeconfig=/run/kubeconfig --context=kind-gateproof" in told
        if argv[0] == "helm":
            assert "--kubeconfig /run/kubeconfig --kube-context kind-gateproof" in told
        if argv[0] == "kind":
            assert "--name gateproof" in told
            assert "--kubeconfig /run/kubeconfig" in told
        if argv[0] == "docker" and argv[1] != "network":
            assert "gateproof-" in told or "localhost:5001/webapp:" in told


def test_each_port_of_ours_leads_to_a_port_of_the_node_that_a_service_has() -> None:
    node = manifests.cluster(CONFIG, {})["nodes"][0]
    mapped = {each["hostPort"]: each["containerPort"] for each in node["extraPortMappings"]}
    assert {each["listenAddress"] for each in node["extraPortMappings"]} == {"127.0.0.1"}
    files = [file.text for step in steps(CONFIG) for file in step.files.values()]
    served = {int(port) for text in files for port in re.findall(r"nodePort: (\d+)", text)}
    assert served == set(mapped.values()) == set(NODE_PORTS.values())
    shown = {each.port for each in dashboards(CONFIG)} | {CONFIG.ports.gateway}
    assert shown == {*mapped, CONFIG.ports.registry}


def test_the_repositorys_folder_comes_to_the_repo_server_for_reading_and_with_gits_leave() -> None:
    node = manifests.cluster(CONFIG, {})["nodes"][0]
    assert node["extraMounts"] == [{"hostPath": "/private/git", "containerPath": GIT_MOUNT, "readOnly": True}]
    named = {step.name: step for step in steps(CONFIG)}
    assert "repository" in named["cluster"].needs, "or Docker makes the folder, as root's"
    documents = {(each["kind"], each["metadata"]["name"]): each for name in ("namespaces", "argo-cd")
                 for file in named[name].files.values() for each in yaml.safe_load_all(file.text)}  # fmt: skip
    pod = documents["Deployment", "argocd-repo-server"]["spec"]["template"]["spec"]
    volumes = {each["name"]: each for each in pod["volumes"]}
    mounts = {each["mountPath"]: each for each in pod["containers"][0]["volumeMounts"]}
    assert all(each["readOnly"] for each in mounts.values())
    assert volumes[mounts[GIT_MOUNT]["name"]]["hostPath"] == {"path": GIT_MOUNT, "type": "Directory"}
    (settings,) = [each["value"] for each in pod["containers"][0]["env"] if each["name"] == "GIT_CONFIG_GLOBAL"]
    folder, _, key = settings.rpartition("/")
    source = volumes[mounts[folder]["name"]]["configMap"]["name"]
    told = documents["ConfigMap", source]["data"][key]
    assert f"directory = {REPOSITORY_URL.removeprefix('file://')}\n" in told
    assert REPOSITORY_URL.startswith(f"file://{GIT_MOUNT}/")


def test_the_specifications_ports() -> None:
    ports = Ports()
    wanted = {"gateway": 8081, "registry": 5001, "argocd": 8080, "rollouts": 3100, "grafana": 3000, "kiali": 20001}
    assert {name: getattr(ports, name) for name in wanted} == wanted


def test_every_image_is_pinned() -> None:
    texts = [file.text for step in steps(CONFIG) for file in step.files.values()]
    images = {image for text in texts for image in images_of(text)} | {pins.NODE_IMAGE, pins.REGISTRY_IMAGE}
    assert len(images) > 4
    for image in images:
        assert re.search(r":v?\d+\.\d+[^:/]*$|@sha256:[0-9a-f]{64}$", image), image


@pytest.mark.parametrize(
    ("module", "path", "version"),
    [
        ("kind/toolchain/kind", "sigs.k8s.io/kind", pins.KIND),
        ("kind/toolchain/manifests", "github.com/argoproj/argo-cd/v3", pins.ARGO_CD),
        ("kind/toolchain/manifests", "github.com/argoproj/argo-rollouts", pins.ARGO_ROLLOUTS),
        ("kind/toolchain/manifests", "istio.io/istio", pins.ISTIO_MODULE),
        # The local platform runs the same.
        ("local/toolchain/controlplane", "github.com/argoproj/argo-rollouts", pins.ARGO_ROLLOUTS),
        ("local/toolchain/controlplane", "istio.io/istio", pins.ISTIO_MODULE),
    ],
)
def test_the_pins_are_those_of_the_modules(module: str, path: str, version: str) -> None:
    assert f"{path} {version} " in (TOOLCHAINS / module / "go.mod").read_text().replace("\n", " ")


def test_the_registry_is_the_last_to_go_and_the_network_only_when_it_is_ours() -> None:
    verbs = [" ".join(call.argv[:3]) for call in removal(CONFIG, network=True)]
    assert verbs == ["kind delete cluster", "docker container rm", "docker network rm"]
    assert len(removal(CONFIG, network=False)) == 2


def test_nothing_is_undone_that_may_hold_something_of_value() -> None:
    undone = [step.name for step in steps(CONFIG) if step.undo]
    assert undone == ["cluster"], "kind's own half-made cluster, and only where there was none before"


def test_the_images_are_built_by_what_the_dockerfile_takes() -> None:
    dockerfile = (Path(__file__).parents[3] / "Dockerfile").read_text()
    (step,) = [each for each in steps(CONFIG) if each.name == "images"]
    given = {word.partition("=")[0] for call in step.calls for word in call.argv if re.fullmatch(r"[A-Z_]+=.*", word)}
    assert given == {"PYTHON_IMAGE", "VERSION", "SOURCE_DATE_EPOCH"}
    assert given <= set(re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE))


def test_files_are_yaml_that_says_everything_in_full() -> None:
    for step in steps(CONFIG):
        for path, file in step.files.items():
            if path.suffix == ".yaml" and not file.origin:
                assert list(yaml.safe_load_all(file.text))
                assert not re.search(r"[&*]id\d+", file.text)
