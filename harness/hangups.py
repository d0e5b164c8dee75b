"""Servers whose callers may go away before they have their answer."""

from __future__ import annotations

import logging
import socketserver
import sys
from http.server import ThreadingHTTPServer
from typing import Any


class HangUpsAreNoNews(socketserver.BaseServer):
    """A server that has no traceback for a caller who went away before the answer, and logs anything else."""

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 -- the base class' signature
        """Called where a request's own handling has raised."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            logging.getLogger(__name__).exception("a request from %s", client_address)


class ProxyServer(HangUpsAreNoNews, ThreadingHTTPServer):
    """Each request in a daemon's thread: one that is still held back keeps nobody from ending."""
