"""Ports and probes: whose listener it is, and what an answer is worth."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fakes.stage import Stage, eventually

from harness.supervisor import ports
from harness.supervisor.component import HttpProbe, Port, TcpProbe
from harness.supervisor.errors import ComponentNotReady, PortTaken
from harness.supervisor.probe import ask_http, ask_tcp


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    assert stage.clear() == [], "processes were left behind"


@contextmanager
def listener(host: str = "127.0.0.1", *, backlog: int = 5) -> Iterator[int]:
    with socket.socket() as server:
        server.bind((host, 0))
        server.listen(backlog)
        yield server.getsockname()[1]


def test_free_ports_are_free_and_never_the_same() -> None:
    numbers = [ports.free_port() for _ in range(20)]
    assert len(set(numbers)) == 20
    assert ports.holder("127.0.0.1", numbers[0]) is None


def test_holder_and_owner() -> None:
    with listener() as number:
        assert (ports.holder("127.0.0.1", number) or "").startswith(f"pid {os.getpid()} (")
        assert ports.holder("127.0.0.2", number) is None
        assert ports.holder("0.0.0.0", number) is not None
        assert ports.owned_by(os.getpid(), "127.0.0.1", number)
        assert not ports.owned_by(1, "127.0.0.2", number)
    assert not ports.owned_by(os.getpid(), "127.0.0.1", number)


def test_a_listener_of_a_component_is_its_own_and_not_anothers(stage: Stage) -> None:
    web, other = stage.web("web"), stage.up("other", "stays.py")
    with stage.supervisor(web, other) as supervisor:
        supervisor.start()
        web_pid, other_pid = (status.pid for status in supervisor.statuses())
        assert web_pid is not None
        assert other_pid is not None
        number = web.ports[0].number
        assert ports.owned_by(web_pid, "127.0.0.1", number)
        assert not ports.owned_by(other_pid, "127.0.0.1", number)
        assert ports.foreign_holder(web_pid, "127.0.0.1", number) is None
        assert (ports.foreign_holder(other_pid, "127.0.0.1", number) or "").startswith(f"pid {web_pid} (")


def test_all_taken_ports_are_reported_together_and_nothing_starts(stage: Stage) -> None:
    with listener() as one, listener("0.0.0.0") as two:
        components = (stage.web("first", number=one), stage.web("second", number=two), stage.web("third"))
        with stage.supervisor(*components) as supervisor, pytest.raises(PortTaken) as raised:
            supervisor.start()
    assert stage.events == []
    assert len(raised.value.lines) == 2
    assert f"port 127.0.0.1:{one} (http of first) is taken by pid {os.getpid()} (" in raised.value.lines[0]
    assert "choose another port" in raised.value.lines[1]


def test_an_address_that_is_not_ours_is_told_as_such(stage: Stage) -> None:
    away = stage.component("away", "stays.py", ports=(Port(name="http", host="192.0.2.1", number=8080),))
    with pytest.raises(PortTaken, match=r"port 192\.0\.2\.1:8080 \(http of away\) cannot be used: Cannot assign"):
        ports.check_ports([away])


def test_the_answer_of_a_stranger_does_not_make_a_component_ready(stage: Stage) -> None:
    number = ports.free_port()
    silent = stage.component(
        "silent",
        "stays.py",
        ports=(Port(name="http", host="127.0.0.1", number=number),),
        ready=TcpProbe(host="127.0.0.1", port=number),
        start_timeout=3,
    )
    with socket.socket() as stranger, stage.supervisor(silent) as supervisor:

        def steal() -> None:  # after the ports were checked
            eventually(lambda: bool(stage.events), "the component was started")
            stranger.bind(("127.0.0.1", number))
            stranger.listen()

        thread = threading.Thread(target=steal)
        thread.start()
        with pytest.raises(ComponentNotReady, match=rf"is served by pid {os.getpid()} \(.*\), not by this component"):
            supervisor.start()
        thread.join()


def test_tcp_probe() -> None:
    with listener() as number:
        assert ask_tcp(TcpProbe(host="127.0.0.1", port=number)).ready
    refused = ask_tcp(TcpProbe(host="127.0.0.1", port=number))
    assert not refused.ready
    assert "refused" in refused.text


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def http_server(context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("status", "ready"), [(200, True), (302, True), (399, True), (400, False), (503, False)])
def test_http_probe_wants_a_status_below_400(status: int, ready: bool) -> None:
    with http_server() as number:
        answer = ask_http(HttpProbe(url=f"http://127.0.0.1:{number}/{status}"))
    assert (answer.ready, answer.text[:10]) == (ready, f"status {status}")


def test_http_probe_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with http_server() as number:
        assert ask_http(HttpProbe(url=f"http://127.0.0.1:{number}/200")).ready


def test_http_probe_tells_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.supervisor.probe.ANSWER_TIMEOUT", 0.1)
    with listener() as number:
        answer = ask_http(HttpProbe(url=f"http://127.0.0.1:{number}/200"))
    assert (answer.ready, answer.text) == (False, "timed out")


def test_https_probe_trusts_our_own_ca_only(tmp_path: Path) -> None:
    cert, other = certificate(tmp_path / "ours"), certificate(tmp_path / "theirs")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, cert.with_suffix(".key"))
    with http_server(context) as number:
        url = f"https://127.0.0.1:{number}/200"
        assert ask_http(HttpProbe(url=url, ca_file=cert)).ready
        wrong = ask_http(HttpProbe(url=url, ca_file=other))
        unknown = ask_http(HttpProbe(url=url))
        missing = ask_http(HttpProbe(url=url, ca_file=tmp_path / "missing"))
    assert [answer.ready for answer in (wrong, unknown, missing)] == [False] * 3
    assert "CERTIFICATE_VERIFY_FAILED" in wrong.text
    assert "CERTIFICATE_VERIFY_FAILED" in unknown.text
    assert "No such file" in missing.text


def certificate(stem: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem.name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    stem.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    stem.with_suffix(".pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return stem.with_suffix(".pem")
