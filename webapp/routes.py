"""The endpoints: what users call (and faults may touch), and what probes, scrapers and operators call (and faults never do)."""

from __future__ import annotations

import functools
import math
import re
import threading
import time
from http import HTTPStatus

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

from webapp.faults import Fault, FaultInjector
from webapp.metrics import Metrics
from webapp.middleware import FAULT_KEY, ROUTE_KEY
from webapp.openapi import document
from webapp.settings import Settings

MAX_DELAY_SECONDS = 10.0
# Registered codes only, and none of the 1xx: each code is a label value, and a caller must not be able to make up new ones.
ANSWERABLE = frozenset(status.value for status in HTTPStatus if status.value >= 200)
_PARAMETER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


@functools.cache
def route_template(rule: str) -> str:
    """A routing rule in the form that metrics, spans and OpenAPI use: `/status/<code>` becomes `/status/{code}`."""
    return _PARAMETER.sub(r"{\1}", rule)


def problem(status: int, detail: str) -> Response:
    """An error as RFC 9457 problem details."""
    title = HTTPStatus(status).phrase if status in ANSWERABLE else "Error"
    answer = jsonify(type="about:blank", title=title, status=status, detail=detail)
    answer.status_code = status
    answer.mimetype = "application/problem+json"
    return answer


def on_http_error(error: HTTPException) -> Response:
    """Turn Flask's error pages into problem details, keeping headers such as Allow."""
    answer = problem(error.code or 500, error.description or "")
    for key, value in error.get_headers():
        if key.lower() not in {"content-type", "content-length"}:
            answer.headers.add(key, value)
    return answer


def remember_route() -> None:
    """Tell the instrumentation which route matched; nothing is told when none did."""
    if request.url_rule is not None:
        request.environ[ROUTE_KEY] = route_template(request.url_rule.rule)


def parse_delay(text: str) -> float:
    """A number of seconds that a caller may ask for; raises BadRequest for anything else."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_DELAY_SECONDS:
        raise BadRequest(f"the delay must be a number of seconds from 0 to {MAX_DELAY_SECONDS:g}")
    return seconds


def inject(fault: Fault, metrics: Metrics) -> Response | None:
    """Carry a fault out, and count it: sleep first, then answer in the route's stead, or not."""
    if fault.delay_seconds > 0:
        metrics.count_fault("latency")
        time.sleep(fault.delay_seconds)
    if fault.status_code is None:
        return None
    metrics.count_fault("error")
    request.environ[FAULT_KEY] = "error"
    return problem(fault.status_code, "injected fault")


def user_routes(settings: Settings, faults: FaultInjector, metrics: Metrics) -> Blueprint:
    """The user traffic. Every matched request takes its turn at the fault injector before it is answered."""
    user = Blueprint("user", __name__)

    user.before_request(lambda: inject(faults.next(), metrics))

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
        answer = jsonify(status=int(code))
        answer.status_code = int(code)
        return answer

    @user.get("/delay/<seconds>")
    def answer_late(seconds: str) -> Response:
        delay = parse_delay(seconds)
        time.sleep(delay)
        return jsonify(delay=delay)

    return user


def control_routes(settings: Settings, metrics: Metrics) -> Blueprint:
    """What tells about the process or steers it; `/version` is here so that asking who serves is never falsified."""
    control = Blueprint("control", __name__)
    ready = threading.Event()
    ready.set()

    def readiness() -> tuple[Response, int]:
        return (jsonify(status="ready"), 200) if ready.is_set() else (jsonify(status="not ready"), 503)

    @control.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @control.get("/readyz")
    def readyz() -> tuple[Response, int]:
        return readiness()

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
        body, content_type = metrics.render(request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

    @control.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(document(settings.version))

    return control
