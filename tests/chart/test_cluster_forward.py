"""Port-forwards as a run on somebody's cluster opens them: real kubectl, real API server, and upstream's own end of a kubelet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from audited_api import Audited, answering
from kubelet_support import forwarding_node, service

from harness.errors import PlatformError
from harness.platforms.cluster import access
from harness.platforms.cluster.reach import Forward, Reached, reached
from harness.platforms.cluster.rights import Right, manifest, to_forward

SUBJECT = {"kind": "User", "name": "nobody"}
NAMES = iter(f"forward-{number}" for number in range(1000))


@pytest.fixture(scope="module")
def node(audited: Audited, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node whose kubelet forwards to this machine."""
    with forwarding_node(audited.api.run, tmp_path_factory.mktemp("kubelet")) as name:
        yield name


@pytest.fixture
def gateway() -> Iterator[int]:
    """The port of what is forwarded to."""
    for url in answering({"X-Pod-Name": "gateway"}):
        yield urlsplit(url).port or 0


@dataclass(frozen=True, kw_only=True)
class Ways:
    """Makes users, each with a Service that has a running pod, and ways to it."""

    audited: Audited
    folder: Path
    kubectl: Path
    port: int

    def user(self, rights: Iterable[Right] | None = None) -> tuple[str, Path]:
        """A namespace, and the kubeconfig of a user with these rights in it, by default those that we ask for."""
        namespace = next(NAMES)
        role = manifest(to_forward(namespace) if rights is None else rights, namespace=namespace, subject=SUBJECT)[0]
        kubeconfig = self.audited.user(namespace, role)
        service(self.audited.api.run, "gateway", namespace, port=80, target=self.port)
        return namespace, kubeconfig

    def open(self, namespace: str, kubeconfig: Path) -> AbstractContextManager[Reached]:
        return reached(
            Forward(namespace=namespace, name="gateway", port=80), name="gateway", kubectl=self.kubectl, folder=self.folder,
            access=access.find(kubeconfig, "runner"),
        )  # fmt: skip


@pytest.fixture
def ways(audited: Audited, tmp_path: Path, bin_dir: Path, node: str, gateway: int) -> Ways:
    return Ways(audited=audited, folder=tmp_path, kubectl=bin_dir / "kubectl", port=gateway)


def test_requests_pass_side_by_side_through_a_port_of_our_own(ways: Ways) -> None:
    with ways.open(*ways.user()) as way:
        assert way.url.startswith("http://127.0.0.1:")
        assert way.ours()
        assert way.gone() is None
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: requests.get(f"{way.url}/version", timeout=30), range(100)))
        assert {(each.status_code, each.headers["X-Pod-Name"]) for each in answers} == {(200, "gateway")}
        assert way.gone() is None
        assert way.process
        pid = way.process.pid
    assert way.process.poll() is not None
    assert not psutil.pid_exists(pid)


def test_the_rights_are_enough_and_all_of_them_are_used(ways: Ways) -> None:
    namespace, kubeconfig = ways.user()
    with ways.open(namespace, kubeconfig) as way:
        assert requests.get(way.url, timeout=30).ok
    asked = ways.audited.requests(namespace)
    assert [each for each in asked if each.code == 403] == []
    assert set().union(*(each.rights for each in asked)) == {(each.group, each.resource, each.verb) for each in to_forward("")}


def test_without_any_one_right_something_is_refused(ways: Ways) -> None:
    for left_out in to_forward(""):
        namespace, kubeconfig = ways.user([each for each in to_forward("") if each != left_out])
        with contextlib.suppress(PlatformError), ways.open(namespace, kubeconfig) as way:
            requests.get(way.url, timeout=30)
        assert any(each.code == 403 for each in ways.audited.requests(namespace)), f"nothing needs {left_out}"


def test_a_service_that_is_not_there_is_told_in_kubectls_words(ways: Ways) -> None:
    namespace, kubeconfig = ways.user()
    ways.audited.api.run("delete", "service", "gateway", "--namespace", namespace)
    told = rf'no port-forward to the gateway \({namespace}/gateway:80\).*services "gateway" not found'
    with pytest.raises(PlatformError, match=told), ways.open(namespace, kubeconfig):
        pass


def test_a_way_that_breaks_off_is_noticed(ways: Ways) -> None:
    with ways.open(*ways.user()) as way:
        assert way.process
        way.process.stop(timeout=30)
        assert "the port-forward to the gateway has ended" in (way.gone() or "")
        assert not way.ours()
