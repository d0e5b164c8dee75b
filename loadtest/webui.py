"""Locust's web UI with our own rules: what its form asks for is checked in full, takes effect at once, and ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import gevent
from flask import jsonify, request
from guard import refusal as host_refusal
from locust.env import Environment
from locust.runners import STATE_CLEANUP, STATE_RUNNING

_LOG = logging.getLogger(__name__)


def guard(
    environment: Environment,
    web_ui: Any,
    *,
    max_run_time: float,
    refusal: Callable[[dict[str, Any]], str | None],
    accepted: Callable[[], None],
) -> None:
    """Refuse a form for which `refusal` has a line to say, call `accepted` after any other, and stop after `max_run_time` s."""
    # The form in the order in which the options are declared, and not by the alphabet.
    web_ui.app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}

    @web_ui.app.before_request  # type: ignore[untyped-decorator, unused-ignore]
    def refuse() -> Any:
        if _is_foreign(web_ui.host):
            return "this page takes orders from itself only", 403
        if _is_form() and (line := refusal(request.form.to_dict())):
            _LOG.error(line)
            return jsonify({"success": False, "message": line, "host": environment.host})
        return None

    @web_ui.app.after_request  # type: ignore[untyped-decorator, unused-ignore]
    def accept(response: Any) -> Any:
        if _is_form() and response.is_json and response.get_json()["success"]:
            accepted()
        if request.path.endswith("/stats/requests") and response.is_json:
            _keep_looking(response)
        return response

    _stop_at(environment, max_run_time)


def _keep_looking(response: Any) -> None:
    """Have a load that is being stopped told as running: the page looks no more at any other, and would never say STOPPED."""
    report = response.get_json()
    if report["state"] == STATE_CLEANUP:
        response.set_data(json.dumps(report | {"state": STATE_RUNNING}))


def _is_foreign(web_host: str) -> bool:
    """Whether another site's page is behind the request: it may not have our loads sent to ports of this machine.

    Locust allows every origin, and a name that a stranger owns may be pointed at loopback.
    """
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin is not None and urlsplit(origin).netloc != request.host:
        return True
    return _loopback(f"http://{web_host}") and not _loopback(f"http://{request.host}")


def _loopback(url: str) -> bool:
    """Whether the URL is one of this machine's loopback addresses."""
    return host_refusal(url, None) is None


def _is_form() -> bool:
    return request.method == "POST" and request.path.endswith("/swarm")


def _stop_at(environment: Environment, max_run_time: float) -> None:
    cap: list[gevent.Greenlet] = []

    def stop_at_cap() -> None:
        _LOG.warning("stopped: a load from the web UI ends after --max-run-time")
        if environment.runner is not None:
            environment.runner.stop()

    @environment.events.test_start.add_listener
    def start_cap(**_: object) -> None:
        cap.append(gevent.spawn_later(max_run_time, stop_at_cap))

    @environment.events.test_stop.add_listener
    def cancel_cap(**_: object) -> None:
        while cap:
            greenlet = cap.pop()
            if greenlet is not gevent.getcurrent():
                greenlet.kill(block=False)
