"""HTTP on loopback."""

from __future__ import annotations

import logging
import socketserver
import sys
from typing import Any

import requests


class HangUpsAreNoNews(socketserver.BaseServer):
    """A server that has no traceback for a caller who went away before the answer, and logs anything else."""

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 -- the base class' signature
        """Called where a request's own handling has raised."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            logging.getLogger(__name__).exception("a request from %s", client_address)


def local_session() -> requests.Session:
    """A session in whose requests neither a proxy nor a .netrc of the user's has a say."""
    session = requests.Session()
    session.trust_env = False
    return session
