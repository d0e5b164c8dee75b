"""The kind platform against stand-ins of docker, kind, kubectl and helm that refuse whatever the real ones' parsers refuse."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from fakes.kind_world import MUTATIONS

from harness.errors import PlatformError, UsageError
from harness.platforms.kind import gitops, preflight, toolchain
from harness.platforms.kind.config import NETWORK_LABEL, Ports, Programs
from harness.platforms.kind.platform import KindPlatform, _alone
from harness.platforms.kind.steps import steps
from harness.supervisor.ports import free_port

WORLD = Path(__file__).parent / "fakes" / "kind_world.py"
INFO = {"MemTotal": 8 * 2**30, "NCPU": 4, "OSType": "linux"}
FOREIGN = {"labels": {}, "networks": ["kind"], "files": {}}


class World:
    """The stand-ins' world, and a platform that lives in it."""

    def __init__(self, folder: Path, real: dict[str, str], checked: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in ("docker", "kind", "kubectl", "helm"):
            program = self.bin / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {WORLD} {name} {folder} "$@"\n')
            program.chmod(0o755)
        self.write(
            real=real, checked=str(checked), containers={}, networks=["bridge"], info=INFO, record=None, applied="", calls=[],
            refused=[], fail=[], hang=[],
        )  # fmt: skip
        self.ports = Ports(**{each.name: free_port() for each in fields(Ports)})
        programs = Programs(**{name: str(self.bin / name) for name in ("docker", "kind", "kubectl", "helm")})
        self.platform = KindPlatform(
            run_dir=folder / "run", ports=self.ports, programs=programs, git=folder / "private" / "git"
        )
        self.said: list[str] = []

    def read(self) -> dict[str, Any]:
        world: dict[str, Any] = json.loads((self.folder / "world.json").read_text())
        return world

    def write(self, **changed: Any) -> None:
        file = self.folder / "world.json"
        file.write_text(json.dumps((self.read() if file.exists() else {}) | changed))

    def setup(self) -> None:
        self.platform.setup(self.said.append)

    def calls(self, *, since: int = 0) -> list[str]:
        return [" ".join(call) for call in self.read()["calls"][since:]]

    def changes(self, *, since: int = 0) -> list[str]:
        """The calls that change something."""
        return [call for call in self.calls(since=since) if call.startswith(MUTATIONS) and not looks(call)]


def looks(call: str) -> bool:
    return call.startswith("docker network inspect") or (
        call.startswith("docker exec") and call.split()[3] in {"cat", "kubectl"}
    )


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checked")


@pytest.fixture(scope="module")
def real(bin_dir: Path) -> dict[str, str]:
    found = {name: str(bin_dir / name) for name in ("kubectl", "helm")} | {"kind": str(toolchain.ensure(print).kind)}
    if docker := shutil.which("docker"):
        found["docker"] = docker
    return found


@pytest.fixture
def world(tmp_path: Path, real: dict[str, str], checked: Path) -> World:
    return World(tmp_path, real, checked)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, real: dict[str, str], checked: Path) -> World:
    world = World(tmp_path_factory.mktemp("once"), real, checked)
    world.setup()
    return world


@pytest.fixture
def made(world: World, once: World) -> World:
    """A world in which setup has run: what that left elsewhere, since no fingerprint depends on a folder."""
    left = once.read()
    world.write(**{name: left[name] for name in ("containers", "networks", "record", "applied")})
    node = left["containers"]["gateproof-control-plane"]
    node["mounts"] = [[str(world.platform.git), place] for _, place in node["mounts"]]
    world.write(containers=left["containers"])
    world.platform.git.mkdir(parents=True)
    world.platform.ports = once.ports
    world.platform.paths.make()
    world.platform.paths.kubeconfig.write_text("{}")
    return world


def test_setup_makes_everything_in_order_by_calls_that_the_real_programs_take_and_then_leaves_it_alone(world: World) -> None:
    world.setup()
    assert world.read()["refused"] == []
    first = world.changes()
    assert [call.split()[:2] for call in first[:2]] == [["docker", "container"], ["docker", "run"]]
    create = next(number for number, call in enumerate(first) if call.startswith("kind create"))
    assert all(call.startswith("docker") for call in first[:create])
    istio = [call.split()[2] for call in first if call.startswith("helm") and "istio" in call.split()[2]]
    assert istio == ["istio-base", "istiod", "istio-ingressgateway"]
    assert sum("ready after" in line for line in world.said) == len(steps(world.platform._config(print)))

    before, world.said = len(world.calls()), []
    world.setup()
    again = world.changes(since=before)
    assert {call.split()[1] for call in again} == {"build", "push"}, "only Docker's build cache knows whether the source is new"
    assert sum("there already" in line for line in world.said) == len(steps(world.platform._config(print))) - 2


def test_the_stand_ins_refuse_what_the_real_programs_refuse(world: World) -> None:
    for argv in (
        ("helm", "upgrade", "a", "b", "--instal"), ("helm", "upgrade", "a", "b", "--timeout", "ten"),
        ("kubectl", "apply", "--server-sid"), ("kubectl", "rollout", "state"), ("kubectl", "wait-for"),
        ("kind", "create", "cluster", "--nme", "a"), ("kind", "create", "klaster"),
    ):  # fmt: skip
        done = subprocess.run([world.bin / argv[0], *argv[1:]], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2, argv
    assert len(world.read()["refused"]) == 7


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker client here: its options are not checked")
def test_the_stand_in_of_docker_refuses_what_docker_refuses(world: World) -> None:
    for argv in (("run", "--nme", "x", "image"), ("container", "inspect", "--formt", "x", "y"), ("network", "conect", "a", "b")):
        done = subprocess.run([world.bin / "docker", *argv], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2, argv


def test_what_does_not_need_a_failed_part_goes_on_and_the_next_run_makes_the_rest(world: World) -> None:
    world.write(fail=["helm upgrade istiod"])
    told = r"Istio 1.*helm upgrade istiod ended with 1: it is broken.*goes on from here"
    with pytest.raises(PlatformError, match=told) as failed:
        world.setup()
    assert "\n" not in str(failed.value)
    record = world.read()["record"]
    assert {"argo-cd", "argo-rollouts", "monitoring", "istio-base"} <= record.keys()
    assert not {"istiod", "gateway", "mesh-policy", "kiali"} & record.keys()
    before = len(world.calls())
    world.write(fail=[])
    world.setup()
    assert {"istiod", "gateway", "mesh-policy", "kiali"} <= world.read()["record"].keys()
    made = [call.split()[2] for call in world.changes(since=before) if call.startswith("helm")]
    assert made == ["istiod", "istio-ingressgateway"]


def test_an_interrupt_ends_what_runs_and_undoes_a_half_made_cluster(world: World) -> None:
    world.write(hang=["kind create cluster"])
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.signals import raise_on_signal, settle\n"
        "from harness.platforms.kind.config import Ports, Programs\nfrom harness.platforms.kind.platform import KindPlatform\n"
        "raise_on_signal()\n"
        f"platform = KindPlatform(run_dir=Path({str(world.platform.run_dir)!r}), ports=Ports(**{asdict(world.ports)!r}),"
        f" programs=Programs(**{asdict(world.platform.programs or Programs())!r}), git=Path({str(world.platform.git)!r}))\n"
        "try:\n    platform.setup(print)\nexcept KeyboardInterrupt:\n    settle()\n    sys.exit(130)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)
    try:
        until(lambda: any(call.startswith("kind create") for call in world.calls()))
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 130
    finally:
        child.kill()
        child.wait()
    assert world.changes()[-1].startswith("kind delete cluster --name gateproof")
    world.write(hang=[])
    world.setup()
    assert "kiali" in world.read()["record"]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)  # between two looks; the condition is the answer, not the time


def test_down_takes_away_what_is_ours_and_nothing_else(made: World) -> None:
    world = made
    world.write(containers=world.read()["containers"] | {"somebody-elses": {**FOREIGN, "networks": ["bridge"]}})
    assert world.platform.down() is True
    left = world.read()
    assert list(left["containers"]) == ["somebody-elses"]
    assert left["networks"] == ["bridge"]
    assert left["refused"] == []
    assert not world.platform.paths.kubeconfig.exists()
    assert not world.platform.git.parent.exists()
    assert world.platform.down() is False


def test_kinds_network_stays_where_others_use_it_or_made_it(made: World) -> None:
    world = made
    world.write(containers=world.read()["containers"] | {"other-control-plane": FOREIGN})
    world.platform.down()
    assert "kind" in world.read()["networks"]
    assert list(world.read()["containers"]) == ["other-control-plane"]
    world.setup()
    labels = world.read()["containers"]["gateproof-registry"]["labels"]
    assert labels[NETWORK_LABEL] == "found"
    world.write(containers={name: each for name, each in world.read()["containers"].items() if name != "other-control-plane"})
    world.platform.down()
    assert "kind" in world.read()["networks"]


def test_somebody_elses_cluster_and_container_are_refused_and_left_alone(world: World) -> None:
    world.write(containers={"gateproof-control-plane": FOREIGN | {"config": "x"}, "gateproof-registry": FOREIGN})
    with pytest.raises(PlatformError, match=r"container gateproof-registry that this harness did not make: .*kind cluster"):
        world.setup()
    with pytest.raises(UsageError, match="did not make"):
        world.platform.down()
    assert world.changes() == []


def test_a_cluster_of_another_configuration_is_not_touched(made: World) -> None:
    made.platform.ports = Ports(**(asdict(made.platform.ports) | {"gateway": free_port()}))
    with pytest.raises(PlatformError, match=r"another configuration.*down --platform kind"):
        made.setup()
    assert made.changes() == []


def test_without_docker_all_that_is_missing_is_one_line_and_nothing_is_made(world: World) -> None:
    world.write(info={"ServerErrors": ["Cannot connect to the Docker daemon"]})
    with pytest.raises(PlatformError, match="cannot be made here: Docker's engine does not answer"):
        world.setup()
    assert world.changes() == []
    assert not world.platform.run_dir.exists()


def test_without_docker_nothing_else_is_claimed(world: World) -> None:
    world.write(info={"ServerErrors": ["Cannot connect to the Docker daemon"]})
    for look in (world.platform.down, world.platform.dashboards, world.platform.status, world.platform.describe):
        with pytest.raises(PlatformError, match="engine does not answer"):
            look()


def test_two_at_once_do_not_make_one_cluster(world: World) -> None:
    with _alone(world.platform._config(print)), pytest.raises(UsageError, match="under way"):
        world.setup()
    assert world.changes() == []


def test_a_port_that_somebody_has_is_told_before_anything_is_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "is_free", lambda _host, port: port != world.ports.grafana)
    with pytest.raises(PlatformError, match=rf"{world.ports.grafana} \(grafana\) is taken"):
        world.setup()
    assert world.changes() == []


def test_dashboards_are_asked_and_passwords_are_read_from_the_cluster_and_kept_nowhere(made: World) -> None:
    world = made
    lines, healthy = world.platform.dashboards()
    assert healthy is False, "nobody answers there"
    told = {line[:24].strip(): line[24:] for line in lines}
    assert told.keys() >= {"gateway (webapp.local)", "Argo CD", "Argo Rollouts", "Grafana", "Kiali", "Prometheus", "registry"}
    assert "user admin, password password of argocd-initial-admin-secret" in told["Argo CD"]
    assert "password of kube-prometheus-grafana" in told["Grafana"]
    assert "no answer" in told["Kiali"]
    kept = [path for path in world.platform.run_dir.rglob("*") if path.is_file() and b"password of" in path.read_bytes()]
    assert kept == []
    assert world.read()["refused"] == []


def test_the_repositorys_folder_is_there_before_the_cluster_and_its_node_sees_what_is_in_it(world: World) -> None:
    world.setup()  # the stand-in of kind refuses a folder that is not there
    git = world.platform.git
    assert [path.stat().st_mode & 0o777 for path in (git.parent, git)] == [0o700, 0o755]
    config = world.platform._config(print)
    answer = world.platform._runner(config, print).answer
    gitops.refuse_unseen(config, answer)
    assert world.read()["refused"] == []
    assert list(git.iterdir()) == []
    for broken in ([], [[str(world.folder), "/gateproof/git"]]):
        containers = world.read()["containers"]
        containers["gateproof-control-plane"]["mounts"] = broken
        world.write(containers=containers)
        with pytest.raises(PlatformError, match=r"node does not see the folder .*down --platform kind"):
            gitops.refuse_unseen(config, answer)
    shutil.rmtree(git)
    with pytest.raises(PlatformError, match="does not see"):
        gitops.refuse_unseen(config, answer)


def test_gitops_without_git_is_told_before_anything_is_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.platform.gitops = True
    monkeypatch.setattr(gitops.shutil, "which", lambda name: None)
    with pytest.raises(PlatformError, match="program git is not installed"):
        world.setup()
    assert world.calls() == []


def test_status_of_nothing(world: World) -> None:
    assert world.platform.status()["phase"] == "down"
    assert not world.platform.healthy()


def test_status_tells_each_part(made: World) -> None:
    world = made
    assert world.platform.healthy()
    state = world.read()
    world.write(applied=state["applied"].replace("kiali", ""))
    now = world.platform.status()
    assert now["phase"] == "incomplete"
    assert [name for name, told in now["steps"].items() if told != "ready"] == ["kiali"]

