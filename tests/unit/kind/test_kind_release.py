"""How releases are tried on a kind platform: what the shared part for clusters is told, and what differs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from kind_cases import CONFIG

from harness.errors import PlatformError, UsageError
from harness.images.crane import Crane
from harness.platforms import Endpoints
from harness.platforms.catalog import PlatformOptions, make
from harness.platforms.cluster.platform import ClusterPlatform
from harness.platforms.cluster.reach import At
from harness.platforms.kind import gitops, platform
from harness.platforms.kind.config import PROMETHEUS_URL, KindConfig, Ports
from harness.platforms.kind.platform import KindPlatform
from harness.platforms.kind.release import VALUES, in_cluster
from harness.platforms.kind.steps import VERSIONS
from harness.scenario import success

DIGEST = "sha256:" + "0" * 64
KUBECONFIG = {
    "clusters": [{"name": "kind-gateproof", "cluster": {"server": "https://127.0.0.1:6443"}}],
    "contexts": [{"name": "kind-gateproof", "context": {"cluster": "kind-gateproof", "user": "kind-gateproof"}}],
    "users": [{"name": "kind-gateproof", "user": {}}],
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KindConfig:
    monkeypatch.setattr(Crane, "digest", lambda self, reference: DIGEST)
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))
    return replace(CONFIG, kubeconfig=tmp_path / "kubeconfig", ports=Ports(gateway=18481, registry=15481))


def test_the_cluster_is_reached_by_ports_of_this_machine_and_its_own_context(config: KindConfig, tmp_path: Path) -> None:
    made = in_cluster(config, tmp_path, crane=Path("crane"))
    assert (made.access.kubeconfig, made.access.context) == (config.kubeconfig, "kind-gateproof")
    assert (made.gateway, made.prometheus) == (At(url="http://127.0.0.1:18481"), At(url="http://127.0.0.1:9090"))
    assert made.prometheus_address == PROMETHEUS_URL == yaml.safe_load(VALUES.read_text())["analysis"]["prometheus"]["address"]
    assert made.images.stable == f"localhost:15481/webapp:v1.0@{DIGEST}"
    assert made.images.candidate == f"localhost:15481/webapp:v1.1@{DIGEST}"


def test_the_images_that_setup_builds_are_those_of_the_scenarios() -> None:
    scenario = success(window_seconds=60, rps=50, seed=0)
    assert (scenario.stable, scenario.candidate) == VERSIONS


def test_without_a_kubeconfig_there_is_nothing_to_release_to(config: KindConfig, tmp_path: Path) -> None:
    config.kubeconfig.unlink()
    with pytest.raises(UsageError, match="kubeconfig"):
        in_cluster(config, tmp_path, crane=Path("crane"))


def test_the_gateways_port_in_the_cluster_is_not_the_one_outside(
    config: KindConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    @contextlib.contextmanager
    def session(self: ClusterPlatform, say: Any, *, keep: bool) -> Iterator[Endpoints]:
        port = self.gateway.port
        yield Endpoints(
            kubeconfig=config.kubeconfig, context="", gateway_url="", prometheus_url="", registry="", namespace="",
            scratch=tmp_path, values={"gateway": {"port": port, "host": "webapp.local"}, "analysis": {}},
        )  # fmt: skip
        order.append("given back")

    monkeypatch.setattr(ClusterPlatform, "session", session)
    monkeypatch.setattr(KindPlatform, "_config", lambda self, say: config)
    monkeypatch.setattr(KindPlatform, "tools", lambda self: {"crane": Path("crane")})
    monkeypatch.setattr(gitops, "withdraw_what_is_left", lambda endpoints, say: order.append("withdrawn"))
    made = KindPlatform(run_dir=tmp_path, ports=config.ports)
    made.foresee([{"apiVersion": "v1", "kind": "Service"}])
    with made.session(print, keep=False) as endpoints:
        assert endpoints.values == {"gateway": {"port": 8081, "host": "webapp.local"}, "analysis": {}}
        assert made.facts()["Argo Rollouts"] == "v1.10.2"
        assert endpoints.gitops == gitops.place(config), "a release by helm must be able to take over"
    assert order == ["withdrawn", "given back"], "or Argo CD makes the namespace anew"
    with made.session(print, keep=True):
        order.clear()
    assert order == ["given back"]
    with pytest.raises(PlatformError, match="session"):
        KindPlatform(run_dir=tmp_path).check()


def test_the_command_line_makes_a_kind_platform_with_its_two_ports_and_refuses_options_of_others(tmp_path: Path) -> None:
    options = PlatformOptions(
        name="kind", run_dir=tmp_path, gateway_port=18481, registry_port=15481, given={"gateway_port": 18481}
    )
    made = make(options)
    assert isinstance(made, KindPlatform)
    assert made.ports == Ports(gateway=18481, registry=15481)
    assert not made.gitops
    by_commit = make(replace(options, gitops=True))
    assert isinstance(by_commit, KindPlatform)
    assert by_commit.gitops
    with pytest.raises(UsageError, match=r"--platform kind has no --context"):
        make(replace(options, given={"context": "x"}))


def test_the_callers_environment_is_left_out_where_it_would_steer_a_program_elsewhere() -> None:
    kept = platform.environment({"KUBECONFIG": "x", "HELM_DRIVER": "x", "KIND_CLUSTER_NAME": "x", "DOCKER_HOST": "y"}, Path("/f"))
    assert "x" not in kept.values()
    assert kept["DOCKER_HOST"] == "y"
