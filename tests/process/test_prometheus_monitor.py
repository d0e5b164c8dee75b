"""The look-out for Prometheus, against a small server that is told what to answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.collect import PrometheusMonitor


class Server(ThreadingHTTPServer):
    """Answers with the next status of its list, then with the last one for ever."""

    statuses: list[int]
    asked: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        assert self.path == "/-/ready"
        self.send_response(server.statuses[min(server.asked, len(server.statuses) - 1)])
        server.asked += 1
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("statuses", "ok"),
    [([200], True), ([200, 503, 200], True), ([200, 503, 503, 200], False), ([503], False), ([200, 200, 200, 500], False)],
)
def test_one_failure_is_busy_and_two_in_a_row_are_down(server: Server, statuses: list[int], ok: bool) -> None:
    server.statuses = statuses
    with PrometheusMonitor(server.url, interval=0.01) as monitor:
        until(lambda: server.asked >= len(statuses) + 2)
    assert monitor.ok is ok


def test_never_asked_is_not_known_and_nobody_there_is_down(server: Server) -> None:
    monitor = PrometheusMonitor("http://127.0.0.1:1", interval=0.01)
    assert monitor.ok is None
    with monitor:
        until(lambda: monitor.ok is False)
