"""A real API server is killed while it is watched: what changed until the watch goes on is fetched from its past, all of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from chart_api import Api, _wait_ready, api_server, process
from chart_support import definitions

from harness.watch import Listed, Watcher

NAMESPACE = "watched"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def mortal(bin_dir: Path, crd_dir: Path, folder: Path) -> Iterator[Api]:
    """An API server of this module's own, to be killed."""
    wanted = [each for each in definitions(crd_dir) if each["spec"]["names"]["kind"] == "VirtualService"]
    with api_server(bin_dir, folder, wanted) as api:
        api.run("create", "namespace", NAMESPACE)
        yield api


def service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"hosts": ["one.local"], "http": [{"route": [{"destination": {"host": "one"}}]}]},
    }


def change(api: Api, name: str, host: str) -> None:
    api.run("patch", "virtualservice", name, "-n", NAMESPACE, "--type=merge", "-p", json.dumps({"spec": {"hosts": [host]}}))


def server_of(folder: Path) -> psutil.Process:
    return next(each for each in psutil.Process().children() if each.name() == "kube-apiserver" and each.cwd() == str(folder))


def hosts(watcher: Watcher, name: str) -> list[str]:
    """Each version that was seen of one object, by the host in it; its end as a dash."""
    seen = [each for each in watcher.history("virtualservices") if each.name == name]
    return ["-" if each.deleted else each.object["spec"]["hosts"][0] for each in seen]


def test_what_a_killed_api_server_kept_from_a_watch_is_fetched_afterwards(mortal: Api, folder: Path) -> None:
    mortal.run("create", "--filename", "-", given=service("kept"))
    mortal.run("create", "--filename", "-", given=service("removed"))
    watcher = Watcher(kubeconfig=mortal.kubeconfig, namespace=NAMESPACE, kinds=("virtualservices",))
    go, original = threading.Event(), watcher._list
    go.set()

    def held(*arguments: Any) -> Listed:
        assert go.wait(60)
        return original(*arguments)

    watcher._list = held  # type: ignore[method-assign]
    watcher.start()
    go.clear()
    server = server_of(folder)
    argv, log = server.cmdline(), folder / "kube-apiserver.log"
    server.kill()
    server.wait(10)
    with process(folder, list(argv)) as again:
        _wait_ready(mortal, again, log)
        for number in (2, 3, 4):
            change(mortal, "kept", f"host-{number}.local")
        change(mortal, "removed", "last.local")
        mortal.run("delete", "virtualservice", "removed", "-n", NAMESPACE)
        mortal.run("create", "configmap", "of-another-kind", "-n", NAMESPACE)  # only the store's count goes on
        change(mortal, "kept", "host-5.local")
        go.set()
        waited = threading.Event()
        for _ in range(300):
            if "host-5.local" in hosts(watcher, "kept"):
                break
            waited.wait(0.1)
        assert hosts(watcher, "kept") == ["one.local", *(f"host-{number}.local" for number in (2, 3, 4, 5))]
        assert hosts(watcher, "removed") == ["one.local", "last.local", "-"]
        assert watcher.gaps == ()
        watcher.stop()
