"""Errors as RFC 9457 problem details: those of the application, and those that its server finds before it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Response, jsonify
from werkzeug.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
_TITLES = {status.value: status.phrase for status in HTTPStatus}


def problem(status: int, detail: str) -> Response:
    """An error as an answer of the application."""
    answer = jsonify(_fields(status, detail))
    answer.status_code = status
    answer.mimetype = MEDIA_TYPE
    return answer


def on_http_error(error: HTTPException) -> Response:
    """Turn Flask's error pages into problem details, keeping headers such as Allow."""
    answer = problem(error.code or 500, error.description or "")
    for key, value in error.get_headers():
        if key.lower() not in {"content-type", "content-length"}:
            answer.headers.add(key, value)
    return answer


def wire_writer(identity: list[tuple[str, str]]) -> Callable[[Any, int, str, str], None]:
    """What stands in for gunicorn.util.write_error: the same problem details, and the headers that say who answered.

    gunicorn answers a request that it cannot parse (or whose application fails altogether) with a page of HTML; it has no
    setting for that, and looks this function up in its module each time.
    """

    def write(connection: Any, status: int, _reason: str, detail: str) -> None:
        body = json.dumps(_fields(status, detail)).encode()
        lines = [
            f"HTTP/1.1 {status} {_TITLES.get(status, 'Error')}",
            "Connection: close",
            f"Content-Type: {MEDIA_TYPE}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in identity),
        ]
        connection.settimeout(0)  # whoever sends rubbish may not read either, and must not hold a thread
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    return write


def _fields(status: int, detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": _TITLES.get(status, "Error"), "status": status, "detail": detail}
