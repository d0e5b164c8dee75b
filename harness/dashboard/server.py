"""The page over HTTP: loopback only, reading only, for browsers that asked for it by that name.

Anything that is shown may come from an image or a log, and any page in the same browser may ask for our address: so there is a
strict Content-Security-Policy, no inline script, JSON as data alone, and a check of the Host header, without which a name that is
made to point here (DNS rebinding) would let a foreign page read along.
"""

from __future__ import annotations

import io
import ipaddress
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from flask import Flask, Response, abort, jsonify, request, send_from_directory
from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer, WSGIRequestHandler

from harness.errors import UsageError
from harness.hangups import HangUpsAreNoNews
from harness.signals import settle

LOOPBACK = "127.0.0.1"
STATIC = Path(__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Page(Protocol):
    """Where the data comes from."""

    def state(self) -> dict[str, Any]:
        """All but the logs."""
        ...

    def log(self, name: str) -> list[str] | None:
        """A log's last lines."""
        ...


def create_app(source: Page) -> Flask:
    """The application over this source."""
    app = Flask("gateproof-dashboard", static_folder=None)

    @app.before_request
    def only_here() -> None:
        if not asked_by_a_name_of_ours(request.host):
            told = f"asked for as {request.host[:80]!r}: use http://127.0.0.1 and the port\n"
            abort(Response(told, 421, mimetype="text/plain"))

    @app.after_request
    def careful(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    @app.get("/")
    def index() -> Response:
        return send_from_directory(STATIC, "index.html")

    @app.get("/static/<name>")
    def static(name: str) -> Response:
        return send_from_directory(STATIC, name)

    @app.get("/api/state")
    def state() -> Response:
        return jsonify(source.state())

    @app.get("/api/log/<path:name>")
    def log(name: str) -> Response:
        found = source.log(name)
        if found is None:
            abort(Response("no log of this name\n", 404, mimetype="text/plain"))
        return jsonify({"name": name, "lines": found})

    return app


def asked_by_a_name_of_ours(host: str) -> bool:
    """Whether a Host header names this machine's loopback, by address or as localhost.

    >>> [asked_by_a_name_of_ours(each) for each in ("127.0.0.1:8000", "localhost", "[::1]:80", "127.0.0.1.evil.test")]
    [True, True, True, False]
    """
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class _Quiet(WSGIRequestHandler):
    """Two requests a second are no news."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


class _Server(HangUpsAreNoNews, ThreadedWSGIServer):
    """Each request in a thread of its own."""


def listen(source: Page, port: int) -> BaseWSGIServer:
    """A server on loopback that is ready to serve; port 0 is any free one. Raises UsageError when the port is taken."""
    # Bound here, because the server would tell of a taken port in its own words, and end the process.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((LOOPBACK, port))
        except OSError:
            raise UsageError(f"--port {port}: {LOOPBACK}:{port} is taken: stop what listens there, or choose another") from None
        bound.listen()
        number = bound.getsockname()[1]
        return _Server(LOOPBACK, number, create_app(source), _Quiet, fd=bound.fileno())


def serve(source: Page, port: int, *, tell: Callable[[str], None]) -> None:
    """Serve until interrupted; `tell` is given the page's address once it can be opened."""
    server = listen(source, port)
    told = logging.StreamHandler()
    logging.getLogger().addHandler(told)
    try:
        tell(f"http://{LOOPBACK}:{server.port}/")
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        pass
    finally:
        # Also where werkzeug's own loop has swallowed the interrupt: it would be raised again, in the middle of the end.
        settle()
        server.server_close()
        # Python aborts (SIGABRT) where a thread is writing to stderr as the process ends: requests that are still under way may
        # fail now, but not tell of it any more.
        told.setStream(io.StringIO())
