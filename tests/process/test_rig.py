"""What stands between a gate and Prometheus when the gate itself is to be broken: a dead port, a slow proxy, a lying one."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from harness.faults import PROMETHEUS_TIMEOUT_SECONDS, Rig
from harness.loopback import local_session
from harness.rig import LATE_SECONDS, proxy, released_image, rigged, rounded
from harness.variants import BuiltImage


class Upstream(BaseHTTPRequestHandler):
    """Answers each query with the number that it names, as Prometheus would."""

    def do_GET(self) -> None:
        self._answer(parse_qs(urlsplit(self.path).query))

    def do_POST(self) -> None:
        self._answer(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))

    def _answer(self, form: dict[str, list[str]]) -> None:
        query = form["query"][0]
        if query == "bad":
            status, told = 400, {"status": "error", "errorType": "bad_data", "error": "parse error"}
        else:
            result = [{"metric": {}, "value": [1.5, query]}] if query != "empty" else []
            status, told = 200, {"status": "success", "data": {"resultType": "vector", "result": result}}
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def ask(url: str, query: str, *, timeout: float = 10) -> dict[str, Any]:
    """As the controller asks: a form in a POST."""
    answer = local_session().post(f"{url}/api/v1/query", data={"query": query}, timeout=timeout)
    found: dict[str, Any] = answer.json()
    return found


def value(answer: dict[str, Any]) -> str:
    return str(answer["data"]["result"][0]["value"][1])


def address(values: Any) -> str:
    return str(values["analysis"]["prometheus"]["address"])


def is_open(url: str) -> bool:
    parts = urlsplit(url)
    with contextlib.suppress(OSError), socket.create_connection((str(parts.hostname), parts.port or 0), timeout=2):
        return True
    return False


def test_a_wrong_prometheus_rounds_shares_and_leaves_counts_and_errors_alone(upstream: str) -> None:
    with rigged(Rig.PROMETHEUS_WRONG, upstream) as values:
        url = address(values)
        assert [value(ask(url, number)) for number in ("0.95", "0.05", "312", "0.0123", "1")] == ["1", "0", "312", "0", "1"]
        assert value(ask(url, "NaN")) == "NaN"
        assert ask(url, "empty") == ask(upstream, "empty")
        assert ask(url, "bad") == ask(upstream, "bad")
        by_get = local_session().get(f"{url}/api/v1/query", params={"query": "0.6"}, timeout=10).json()
        assert value(by_get) == "1"
    assert not is_open(url)
    assert value(ask(upstream, "0.95")) == "0.95"


def test_a_slow_prometheus_answers_truly_but_after_the_gate_has_given_up(upstream: str) -> None:
    assert LATE_SECONDS > PROMETHEUS_TIMEOUT_SECONDS
    with rigged(Rig.PROMETHEUS_SLOW, upstream) as values:
        with pytest.raises(requests.Timeout):
            ask(address(values), "0.95", timeout=0.3)
        assert value(ask(address(values), "0.95")) == "0.95"


def test_an_answer_that_is_held_back_holds_nobody_else_up(upstream: str) -> None:
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(proxy(upstream, delay=3_600))
        with pytest.raises(requests.Timeout):
            ask(f"http://127.0.0.1:{port}", "1", timeout=0.3)
        begun = time.monotonic()
    assert time.monotonic() - begun < 60, "the end waited for the answer"
    assert not is_open(f"http://127.0.0.1:{port}")


def test_a_dead_prometheus_refuses_and_its_port_stays_ours(upstream: str) -> None:
    with rigged(Rig.PROMETHEUS_DOWN, upstream) as values:
        assert not is_open(address(values))
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", urlsplit(address(values)).port))


def test_a_proxy_whose_prometheus_is_gone_says_so(upstream: str) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with proxy(f"http://127.0.0.1:{held.getsockname()[1]}") as port:
            answer = local_session().post(f"http://127.0.0.1:{port}/api/v1/query", data={"query": "1"}, timeout=10)
    assert answer.status_code == 502


def test_without_a_rig_nothing_is_changed(upstream: str) -> None:
    for rig in (None, Rig.ABSENT_IMAGE):
        with rigged(rig, upstream) as values:
            assert values == {}


def test_an_absent_image_has_the_same_name_and_another_digest() -> None:
    image = BuiltImage(
        repository="localhost:1/webapp", tag="v1.1", digest="sha256:" + "a" * 64,
        reference="localhost:1/webapp:v1.1@sha256:" + "a" * 64,
    )  # fmt: skip
    assert released_image(None, image) == image
    absent = released_image(Rig.ABSENT_IMAGE, image)
    assert absent.reference == f"{image.repository}:{image.tag}@{absent.digest}"
    assert absent.digest != image.digest
    assert absent == released_image(Rig.ABSENT_IMAGE, image)


@pytest.mark.parametrize("answer", [b"", b"no JSON", b"{}", b"[]", b'{"data": {"result": [1, "2"]}}', b'{"data": {"result": 3}}'])
def test_what_is_no_answer_to_a_query_is_handed_on_as_it_is(answer: bytes) -> None:
    assert rounded(answer) == answer
