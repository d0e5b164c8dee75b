"""The application factory: wiring only."""

from __future__ import annotations

import os
from collections.abc import Mapping

from flask import Flask
from werkzeug.exceptions import HTTPException

from webapp import settings as settings_module
from webapp.faults import FaultInjector
from webapp.metrics import Metrics
from webapp.middleware import Instrumentation
from webapp.routes import control_routes, on_http_error, remember_route, route_template, user_routes
from webapp.tracing import Tracing

MAX_BODY_BYTES = 64 * 1024


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """The application for `environ`, the process environment by default; raises SettingsError when it cannot be used."""
    settings = settings_module.from_environ(os.environ if environ is None else environ)
    metrics = Metrics(settings)
    control = control_routes(settings, metrics)
    app = Flask("webapp", static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY_BYTES, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.register_error_handler(HTTPException, on_http_error)
    app.before_request(remember_route)
    app.register_blueprint(control)
    app.register_blueprint(user_routes(settings, FaultInjector(settings.faults), metrics))
    paths = {route_template(rule.rule) for rule in app.url_map.iter_rules() if rule.endpoint.startswith(f"{control.name}.")}
    app.wsgi_app = Instrumentation(  # type: ignore[method-assign]  # the documented way to wrap a Flask application
        app.wsgi_app, settings=settings, metrics=metrics, tracing=Tracing(settings), control_paths=frozenset(paths)
    )
    return app
