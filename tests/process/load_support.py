"""A small server that counts what a load sends it, and loads that end with the test."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import psutil
import pytest

from harness.load import Load, LoadSpec


class Server(ThreadingHTTPServer):
    """Answers `status(n)` to request n after `delay` seconds; 0 closes the connection without an answer."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, status: Callable[[int], int] = lambda _: 200, delay: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.delay = status, delay
        self.lock = Lock()
        self.arrivals: list[float] = []
        self.asked: list[tuple[str, str, str | None]] = []
        self.hosts: set[str | None] = set()
        self.paths: set[str] = set()
        self.connections = 0
        self.url = f"http://127.0.0.1:{self.server_port}"
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def count(self) -> int:
        return len(self.arrivals)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def answer(self) -> None:
        with self.server.lock:
            self.server.arrivals.append(time.time())
            self.server.asked.append((self.command, self.path, self.headers.get("X-Tester")))
            number = self.server.count
        self.server.hosts.add(self.headers["Host"])
        self.server.paths.add(self.path)
        time.sleep(self.server.delay)
        status = self.server.status(number)
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("X-App-Version", "v1.1" if number % 2 else "v1.0")
        self.send_header("X-Pod-Name", f"pod-{number}")
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"ok")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the library's names

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**kwargs: Any) -> Server:
        servers.append(Server(**kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Load]]:
    loads: list[Load] = []

    def run(url: str, **kwargs: Any) -> Load:
        defaults: dict[str, Any] = {"url": url, "worst_latency_seconds": 0.5, "duration_limit_seconds": 30}
        spec = LoadSpec(**(defaults | kwargs))
        loads.append(Load(spec=spec, folder=tmp_path / f"load-{len(loads)}", python=sys.executable))
        loads[-1].start()
        return loads[-1]

    yield run
    for load in loads:
        load.stop()


def wait_until(condition: Callable[[], object], what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
