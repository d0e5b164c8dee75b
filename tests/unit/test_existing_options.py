"""What the options of somebody's cluster say, and which of them are refused, before anything is asked of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.errors import UsageError
from harness.platforms.catalog import PLATFORMS, PlatformOptions, make
from harness.platforms.cluster.access import find
from harness.platforms.cluster.namespaces import checked
from harness.platforms.cluster.reach import At, Forward, at, forward
from harness.platforms.existing.options import BASE, NAMES
from harness.platforms.existing.platform import ExistingPlatform

CONFIG = {
    "clusters": [{"name": "theirs", "cluster": {"server": "https://192.0.2.1:6443"}}, {"name": "other", "cluster": {}}],
    "contexts": [
        {"name": "team", "context": {"cluster": "theirs", "user": "ann"}}, {"name": "broken", "context": {"cluster": "other"}},
    ],
    "users": [{"name": "ann", "user": {"token": "secret"}}],
    "current-context": "team",
}  # fmt: skip
WHERE = {"context": "team", "gateway_url": "http://192.0.2.2", "prometheus_url": "http://192.0.2.3:9090"}
FULL = {**WHERE, "registry": "registry.example"}
THERE = {"no_build": True, "image_stable": "r.example/a:1", "image_canary": "r.example/a:2", "registry": None}


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(CONFIG))
    return file


def made(kubeconfig: Path, given: dict[str, Any], *, name: str = "existing") -> Any:
    options = PlatformOptions(
        name=name, run_dir=kubeconfig.parent / "run", gateway_port=8081, registry_port=5001,
        given={**given, **({"kubeconfig": kubeconfig} if name == "existing" else {})},
    )  # fmt: skip
    return make(options)


def test_a_context_is_always_named(kubeconfig: Path) -> None:
    with pytest.raises(UsageError, match=r"needs --context NAME: the current context is never used by itself"):
        made(kubeconfig, {key: value for key, value in FULL.items() if key != "context"})


def test_a_context_that_is_not_there_is_told_with_those_that_are(kubeconfig: Path) -> None:
    with pytest.raises(UsageError, match=r"--context tema: .*kubeconfig has no such context; it has broken, team"):
        made(kubeconfig, {**FULL, "context": "tema"})


def test_a_cluster_is_described_in_full(kubeconfig: Path) -> None:
    platform = made(kubeconfig, {**FULL, "namespace": ("one", "two"), "namespace_label": ("istio-injection=enabled",)})
    assert isinstance(platform, ExistingPlatform)
    assert platform.access.server == "https://192.0.2.1:6443"
    assert (platform.gateway, platform.prometheus) == (At(url="http://192.0.2.2"), At(url="http://192.0.2.3:9090"))
    assert platform.namespaces == ("one", "two")
    assert platform.namespace_labels == {"istio-injection": "enabled"}
    assert platform.images.registry == "registry.example"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"gateway_url": None}, "needs --gateway-url or --gateway-service"),
        ({"gateway_service": "a/b:80"}, "and not both"),
        ({"prometheus_url": None}, "needs --prometheus-url or --prometheus-service"),
        ({"registry": None}, "say where images come from"),
        ({"no_build": True}, "belong together"),
        ({"image_stable": "r.example/a:1"}, "belong together"),
        ({**THERE, "image_canary": "r.example/a:1"}, "are the same"),
        ({**THERE, "push_registry": "r.example"}, "with --no-build nothing is built or pushed"),
        ({**THERE, "base_image": "r.example/python:3"}, "with --no-build nothing is built or pushed"),
        ({"no_build": True, "image_stable": "r.example/a:1", "image_canary": "r.example/a:2"}, "either --registry"),
        ({"prometheus_url": "http://127.0.0.1:9090"}, "--prometheus-address"),
        ({"prometheus_address": "prometheus:9090"}, "--prometheus-address prometheus:9090: give http://HOST:PORT"),
        ({"gateway_url": "https://192.0.2.2"}, "--gateway-url https://192.0.2.2: give http://HOST:PORT"),
        ({"gateway_url": "http://me@192.0.2.2"}, "without path or user name"),
        ({"namespace": ("a", "a")}, "the same one twice"),
        ({"namespace": ("kube-system",)}, "needs a namespace of its own"),
        ({"namespace": ("A",)}, "no name for a namespace"),
        ({"namespace_label": ("istio",)}, "give KEY=VALUE"),
    ],
)
def test_what_contradicts_or_is_missing_is_refused(kubeconfig: Path, change: dict[str, Any], told: str) -> None:
    given = {key: value for key, value in {**FULL, **change}.items() if value is not None}
    with pytest.raises(UsageError, match=r".") as refused:
        made(kubeconfig, given)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_commands_around_a_run_do_with_the_context_alone_and_a_run_does_not(kubeconfig: Path) -> None:
    platform = made(kubeconfig, {"context": "team"})
    with pytest.raises(UsageError, match="needs --gateway-url or --gateway-service, --prometheus-url"):
        platform.foresee([])


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("local", {"context": "team"}, "--platform local has no --context: that is for --platform existing"),
        ("existing", {"gateway_port": 8082}, "--platform existing has no --gateway-port: that is for --platform"),
    ],
)
def test_another_platforms_options_are_refused(kubeconfig: Path, name: str, given: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        made(kubeconfig, given, name=name)


def test_every_command_refuses_another_platforms_options(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("success", "failure", "trials", "matrix", "up", "down", "status", "plan", "setup", "dashboards"):
        assert main([command, "--registry", "registry.example"]) == 2, command
        assert "--platform local has no --registry" in capsys.readouterr().err


def test_a_default_is_not_an_option_that_was_given(kubeconfig: Path) -> None:
    assert "existing" in PLATFORMS
    assert main(["status", "--platform", "existing", "--kubeconfig", str(kubeconfig)]) == 2


def test_the_help_tells_which_options_are_whose() -> None:
    from harness.cli import cli  # noqa: PLC0415 -- as a program

    told = CliRunner().invoke(cli, ["success", "--help"]).output
    for name in NAMES:
        assert f"--{name.replace('_', '-')}" in told
    assert told.count("(existing)") == len(NAMES)


@pytest.mark.parametrize("content", [None, "", "[]", "contexts: 3", "{", "contexts: [{}]\nclusters: []"])
def test_a_kubeconfig_that_is_none_is_told_in_one_line(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match="--kubeconfig") as refused:
        find(file, "team")
    assert "\n" not in str(refused.value)


def test_a_context_without_a_cluster_is_told(kubeconfig: Path) -> None:
    with pytest.raises(UsageError, match="does not say where its cluster is"):
        find(kubeconfig, "broken")


def test_the_kubeconfig_is_kubectls_unless_that_has_several(kubeconfig: Path) -> None:
    assert find(None, "team", {"KUBECONFIG": str(kubeconfig)}).kubeconfig == kubeconfig
    with pytest.raises(UsageError, match="KUBECONFIG names 2 files"):
        find(None, "team", {"KUBECONFIG": f"{kubeconfig}:/another"})


def test_a_service_is_named_with_its_namespace_and_port() -> None:
    assert forward("mesh/gw:80", option="-") == Forward(namespace="mesh", name="gw", port=80)
    assert forward("mesh/gw:80", option="-").inside == "http://gw.mesh.svc:80"
    for wrong in ("gw:80", "mesh/gw", "mesh/gw:0", "mesh/gw:70000", "mesh/gw:http", "a/b/c:80"):
        with pytest.raises(UsageError, match="NAMESPACE/NAME:PORT"):
            forward(wrong, option="--gateway-service")


@pytest.mark.parametrize("url", ["", "host:80", "http://", "http://h/x", "http://h?q", "http://h:0", "http://h:x", "http://[h"])
def test_an_address_is_a_plain_one(url: str) -> None:
    with pytest.raises(UsageError, match="give http://HOST:PORT"):
        at(url, option="--gateway-url")


@pytest.mark.parametrize(("given", "base"), [(None, BASE), ("none", ""), ("r.example/p:3", "r.example/p:3")])
def test_images_are_put_on_a_base_unless_the_nodes_bring_it(kubeconfig: Path, given: str | None, base: str) -> None:
    assert made(kubeconfig, {**FULL, **({"base_image": given} if given else {})}).images.base == base
    assert made(kubeconfig, {key: value for key, value in {**FULL, **THERE}.items() if value}).images.base == ""


def test_a_long_name_is_no_namespace() -> None:
    assert checked("a" * 63, option="-") == "a" * 63
    with pytest.raises(UsageError, match="at most 63"):
        checked("a" * 64, option="--namespace")
