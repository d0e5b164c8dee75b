"""What there is to look at on a local platform: parts, logs, addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.platforms.local import look
from harness.platforms.local.links import links
from harness.platforms.local.paths import RunPaths
from harness.platforms.local.state import State

PORTS = {
    "gateway": 8081, "registry": 5001, "prometheus": 9090, "envoy_admin": 9901, "rollout_metrics": 9902, "argocd_api": 8080,
    "git": 9418,
}  # fmt: skip


def component(name: str, state: str, rss: int | None = None) -> dict[str, Any]:
    return {"name": name, "pid": 12, "state": state, "ready_after": 1.0, "rss": rss}


def test_each_program_is_a_part_and_what_died_is_not_well() -> None:
    listed = [component("etcd", "ready", 2**20)]
    listed += [component(name, state) for name, state in (("roles", "done"), ("istiod", "died"), ("x", "failed"))]
    now = State(phase="ready", pid=1, started_at=0.0, components=listed, died={"istiod": "component istiod died: killed"})
    found = {part.name: part for part in look.components(now)}
    assert {name: part.well for name, part in found.items()} == {"etcd": True, "istiod": False, "x": False}
    assert found["etcd"].told == "ready, pid 12, 1 MiB"
    assert found["istiod"].told == "component istiod died: killed"


def test_every_log_has_a_name_of_its_own(tmp_path: Path) -> None:
    paths = RunPaths(root=tmp_path)
    pod = paths.data / "node" / "pods" / "webapp_webapp-abc-xyz_0000-uid" / "webapp"
    for folder in (paths.logs, pod):
        folder.mkdir(parents=True)
    for file in (tmp_path / "owner.log", paths.logs / "gateway.log", pod / "0.log", pod / "1.log"):
        file.write_text("line\n")
    (paths.logs / "gone.log").symlink_to(tmp_path / "nowhere")
    found = look.logs(paths)
    assert found == {
        "platform": tmp_path / "owner.log", "gateway": paths.logs / "gateway.log",
        "pod/webapp/webapp-abc-xyz/webapp/0": pod / "0.log", "pod/webapp/webapp-abc-xyz/webapp/1": pod / "1.log",
    }  # fmt: skip
    assert look.logs(RunPaths(root=tmp_path / "new")) == {}


@pytest.mark.parametrize("gitops", [False, True])
def test_addresses_are_known_once_the_ports_are(gitops: bool) -> None:
    told = {"kubectl": Path("/kubectl"), "kubeconfig": Path("/run/kubeconfig"), "gitops": gitops}
    assert links({}, **told) == {}
    found = links(PORTS, **told)
    assert found["Prometheus API"] == "http://127.0.0.1:9090/api/v1/query?query=up"
    assert all(url.startswith(("http://127.0.0.1:", "http://localhost:", "/kubectl ")) for url in found.values())
    assert ("Argo CD API" in found) is gitops
