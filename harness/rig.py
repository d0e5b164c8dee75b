"""What is done to a release or to its gate from outside: an image that is not there, a Prometheus that fails, dawdles or lies."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import requests

from harness.faults import PROMETHEUS_TIMEOUT_SECONDS, Rig
from harness.hangups import ProxyServer
from harness.loopback import local_session
from harness.variants import BuiltImage

LOOPBACK = "127.0.0.1"
LATE_SECONDS = PROMETHEUS_TIMEOUT_SECONDS + 2.0
"""How late a slow Prometheus answers: after the gate has given up."""
UPSTREAM_TIMEOUT_SECONDS = 10.0
MAX_QUERY_BYTES = 1_000_000

Answer = Callable[[bytes], bytes]


def released_image(rig: Rig | None, image: BuiltImage) -> BuiltImage:
    """The image that the release names: the candidate's own, or one of the same tag with a digest that nobody ever pushed."""
    if rig is not Rig.ABSENT_IMAGE:
        return image
    digest = "sha256:" + hashlib.sha256(f"absent: {image.digest}".encode()).hexdigest()
    return replace(image, digest=digest, reference=f"{image.repository}:{image.tag}@{digest}")


@contextlib.contextmanager
def rigged(rig: Rig | None, prometheus_url: str) -> Iterator[Mapping[str, Any]]:
    """What the chart must be told for this rig, which stands for a `with` block; the harness itself asks the real Prometheus."""
    if rig is Rig.PROMETHEUS_DOWN:
        with _refusing_port() as port:
            yield _address(port)
    elif rig is Rig.PROMETHEUS_SLOW:
        with proxy(prometheus_url, delay=LATE_SECONDS) as port:
            yield _address(port)
    elif rig is Rig.PROMETHEUS_WRONG:
        with proxy(prometheus_url, change=rounded) as port:
            yield _address(port)
    else:
        yield {}


def _address(port: int) -> Mapping[str, Any]:
    return {"analysis": {"prometheus": {"address": f"http://{LOOPBACK}:{port}"}}}


@contextlib.contextmanager
def _refusing_port() -> Iterator[int]:
    """A port that is ours, so that nobody else can open it meanwhile, and on which we never listen."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as held:
        held.bind((LOOPBACK, 0))
        yield held.getsockname()[1]


def rounded(answer: bytes) -> bytes:
    """Prometheus' answer to an instant query with each value rounded to a whole number; anything else as it is.

    >>> rounded(b'{"data": {"resultType": "vector", "result": [{"value": [1, "0.95"]}]}}')
    b'{"data": {"resultType": "vector", "result": [{"value": [1, "1"]}]}}'
    """
    try:
        told = json.loads(answer)
        for sample in told["data"]["result"]:
            sample["value"][1] = f"{round(float(sample['value'][1]))}"
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        return answer
    return json.dumps(told).encode()


@contextlib.contextmanager
def proxy(upstream: str, *, delay: float = 0.0, change: Answer = bytes) -> Iterator[int]:
    """Prometheus' HTTP API on a loopback port: each answer comes `delay` seconds late, and changed."""
    stop = threading.Event()
    server = ProxyServer((LOOPBACK, 0), _handler(upstream.rstrip("/"), delay, change, stop))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True, name="prometheus-proxy")
    thread.start()
    try:
        yield server.server_port
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(upstream: str, delay: float, change: Answer, stop: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Hands one request on and its answer back."""

        def do_GET(self) -> None:
            self._hand_on(None)

        def do_POST(self) -> None:
            try:
                length = int(self.headers.get("Content-Length") or 0)
            except ValueError:
                length = -1
            if not 0 <= length <= MAX_QUERY_BYTES:
                self.send_error(413)
                return
            self._hand_on(self.rfile.read(length))

        def _hand_on(self, body: bytes | None) -> None:
            headers = {name: self.headers[name] for name in ("Content-Type", "Accept") if self.headers.get(name)}
            try:
                got = local_session().request(
                    self.command, upstream + self.path, data=body, headers=headers, timeout=UPSTREAM_TIMEOUT_SECONDS
                )
            except requests.RequestException:
                self.send_error(502)
                return
            stop.wait(delay)
            content = change(got.content)
            with contextlib.suppress(OSError):  # whoever asked may have given up
                self.send_response(got.status_code)
                self.send_header("Content-Type", got.headers.get("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    return Handler
