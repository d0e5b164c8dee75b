import time

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from webapp.app import create_app
from webapp.faults import FaultInjector, FaultPlan
from webapp.metrics import FAULT_KINDS

CONTROL = ["/version", "/healthz", "/readyz", "/metrics", "/openapi.json"]
USER = ["/", "/headers", "/status/204", "/delay/0"]
DURATION = "http_server_request_duration_seconds"
IDENTITY = {"APP_VERSION": "v1.1", "POD_NAME": "webapp-1", "APP_REVISION": "abc"}


def client(**environ: str) -> FlaskClient:
    return create_app(IDENTITY | environ).test_client()


def samples(web: FlaskClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = web.get("/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(web: FlaskClient, name: str, **labels: str) -> float:
    return samples(web)[name, frozenset(labels.items())]


def request_count(web: FlaskClient, route: str, code: int, method: str = "GET") -> float:
    labels = {"http_request_method": method, "http_route": route, "http_response_status_code": str(code)}
    labels |= {"url_scheme": "http", "error_type": str(code) if code >= 500 else ""}
    return value(web, f"{DURATION}_count", **labels)


@pytest.mark.parametrize("path", [*CONTROL, *USER, "/nowhere", "/status/999", "/delay/x"])
@pytest.mark.parametrize("rate", ["0", "100"])
def test_every_answer_says_who_gave_it(path: str, rate: str) -> None:
    answer = client(FAULT_ERROR_RATE=rate).get(path)
    assert answer.headers.getlist("X-App-Version") == ["v1.1"]
    assert answer.headers.getlist("X-Pod-Name") == ["webapp-1"]


def test_a_method_that_is_not_allowed_says_so_and_who() -> None:
    answer = client().post("/")
    assert (answer.status_code, answer.mimetype) == (405, "application/problem+json")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert answer.headers["X-App-Version"] == "v1.1"
    assert answer.json is not None
    assert answer.json["status"] == 405


def test_without_a_pod_name_there_is_no_header() -> None:
    assert "X-Pod-Name" not in client(POD_NAME="").get("/").headers


@pytest.mark.parametrize(("rate", "failing"), [("0", False), ("100", True)])
def test_faults_touch_user_traffic_and_nothing_else(rate: str, failing: bool) -> None:
    web = client(FAULT_ERROR_RATE=rate, FAULT_STATUS_CODE="503")
    for path in USER:
        assert (web.get(path).status_code == 503) is failing, path
    for path in CONTROL:
        assert web.get(path).status_code == 200, path
    assert web.post("/readyz/disable").status_code == 200
    assert value(web, "webapp_faults_injected_total", kind="error") == (len(USER) if failing else 0)


def test_the_kth_user_request_fails_whatever_the_probes_do() -> None:
    probed, injector = client(FAULT_ERROR_RATE="30", FAULT_SEED="5"), FaultInjector(FaultPlan(error_rate=30, seed=5))
    expected = [injector.next().status_code or 200 for _ in range(50)]
    seen = []
    for _ in range(50):
        probed.get("/healthz")
        seen.append(probed.get("/").status_code)
        probed.get("/nowhere")
    assert seen == expected
    assert {200, 500} == set(seen)


def test_what_is_injected_is_what_is_measured() -> None:
    web = client(FAULT_ERROR_RATE="100", FAULT_LATENCY_MS="60")
    started = time.perf_counter()
    assert web.get("/").status_code == 500
    took = time.perf_counter() - started
    assert took >= 0.06
    labels = {"http_request_method": "GET", "http_route": "/", "http_response_status_code": "500"}
    labels |= {"url_scheme": "http", "error_type": "500"}
    assert 0.06 <= value(web, f"{DURATION}_sum", **labels) <= took
    assert value(web, f"{DURATION}_bucket", le="0.05", **labels) == 0
    assert value(web, "webapp_faults_injected_total", kind="latency") == 1


def test_the_series_of_the_gate_exist_before_the_first_request() -> None:
    web = client(FAULT_STATUS_CODE="503")
    assert [request_count(web, "/", code) for code in (200, 500, 503)] == [0, 0, 0]
    assert [value(web, "webapp_faults_injected_total", kind=kind) for kind in FAULT_KINDS] == [0] * 8
    assert value(web, "webapp_build_info", version="v1.1", revision="abc") == 1
    assert value(web, "http_server_active_requests", http_request_method="GET", url_scheme="http") == 0
    buckets = {dict(labels)["le"] for name, labels in samples(web) if name == f"{DURATION}_bucket"}
    assert "0.3" in buckets


def test_only_user_traffic_is_counted() -> None:
    web = client()
    for path in CONTROL:
        web.get(path)
    assert sum(number for (name, _), number in samples(web).items() if name == f"{DURATION}_count") == 0
    web.get("/")
    web.get("/status/404")
    assert (request_count(web, "/", 200), request_count(web, "/status/{code}", 404)) == (1, 1)


def test_a_caller_cannot_make_up_series() -> None:
    web = client()
    for number in range(200):
        web.get(f"/made/up/{number}")
        web.get(f"/status/{number + 600}")
        web.get(f"/delay/x{number}")
        web.open("/", method=f"MADEUP{number}")
    counts = [labels for name, labels in samples(web) if name == f"{DURATION}_count"]
    assert len(counts) == 6, counts
    assert request_count(web, "other", 404) == 200
    assert request_count(web, "other", 405, method="_OTHER") == 200


def test_readiness_can_be_switched() -> None:
    web = client()
    assert [web.get("/readyz").status_code, web.post("/readyz/disable").status_code] == [200, 200]
    assert [web.get("/readyz").status_code, web.get("/healthz").status_code, web.get("/").status_code] == [503, 200, 200]
    assert [web.post("/readyz/enable").status_code, web.get("/readyz").status_code] == [200, 200]


@pytest.mark.parametrize(
    ("code", "expected"), [("200", 200), ("404", 404), ("503", 503), ("100", 404), ("600", 404), ("2x0", 404)]
)
def test_status(code: str, expected: int) -> None:
    assert client().get(f"/status/{code}").status_code == expected


@pytest.mark.parametrize(
    ("delay", "expected"), [("0", 200), ("0.01", 200), ("nan", 400), ("inf", 400), ("-1", 400), ("10.1", 400), ("x", 400)]
)
def test_delay(delay: str, expected: int) -> None:
    assert client().get(f"/delay/{delay}").status_code == expected


def test_headers_are_echoed() -> None:
    answer = client().get("/headers", headers={"X-Request-Id": "7"}).json
    assert answer is not None
    assert answer["headers"]["X-Request-Id"] == "7"


def test_openapi_names_exactly_the_routes() -> None:
    app = create_app({})
    document = app.test_client().get("/openapi.json").json
    assert document is not None
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    routed = {
        (rule.rule.replace("<", "{").replace(">", "}"), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == routed
