"""Where the live page's data comes from, with a Prometheus and a platform that tests make up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dashboard_world as world
import pytest

from harness.dashboard import source as module
from harness.dashboard.source import Source, Watchable, locust
from harness.errors import PlatformError
from harness.platforms import Endpoints, Part
from harness.platforms.local import look
from harness.supervisor.ports import free_port


class Prometheus(ThreadingHTTPServer):
    """Answers `up` and the page's queries with what it was given, and anything else with Locust's page."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.up: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def result(self, path: str, query: str) -> Any:
        if query == "up":
            return self.up
        measured = world.measured()
        return list(measured.shares if path.endswith("query_range") else measured.instant["requests"])


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server, parts = self.server, urlsplit(self.path)
        assert isinstance(server, Prometheus)
        if parts.path == "/":
            body = b"<title>Locust</title>"
        else:
            query = parse_qs(parts.query)["query"][0]
            server.asked.append(query)
            body = json.dumps({"status": "success", "data": {"result": server.result(parts.path, query)}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    server = Prometheus()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Watcher:
    """The API's objects as the world has them."""

    def __init__(self, **_: Any) -> None:
        self.gaps: tuple[float, ...] = ()

    def start(self) -> None:
        """Nothing to do."""

    def latest(self, kind: str) -> list[Mapping[str, Any]]:
        found = world.objects()
        return list({"replicasets": found.replica_sets, "pods": found.pods, "analysisruns": found.analysis_runs,
                     "analysistemplates": found.templates}.get(kind, ()))  # fmt: skip

    def get(self, kind: str, name: str) -> Mapping[str, Any] | None:
        assert name == "webapp"
        return world.objects().rollout if kind == "rollouts" else world.objects().virtual_service


class Platform:
    """A platform with one part and one log."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.looks = folder, url, 0
        self.error: PlatformError | None = None

    def endpoints(self) -> Endpoints:
        return Endpoints(
            kubeconfig=self.folder / "kubeconfig", context="c", gateway_url="", prometheus_url=self.url, registry="",
            namespace="webapp", scratch=self.folder,
        )  # fmt: skip

    def parts(self) -> list[Part]:
        self.looks += 1
        if self.error:
            raise self.error
        return [Part(name="etcd", well=True, told="ready")]

    def logs(self) -> Mapping[str, Path]:
        return {"etcd": self.folder / "etcd.log", "gone": self.folder / "gone.log"}


@pytest.fixture
def platform(tmp_path: Path, prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setattr(module, "Watcher", Watcher)
    monkeypatch.setattr(module, "LOCUST_URL", f"http://127.0.0.1:{free_port()}/")
    (tmp_path / "etcd.log").write_text("started\n")
    return Platform(tmp_path, prometheus.url)


def well(state: dict[str, Any]) -> dict[str, bool]:
    return {part["name"]: part["well"] for part in state["parts"]}


def test_one_look_serves_everybody(platform: Platform, prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(platform, Watchable)
    monkeypatch.setattr(module, "FRESH_SECONDS", 3600.0)
    source = Source(platform)
    states = [source.state() for _ in range(20)]
    assert all(state is states[0] for state in states)
    assert len(prometheus.asked) == 5
    assert platform.looks == 1
    assert states[0]["well"] is True
    assert [row["version"] for row in states[0]["versions"]] == ["v1.0", "v1.1"]
    assert states[0]["release"]["canary_weight"] == 30


def test_what_fails_is_a_part_that_is_not_well(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(module, "PARTS_SECONDS", 0.0)
    source = Source(platform)
    assert well(source.state()) == {"etcd": True, "this page's figures": True, "this page's watch": True}
    platform.error = PlatformError("the platform is not running any more")
    state = source.state()
    assert well(state)["platform"] is False
    assert state["well"] is False
    source._watcher.gaps = (1.0,)  # type: ignore[misc]
    assert well(source.state())["this page's watch"] is False
    assert well(source.state())["this page's watch"] is True  # taken up again


def test_without_prometheus_the_rest_is_shown(platform: Platform) -> None:
    platform.url = f"http://127.0.0.1:{free_port()}"
    state = Source(platform).state()
    assert well(state)["this page's figures"] is False
    assert (state["versions"], state["release"]["phase"]) == ([], "Progressing")


def test_a_log_is_read_by_the_name_that_the_platform_gives_it(platform: Platform) -> None:
    source = Source(platform)
    assert source.log("etcd") == ["started"]
    assert source.log("gone") == ["(gone.log cannot be read: No such file or directory)"]
    assert source.log("../etcd") is None


def test_locusts_web_ui_is_found_while_it_is_open(prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCUST_URL", f"{prometheus.url}/")
    assert [part.url for part in locust()] == [f"{prometheus.url}/"]
    monkeypatch.setattr(module, "LOCUST_URL", f"http://127.0.0.1:{free_port()}/")
    assert locust() == []


def test_who_does_not_answer_is_not_well_but_a_gateway_without_a_release() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    parts = look.asked({look.GATEWAY: nobody, "Prometheus API": nobody, "kubectl": "/kubectl --kubeconfig x"})
    assert [(part.name, part.well, part.told) for part in parts] == [
        (look.GATEWAY, True, "no release is installed"), ("Prometheus API", False, "no answer"),
    ]  # fmt: skip
    assert look.targets(nobody).well is False


def test_a_component_that_is_not_scraped_is_not_well_and_a_pod_that_is_going_is(prometheus: Prometheus) -> None:
    def target(up: int, **labels: str) -> dict[str, Any]:
        return {"metric": labels, "value": [0, str(up)]}

    prometheus.up = [target(1, job="gateway"), target(1, job="pods", pod="a")]
    assert look.targets(prometheus.url).well is True
    prometheus.up = [target(1, job="gateway"), target(0, job="pods", pod="a")]
    assert (look.targets(prometheus.url).well, look.targets(prometheus.url).told) == (True, "no answer from a")
    prometheus.up = [target(0, job="gateway"), target(0, job="pods", pod="a")]
    assert look.targets(prometheus.url).well is False
