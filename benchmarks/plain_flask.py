"""The web app's routes with nothing around them: what its instrumentation is measured against."""

from __future__ import annotations

import re
import time
from http import HTTPStatus

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import NotFound

from webapp import __version__

ANSWERABLE = frozenset(status.value for status in HTTPStatus if status.value >= 200)


class _NoFaults:
    def start(self) -> None:
        """What gunicorn's settings call on the web app's faults; here there are none."""


def create_app() -> Flask:
    app = Flask("plain", static_folder=None)
    app.extensions["webapp.faults"] = _NoFaults()

    @app.get("/")
    def index() -> Response:
        return jsonify(service="webapp", version=__version__, pod=None)

    @app.get("/headers")
    def headers() -> Response:
        return jsonify(headers=dict(request.headers))

    @app.get("/status/<code>")
    def status(code: str) -> Response:
        if not re.fullmatch(r"[0-9]{3}", code, re.ASCII) or int(code) not in ANSWERABLE:
            raise NotFound
        answer = jsonify(status=int(code))
        answer.status_code = int(code)
        return answer

    @app.get("/delay/<seconds>")
    def delay(seconds: str) -> Response:
        time.sleep(float(seconds))
        return jsonify(delay=float(seconds))

    @app.get("/readyz")
    def readyz() -> Response:
        return jsonify(status="ready")

    return app
