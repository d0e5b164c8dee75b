"""Kubernetes' own kinds are asked for by their own path, everybody else's by theirs, and none needs a class of the client's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness import kube
from harness.watch import GROUPS


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    place = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "t"}}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump({"clusters": [place], "contexts": [context], "users": [user], "current-context": "c"}))
    return path


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("pods", "/api/v1/namespaces/n/pods"), ("replicasets", "/apis/apps/v1/namespaces/n/replicasets"),
        ("rollouts", "/apis/argoproj.io/v1alpha1/namespaces/n/rollouts"),
    ],
)  # fmt: skip
def test_each_kind_has_its_path(kubeconfig: Path, kind: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def call(_self: object, method: str, url: str, *_rest: object, **_more: object) -> None:
        asked.append(f"{method} {url}")
        raise kube.ApiException(status=410)

    monkeypatch.setattr("kubernetes.client.ApiClient.call_api", call)
    api = kube.objects(kubeconfig, None)
    group, version = GROUPS[kind]
    with pytest.raises(kube.ApiException):
        api.list_namespaced_custom_object(group=group, version=version, plural=kind, namespace="n", resource_version="7")
    with pytest.raises(kube.ApiException):
        api.list_cluster_custom_object(group=group, version=version, plural=kind)
    everywhere = path.replace("/namespaces/n", "")
    assert asked == [f"GET http://127.0.0.1:1{path}?resourceVersion=7", f"GET http://127.0.0.1:1{everywhere}"]


def test_a_watcher_is_made_without_the_clients_classes(kubeconfig: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.watch import Watcher\n"
        f"Watcher(kubeconfig=Path({str(kubeconfig)!r}), namespace='n')\n"
        "print([name for name in sys.modules if name.startswith('kubernetes.client.models.v1_pod')])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
