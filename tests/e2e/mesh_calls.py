"""A counting app, and calls to the sidecar in front of it: in plain text, or over TLS as somebody."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness.platforms.local.certs import private_pem
from harness.platforms.local.identity import write_private

Address = tuple[str, int]
CALL_SECONDS = 10.0
REFUSED = 0
"""In place of a status: whoever listens there took the connection and ended it without an answer."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one call."""

    status: int
    why: str = ""
    server: str = ""
    """The identity in the server's certificate, which the caller has verified."""


class App:
    """The app behind the sidecar. It knows each request that has reached it, by who the sidecar says has sent it."""

    def __init__(self) -> None:
        callers = self.callers = list[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                callers.append(self.headers.get("X-Forwarded-Client-Cert", ""))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port

    @contextlib.contextmanager
    def running(self) -> Iterator[App]:
        with self._server:
            thread = threading.Thread(target=self._server.serve_forever)
            thread.start()
            try:
                yield self
            finally:
                self._server.shutdown()
                thread.join()


def call(address: Address, context: ssl.SSLContext | None = None) -> Outcome:
    """One GET on a connection of its own. A port on which nobody listens, or nobody answers in time, is an error, no refusal."""
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=CALL_SECONDS)) as connection:
        server = ""
        connection.sock = socket.create_connection(address, timeout=CALL_SECONDS)
        try:
            if context:
                connection.sock = secured = context.wrap_socket(connection.sock)
                server = identity_of(secured)
            connection.request("GET", "/", headers={"Host": "webapp.local", "Connection": "close"})
            with connection.getresponse() as answer:
                answer.read()
            return Outcome(status=answer.status, server=server)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as error:
            return Outcome(status=REFUSED, why=f"{type(error).__name__}: {error}", server=server)


def identity_of(connection: ssl.SSLSocket) -> str:
    """The server's SPIFFE identity."""
    names = (connection.getpeercert() or {}).get("subjectAltName", ())
    return " ".join(str(name[1]) for name in names if name[0] == "URI")


def tls(roots: Path, own: Path | None) -> ssl.SSLContext:
    """As a sidecar of the mesh calls: the server must be of the mesh's CA. `own` is the folder with the caller's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is named by its identity, which identity_of reads
    context.load_verify_locations(roots)
    if own:
        context.load_cert_chain(own / "cert-chain.pem", own / "key.pem")
    context.set_alpn_protocols(["istio"])
    return context


def impostor(folder: Path, identity: str) -> Path:
    """A folder with a certificate that claims to be `identity`, by an authority that nobody in the mesh knows: itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "impostor")]), datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1)).not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    folder.mkdir()
    (folder / "cert-chain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    write_private(folder / "key.pem", private_pem(key))
    return folder
