"""The OpenAPI description of the endpoints; a test holds it against the routes."""

from __future__ import annotations

from typing import Any

_JSON = {"application/json": {"schema": {"type": "object"}}}
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_ERROR = {"description": "An error, or an injected fault", "content": _PROBLEM}


def _operation(summary: str, *, user: bool, content: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    responses = {"200": {"description": "OK", "content": content or _JSON}, "default": _ERROR}
    return {"summary": summary, "tags": ["user" if user else "control"], "responses": responses, **more}


def _parameter(name: str, schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": schema}]


def document(version: str) -> dict[str, Any]:
    """The description, as of the running version."""
    code = _parameter("code", {"type": "integer", "minimum": 200, "maximum": 599})
    seconds = _parameter("seconds", {"type": "number", "minimum": 0, "maximum": 10})
    text = {"text/plain": {"schema": {"type": "string"}}, "application/openmetrics-text": {"schema": {"type": "string"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "webapp", "version": version, "summary": "A service with exact, seeded, measured faults."},
        "tags": [
            {"name": "user", "description": "Measured as user traffic; injected faults may touch it."},
            {"name": "control", "description": "Never faulted, never counted as user traffic."},
        ],
        "paths": {
            "/": {"get": _operation("Say hello", user=True)},
            "/headers": {"get": _operation("Echo the request's headers", user=True)},
            "/status/{code}": {"get": _operation("Answer with a registered status code", user=True, parameters=code)},
            "/delay/{seconds}": {"get": _operation("Answer after a delay", user=True, parameters=seconds)},
            "/version": {"get": _operation("Say which version serves", user=False)},
            "/healthz": {"get": _operation("Liveness", user=False)},
            "/readyz": {"get": _operation("Readiness: 200 or 503", user=False)},
            "/readyz/enable": {"post": _operation("Report ready from now on", user=False)},
            "/readyz/disable": {"post": _operation("Report not ready from now on", user=False)},
            "/metrics": {"get": _operation("Prometheus or OpenMetrics exposition", user=False, content=text)},
            "/openapi.json": {"get": _operation("This document", user=False)},
        },
        "components": {
            "schemas": {
                "Problem": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    },
                }
            }
        },
    }
