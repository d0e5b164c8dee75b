"""The OpenAPI description of the endpoints; tests hold it against the routes and against real answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from webapp.fault_schema import plan_schema

# Registered codes only, and none of the 1xx: each code is a label value, and a caller must not be able to make up new ones.
ANSWERABLE = frozenset(status.value for status in HTTPStatus if status.value >= 200)
BODILESS = frozenset({204, 205, 304})
MAX_DELAY_SECONDS = 10.0
_STRING = {"type": "string"}
_NAME_OR_NULL = {"type": ["string", "null"]}
_SUMMARY = "A service with exact, seeded, measured faults."
_ABOUT = "HEAD is answered wherever GET is, and OPTIONS (with Allow) everywhere. Every answer says who gave it in X-App-Version."

_Responses = dict[str, dict[str, Any]]


def _schema(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "additionalProperties": False, "properties": properties}


def _response(description: str, **content: dict[str, Any]) -> dict[str, Any]:
    """A response whose `content` gives the schema of each media type (with `_` for `/` and `__` for `+`)."""
    types = {name.replace("__", "+").replace("_", "/"): {"schema": schema} for name, schema in content.items()}
    headers = {
        "X-App-Version": {"required": True, "schema": _STRING, "description": "The version that answered."},
        "X-Pod-Name": {"schema": _STRING, "description": "The pod that answered, if it knows its name."},
    }
    return {"description": description, "headers": headers, **({"content": types} if types else {})}


def _json(schema: dict[str, Any], description: str = "OK") -> dict[str, Any]:
    return _response(description, application_json=schema)


def _problem(description: str, **content: dict[str, Any]) -> dict[str, Any]:
    return _response(description, application_problem__json={"$ref": "#/components/schemas/Problem"}, **content)


def _user(summary: str, answers: _Responses, **more: Any) -> dict[str, Any]:
    faults = {
        "4XX": _problem("What was asked for cannot be had, or an injected fault"),
        "5XX": _problem("A failure, or an injected fault"),
    }
    return {"summary": summary, "tags": ["user"], "responses": faults | answers, **more}


def _control(summary: str, answers: _Responses, **more: Any) -> dict[str, Any]:
    return {"summary": summary, "tags": ["control"], "responses": answers, **more}


def _parameter(name: str, schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": schema}]


def _user_paths() -> dict[str, Any]:
    hello = _schema(service=_STRING, version=_STRING, pod=_NAME_OR_NULL)
    headers = _schema(headers={"type": "object", "additionalProperties": _STRING})
    code = {"type": "integer", "enum": sorted(ANSWERABLE)}
    echoed = _schema(status=code)
    echo: _Responses = {
        "2XX": _json(echoed),
        "3XX": _json(echoed, "As asked for"),
        "4XX": _problem("As asked for, not a registered code, or an injected fault", application_json=echoed),
        "5XX": _problem("As asked for, or an injected fault", application_json=echoed),
        **{str(bare): _response("As asked for; no content") for bare in sorted(BODILESS)},
    }
    delay = {"type": "number", "minimum": 0, "maximum": MAX_DELAY_SECONDS}
    return {
        "/": {"get": _user("Say hello", {"200": _json(hello)})},
        "/headers": {"get": _user("Echo the request's headers", {"200": _json(headers)})},
        "/status/{code}": {"get": _user("Answer with a registered status code", echo, parameters=_parameter("code", code))},
        "/delay/{seconds}": {
            "get": _user("Answer after a delay", {"200": _json(_schema(delay=delay))}, parameters=_parameter("seconds", delay))
        },
    }


def _control_paths() -> dict[str, Any]:
    ready, not_ready = _schema(status={"const": "ready"}), _schema(status={"const": "not ready"})
    version = _schema(version=_STRING, revision=_STRING, pod=_NAME_OR_NULL)
    exposition = {"200": _response("OK", text_plain=_STRING, **{"application_openmetrics-text": _STRING})}
    readiness = {"200": _json(ready), "503": _json(not_ready, "Not ready")}
    return {
        "/version": {"get": _control("Say which version serves", {"200": _json(version)})},
        "/healthz": {"get": _control("Liveness", {"200": _json(_schema(status={"const": "ok"}))})},
        "/readyz": {"get": _control("Readiness", readiness)},
        "/readyz/enable": {"post": _control("Report ready from now on", {"200": _json(ready)})},
        "/readyz/disable": {"post": _control("Report not ready from now on", {"200": _json(not_ready)})},
        "/metrics": {"get": _control("Prometheus or OpenMetrics exposition, as Accept asks", exposition)},
        "/openapi.json": {"get": _control("This document", {"200": _json({"type": "object"})})},
        "/faults": _fault_operations(),
    }


def _fault_operations() -> dict[str, Any]:
    answers: _Responses = {
        "200": _json({"$ref": "#/components/schemas/PlanInForce"}, "The plan that is now in force"),
        "403": _problem("FAULT_ADMIN=true is not in the environment"),
    }
    refusals: _Responses = {
        "400": _problem("The body is not JSON"),
        "413": _problem("The body is longer than 64 KiB"),
        "415": _problem("The body is not sent as application/json"),
        "422": _problem("The body is no plan that can be had; the detail names each problem"),
    }
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Plan"}}}}
    return {
        "get": _control("The fault plan in force", answers),
        "put": _control("Replace the whole plan; what is not named gets its default", answers | refusals, requestBody=body),
        "delete": _control("Remove all faults, also those of the environment", answers),
    }


def document(version: str) -> dict[str, Any]:
    """The description, as of the running version."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "webapp", "version": version, "summary": _SUMMARY, "description": _ABOUT},
        "tags": [
            {"name": "user", "description": "Measured as user traffic; injected faults may touch it."},
            {"name": "control", "description": "Never faulted, never counted as user traffic."},
        ],
        "paths": _user_paths() | _control_paths(),
        "components": {
            "schemas": {
                "Plan": plan_schema(),
                "PlanInForce": plan_schema(at_run_time=False),
                "Problem": _schema(type=_STRING, title=_STRING, status={"type": "integer"}, detail=_STRING),
            }
        },
    }
