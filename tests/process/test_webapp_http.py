"""HTTP manners on the wire: HEAD, OPTIONS, and answers to what is hardly HTTP."""

import json
import socket

import pytest
import requests
from webapp_server import DEADLINE_SECONDS, Server, Start

IDENTITY = {"APP_VERSION": "v1.0", "POD_NAME": "webapp-1"}
GETS = ["/", "/headers", "/status/200", "/delay/0", "/version", "/healthz", "/readyz", "/metrics", "/openapi.json", "/faults"]
POSTS = ["/readyz/enable", "/readyz/disable"]


def raw(server: Server, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """What the server says to these bytes until it closes the connection: status, headers by lower-case name, and body."""
    with server.connect() as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        seen = b""
        while part := connection.recv(65536):
            seen += part
    head, _, body = seen.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


def test_head_and_options_on_every_route(start_webapp: Start) -> None:
    server = start_webapp(FAULT_ADMIN="true", **IDENTITY)
    with requests.Session() as session:
        for path in [*GETS, *POSTS]:
            options = session.options(server.url + path, timeout=DEADLINE_SECONDS)
            allowed = set(options.headers["Allow"].split(", "))
            more = {"PUT", "DELETE"} if path == "/faults" else set()
            assert allowed == ({"GET", "HEAD", "OPTIONS"} | more if path in GETS else {"POST", "OPTIONS"}), path
            assert (options.status_code, options.content, options.headers["X-App-Version"]) == (204, b"", "v1.0"), path
        for path in GETS:
            get, head = (session.request(method, server.url + path, timeout=DEADLINE_SECONDS) for method in ("GET", "HEAD"))
            assert (get.status_code, head.status_code, head.content) == (200, 200, b""), path
            assert get.content, path
            assert head.headers["Content-Type"] == get.headers["Content-Type"], path
            assert head.headers["X-App-Version"] == "v1.0", path
    assert "warning" not in server.log.read_text().lower()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 5000), 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"a" * 10_000), 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n%s\r\n" % (b"X: y\r\n" * 101), 431),
        (b"rubbish\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400),
        (b"G\xc3T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST /readyz/enable HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /readyz/enable HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /readyz/enable HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: unheard-of\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: the unexpected\r\n\r\n", 417),
        (b"PUT /faults HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n", 413),
        (
            b"PUT /faults HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nnope\r\n",
            400,
        ),
        (b"PUT /faults HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{}", 400),
        (b"PUT /faults HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}", 400),
        (b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
        (b"GET /status//200 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
        (b"GET /%ff%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
        (b"TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
        (b"BREW / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
    ],
)
def test_every_refusal_is_a_problem_that_says_who_has_it(start_webapp: Start, request_bytes: bytes, status: int) -> None:
    server = start_webapp(FAULT_ADMIN="true", **IDENTITY)
    seen, headers, body = raw(server, request_bytes)
    problem = json.loads(body)
    assert (seen, problem["status"], set(problem)) == (status, status, {"type", "title", "status", "detail"})
    assert headers["content-type"] == "application/problem+json"
    assert (headers["x-app-version"], headers["x-pod-name"]) == ("v1.0", "webapp-1")
    assert int(headers["content-length"]) == len(body)
    assert "Traceback" not in server.log.read_text()
