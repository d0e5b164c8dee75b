"""/faults, and what replacing a plan does to what the old one had begun."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import TestResponse

from webapp.app import FAULTS, create_app
from webapp.effects import Ballast
from webapp.fault_control import FaultControl
from webapp.fault_reader import plan_to_json
from webapp.faults import FaultInjector, FaultPlan
from webapp.metrics import Metrics
from webapp.settings import Settings

JSON = "application/json"


def client(**environ: str) -> FlaskClient:
    return create_app({"FAULT_ADMIN": "true", **environ}).test_client()


def problem(answer: TestResponse, status: int) -> str:
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert answer.json is not None
    assert answer.json["status"] == status
    return str(answer.json["detail"])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("admin", ["", "false"])
def test_without_fault_admin_it_is_refused(method: str, admin: str) -> None:
    web = client(FAULT_ADMIN=admin, FAULT_ERROR_RATE="100")
    detail = problem(web.open("/faults", method=method, json={}), 403)
    assert detail == "faults can be seen and changed at run time only where FAULT_ADMIN=true is in the environment"
    assert web.get("/").status_code == 500, "and nothing has changed"


def test_a_plan_is_shown_replaced_and_removed() -> None:
    web = client(FAULT_ERROR_RATE="100", FAULT_SEED="7")
    shown = web.get("/faults").json
    assert shown == plan_to_json(FaultPlan(error_rate=100, seed=7))
    assert web.get("/").status_code == 500
    put = web.put("/faults", json={"error_rate": 100, "status_code": 503})
    assert (put.status_code, put.json) == (200, plan_to_json(FaultPlan(error_rate=100, status_code=503)))
    assert web.get("/").status_code == 503
    removed = web.delete("/faults")
    assert (removed.status_code, removed.json, web.get("/faults").json) == (200, plan_to_json(FaultPlan()), removed.json)
    assert web.get("/").status_code == 200
    assert web.put("/faults", json=shown).json == shown, "what is shown can be put back"
    assert web.get("/").status_code == 500


def test_a_put_draws_afresh_and_asking_for_the_plan_draws_nothing() -> None:
    web, plan = client(), {"error_rate": 30, "seed": 5}
    injector = FaultInjector(FaultPlan(error_rate=30, seed=5))
    expected = [injector.next().status_code or 200 for _ in range(30)]
    for _ in range(2):
        web.put("/faults", json=plan)
        seen = []
        for _ in range(30):
            web.get("/faults")
            seen.append(web.get("/").status_code)
        assert seen == expected


@pytest.mark.parametrize(
    ("body", "content_type", "status", "detail"),
    [
        (b"{}", "text/plain", 415, "a fault plan is sent as application/json"),
        (b"{}", None, 415, "a fault plan is sent as application/json"),
        (b"", JSON, 400, "the body is not JSON: "),
        (b"{", JSON, 400, "the body is not JSON: "),
        (b"\xff\xfe\xfd", JSON, 400, "the body is not JSON: "),
        (b"[" * 60_000, JSON, 400, "the body is not JSON: nested too deeply"),
        (b'{"error_rate": NaN}', JSON, 400, "the body is not JSON: NaN is not JSON"),
        (b"[]", JSON, 422, "the plan must be a JSON object"),
        (b'{"error_rate": 1e999}', JSON, 422, "error_rate=Infinity: must be a number from 0 to 100 (percent)"),
        (b'{"error_rate": -1}', JSON, 422, "error_rate=-1: must be a number from 0 to 100 (percent)"),
        (b'{"a\\u0000\\n": 1}', JSON, 422, '"a\\u0000\\n": unknown; known are '),
        (b" " * (64 * 1024 + 1), JSON, 413, "The data value transmitted exceeds the capacity limit."),
    ],
)
def test_what_is_no_plan_is_refused(body: bytes, content_type: str | None, status: int, detail: str) -> None:
    web = client(FAULT_ERROR_RATE="100")
    assert problem(web.put("/faults", data=body, content_type=content_type), status).startswith(detail)
    assert web.get("/").status_code == 500, "and nothing has changed"


def test_a_charset_is_no_other_type() -> None:
    assert client().put("/faults", data=b"{}", content_type="application/json; charset=utf-8").status_code == 200


def test_a_body_that_breaks_off_is_the_callers_fault() -> None:
    class Broken:
        def read(self, *_: Any) -> bytes:
            raise OSError("invalid chunk")

    environ = {"wsgi.input": Broken(), "wsgi.input_terminated": True, "CONTENT_TYPE": JSON}
    problem(client().put("/faults", environ_overrides=environ), 400)


def total(web: FlaskClient, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(web.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    assert samples, name
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def count(web: FlaskClient, kind: str) -> float:
    return total(web, "webapp_faults_injected_total", kind=kind)


@pytest.mark.parametrize("kind", ["hang", "reset"])
def test_without_an_answer_nothing_is_measured_but_the_fault(kind: str) -> None:
    web = client(**{f"FAULT_{kind.upper()}_RATE": "100"})
    with pytest.raises(ConnectionResetError):
        web.get("/")
    assert count(web, kind) == 1
    assert total(web, "http_server_request_duration_seconds_count") == 0
    assert total(web, "http_server_active_requests") == 0


def test_the_nth_request_ends_the_process_unanswered() -> None:
    ends: list[str] = []
    web = create_app({"FAULT_CRASH_AFTER_REQUESTS": "2"}, end=ends.append).test_client()
    assert (web.get("/").status_code, web.get("/healthz").status_code, ends) == (200, 200, [])
    with pytest.raises(ConnectionResetError):
        web.get("/")
    assert (ends, count(web, "crash")) == (["request 2"], 1)


def control(plan: FaultPlan, clock: Callable[[], float] = time.monotonic, ends: list[str] | None = None) -> FaultControl:
    return FaultControl(plan, Metrics(Settings()), clock=clock, end=(ends if ends is not None else []).append)


def test_readiness_flaps_from_when_the_plan_came_into_force() -> None:
    now = [100.0]
    faults = control(FaultPlan(readiness_flap_seconds=10), clock=lambda: now[0])
    seen = []
    for now[0] in (100, 109, 110, 119, 120):
        seen.append(faults.is_flapped())
    assert seen == [False, False, True, True, False]
    now[0] = 115
    faults.start()
    assert not faults.is_flapped(), "the clock starts with the server"


def test_a_crash_in_time_belongs_to_its_plan() -> None:
    ends: list[str] = []
    faults = control(FaultPlan(), ends=ends)
    faults.replace(FaultPlan(crash_after_seconds=0.01))
    deadline = time.monotonic() + 10
    while not ends and time.monotonic() < deadline:
        time.sleep(0.005)
    assert ends == ["0.01 seconds after the start"]
    faults.replace(FaultPlan(crash_after_seconds=3600))
    timer = faults._reign.timer
    assert timer is not None
    faults.replace(FaultPlan())
    timer.join(10)
    assert not timer.is_alive(), "nothing waits for a plan that is gone"


def test_replacing_a_plan_releases_its_memory() -> None:
    app = create_app({"FAULT_MEMORY_KIB_PER_REQUEST": "1024", "FAULT_ADMIN": "true"})
    web, old = app.test_client(), app.extensions[FAULTS]._reign.ballast
    web.get("/")
    web.get("/")
    assert (old.size, count(web, "memory")) == (2 * 1024 * 1024, 2)
    web.delete("/faults")
    assert (old.size, old.grow(1)) == (0, False)
    web.get("/")
    assert count(web, "memory") == 2


def test_ballast_grows_to_its_cap_exactly() -> None:
    ballast = Ballast(2)
    assert [ballast.grow(700) for _ in range(4)] == [True, True, True, False]
    assert ballast.size == 2 * 1024 * 1024
    ballast.release()
