"""`/faults`: the fault plan in force, read, replaced and removed while the application runs."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, UnprocessableEntity, UnsupportedMediaType

from webapp.fault_control import FaultControl
from webapp.fault_reader import PlanError, json_value, plan_from_json, plan_to_json
from webapp.faults import FaultPlan
from webapp.logs import LOGGER
from webapp.settings import Settings


def fault_routes(settings: Settings, faults: FaultControl) -> Blueprint:
    """The control endpoints of the fault plan; without FAULT_ADMIN=true each of them is refused."""
    admin = Blueprint("admin", __name__)

    @admin.before_request
    def guard() -> None:
        if not settings.fault_admin and request.method != "OPTIONS":
            raise Forbidden("faults can be seen and changed at run time only where FAULT_ADMIN=true is in the environment")

    @admin.get("/faults")
    def show() -> Response:
        return jsonify(plan_to_json(faults.plan))

    @admin.put("/faults")
    def put() -> Response:
        try:
            plan = plan_from_json(_body())
        except PlanError as error:
            raise UnprocessableEntity(str(error)) from None
        return _replace(plan)

    @admin.delete("/faults")
    def remove() -> Response:
        return _replace(FaultPlan())

    def _replace(plan: FaultPlan) -> Response:
        faults.replace(plan)
        written = plan_to_json(plan)
        LOGGER.info("faults", extra={"plan": written})
        return jsonify(written)

    return admin


def _body() -> object:
    """The request's body as JSON; raises the HTTPException that says why there is none."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("a fault plan is sent as application/json")
    try:
        body = request.get_data()
    except HTTPException:
        raise
    except Exception as error:  # the server's own, about chunks that are none
        raise BadRequest(f"the body cannot be read: {error}") from None
    if len(body) < (request.content_length or 0):
        raise BadRequest("the body ends early")
    try:
        return json_value(body)
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
