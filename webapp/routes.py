"""The endpoints: what users call (and faults may touch), and what probes, scrapers and operators call (and faults never do)."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound
from werkzeug.routing import Rule

from webapp.fault_control import FaultControl
from webapp.fault_schema import Field
from webapp.metrics import Metrics
from webapp.openapi import ANSWERABLE, BODILESS, MAX_DELAY_SECONDS, document
from webapp.settings import Settings

_DELAY = Field(key="delay", about="", high=MAX_DELAY_SECONDS, unit="seconds")
_USER = "user"  # the name of the blueprint
_PARAMETER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


def route_template(rule: str) -> str:
    """A routing rule in the form that metrics, spans and OpenAPI use: `/status/<code>` becomes `/status/{code}`."""
    return _PARAMETER.sub(r"{\1}", rule)


class Route(Rule):
    """A routing rule that knows its template, and whether it is user traffic, which faults may hit."""

    def __init__(self, string: str, *args: Any, **options: Any) -> None:
        super().__init__(string, *args, **options)
        self.template = route_template(string)
        self.is_user = self.endpoint.startswith(f"{_USER}.")


def parse_delay(text: str) -> float:
    """A number of seconds that a caller may ask for; raises BadRequest for anything else."""
    seconds = _DELAY.from_text(text)
    if not isinstance(seconds, float) or not _DELAY.accepts(seconds):
        raise BadRequest(f"the delay {_DELAY.rule}")
    return seconds


def user_routes(settings: Settings) -> Blueprint:
    """The user traffic. Every matched request takes its turn at the fault injector before it is answered."""
    user = Blueprint(_USER, __name__)

    @user.get("/")
    def index() -> Response:
        return jsonify(service=settings.service_name, version=settings.version, pod=settings.pod_name or None)

    @user.get("/headers")
    def headers() -> Response:
        return jsonify(headers=dict(request.headers))

    @user.get("/status/<code>")
    def answer_status(code: str) -> Response:
        if not re.fullmatch(r"[0-9]{3}", code, re.ASCII) or int(code) not in ANSWERABLE:
            raise NotFound("not a registered final HTTP status code")
        answer = Response() if int(code) in BODILESS else jsonify(status=int(code))
        answer.status_code = int(code)
        return answer

    @user.get("/delay/<seconds>")
    def answer_late(seconds: str) -> Response:
        delay = parse_delay(seconds)
        time.sleep(delay)
        return jsonify(delay=delay)

    return user


def control_routes(settings: Settings, faults: FaultControl, metrics: Metrics) -> Blueprint:
    """What tells about the process or steers it; `/version` is here so that asking who serves is never falsified."""
    control = Blueprint("control", __name__)
    ready = threading.Event()
    ready.set()

    @control.get("/readyz")
    def readyz() -> tuple[Response, int]:
        is_ready = ready.is_set() and not faults.is_flapped()
        return (jsonify(status="ready"), 200) if is_ready else (jsonify(status="not ready"), 503)

    @control.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @control.post("/readyz/enable")
    def enable() -> Response:
        ready.set()
        return jsonify(status="ready")

    @control.post("/readyz/disable")
    def disable() -> Response:
        ready.clear()
        return jsonify(status="not ready")

    @control.get("/version")
    def version() -> Response:
        return jsonify(version=settings.version, revision=settings.revision, pod=settings.pod_name or None)

    @control.get("/metrics")
    def exposition() -> Response:
        body, content_type = metrics.render(request.headers.get("Accept", ""), behind_seconds=faults.plan.clock_behind_seconds)
        return Response(body, content_type=content_type)

    @control.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(document(settings.version))

    return control
