"""The application factory: wiring only."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from flask import Flask, Response
from flask.globals import request_ctx
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from webapp import settings as settings_module
from webapp.admin import fault_routes
from webapp.effects import crash
from webapp.fault_control import FaultControl
from webapp.metrics import Metrics
from webapp.middleware import ROUTE_KEY, Instrumentation
from webapp.problems import on_http_error
from webapp.routes import Route, control_routes, user_routes
from webapp.tracing import Tracing

MAX_BODY_BYTES = 64 * 1024
FAULTS = "webapp.faults"
"""The key of the FaultControl among the application's extensions."""


class _App(Flask):
    """Flask, with what happens between the match of a route and its view.

    One overridden method instead of hooks before each request: Flask takes longer to find and call a hook than the hook takes.
    """

    url_rule_class: type[Rule] = Route

    def __init__(self, faults: FaultControl) -> None:
        super().__init__("webapp", static_folder=None)
        self._faults = faults

    def dispatch_request(self) -> ResponseReturnValue:
        """Tell the instrumentation which route matched (nothing when none did), and let a user request have its fault."""
        request = request_ctx.request
        route = request.url_rule
        if isinstance(route, Route):
            request.environ[ROUTE_KEY] = route.template
            if route.is_user and (instead := self._faults.inject(request, route.template)) is not None:
                return instead
        return super().dispatch_request()

    def make_default_options_response(self) -> Response:
        """The answer to OPTIONS on any route: Allow, and no content rather than an empty page of HTML."""
        answer = super().make_default_options_response()
        answer.status_code = 204
        del answer.headers["Content-Type"]
        return answer


def create_app(environ: Mapping[str, str] | None = None, *, end: Callable[[str], object] = crash) -> Flask:
    """The application for `environ`, the process environment by default; raises SettingsError when it cannot be used.

    `end` is what ends the process when a crash is injected.
    """
    settings = settings_module.from_environ(os.environ if environ is None else environ)
    metrics = Metrics(settings)
    faults = FaultControl(settings.faults, metrics, end=end)
    control, admin = control_routes(settings, faults, metrics), fault_routes(settings, faults)
    app = _App(faults)
    app.extensions[FAULTS] = faults
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY_BYTES)
    app.url_map.merge_slashes = False  # two slashes are another path, and no reason for a redirect
    app.register_error_handler(HTTPException, on_http_error)
    app.register_blueprint(control)
    app.register_blueprint(admin)
    app.register_blueprint(user_routes(settings))
    unmeasured = (f"{control.name}.", f"{admin.name}.")
    paths = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith(unmeasured)}
    app.wsgi_app = Instrumentation(  # type: ignore[method-assign]  # the documented way to wrap a Flask application
        app.wsgi_app, settings=settings, metrics=metrics, tracing=Tracing(settings), control_paths=frozenset(paths)
    )
    return app
