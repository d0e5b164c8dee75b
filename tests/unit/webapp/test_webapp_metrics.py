import re
import time
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import SpanContext, TraceFlags
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from webapp import metrics
from webapp.app import create_app
from webapp.conventions import KNOWN_METHODS
from webapp.middleware import FAULT_KEY, UNANSWERED
from webapp.routes import ANSWERABLE

DURATION = "http_server_request_duration_seconds"
ACTIVE = "http_server_active_requests"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
# What one process can be made to expose by whoever calls it, whatever they send: histograms of a route, a method, a status
# and a scheme. Of them /status/{code} has most: each registered code, by GET and by HEAD. Gauges: each method and scheme.
MOST_HISTOGRAMS = 2 * 300
MOST_GAUGES = 2 * (len(KNOWN_METHODS) + 1)


def series(web: FlaskClient, name: str) -> set[frozenset[tuple[str, str]]]:
    families = text_string_to_metric_families(web.get("/metrics").text)
    return {frozenset(sample.labels.items()) for family in families for sample in family.samples if sample.name == name}


def exemplars(web: FlaskClient) -> list[tuple[dict[str, str], dict[str, str], float]]:
    """Of each bucket with an exemplar: its labels, the exemplar's, and the exemplar's value."""
    families = openmetrics_families(web.get("/metrics", headers=OPENMETRICS).text)
    samples = [sample for family in families for sample in family.samples if sample.exemplar]
    return [(sample.labels, sample.exemplar.labels, sample.exemplar.value) for sample in samples]


def memory(web: FlaskClient) -> tuple[int, ...]:
    """How much is kept of the requests so far: histograms, gauges, and what finds them quickly. Scraping would take a second."""
    kept = web.application.wsgi_app._metrics  # type: ignore[attr-defined]
    return len(kept._duration._metrics), len(kept._active._metrics), len(kept._durations), len(kept._actives)


def paths(web: FlaskClient) -> Iterator[str]:
    """Every route, every answer of it."""
    for rule in web.application.url_map.iter_rules():
        if rule.rule == "/status/<code>":
            yield from (f"/status/{code}" for code in sorted(ANSWERABLE))
        else:
            yield re.sub("<[^>]+>", "0", rule.rule)
    yield from ("/nowhere", "/status/abc", "/delay/abc")


def test_names_labels_and_units_are_the_conventions() -> None:
    web = create_app({}).test_client()
    labels = {"http_request_method", "http_route", "http_response_status_code", "url_scheme", "error_type"}
    assert {frozenset(dict(each)) for each in series(web, f"{DURATION}_count")} == {frozenset(labels)}
    assert {frozenset(dict(each)) for each in series(web, ACTIVE)} == {frozenset({"http_request_method", "url_scheme"})}
    text = web.get("/metrics").text
    assert f"# TYPE {DURATION} histogram" in text
    assert f"# TYPE {ACTIVE} gauge" in text
    bounds = {float(dict(each)["le"]) for each in series(web, f"{DURATION}_bucket")}
    advised = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
    assert advised | {0.3} < bounds


def test_the_error_type_is_that_of_5xx_only() -> None:
    web = create_app({}).test_client()
    for code in (404, 503):
        web.get(f"/status/{code}")
    seen = {(dict(each)["http_response_status_code"], dict(each)["error_type"]) for each in series(web, f"{DURATION}_count")}
    assert seen == {("200", ""), ("500", "500"), ("404", ""), ("503", "503")}


@pytest.mark.parametrize(("forwarded", "scheme"), [("https", "https"), ("http", "http"), ("gopher", "http")])
def test_the_scheme_is_what_the_proxy_was_asked_for(forwarded: str, scheme: str) -> None:
    web = create_app({}).test_client()
    web.get("/headers", headers={"X-Forwarded-Proto": forwarded})
    of_route = {dict(each)["url_scheme"] for each in series(web, f"{DURATION}_count") if ("http_route", "/headers") in each}
    assert of_route == {scheme}


def test_the_target_is_described_as_in_the_traces() -> None:
    app = create_app({"APP_VERSION": "v1", "POD_NAME": "webapp-1"})
    (target,) = map(dict, series(app.test_client(), "target_info"))
    expected = {str(key).replace(".", "_"): value for key, value in app.wsgi_app._tracing.provider.resource.attributes.items()}  # type: ignore[attr-defined]
    assert target == expected
    assert (target["service_version"], target["k8s_pod_name"]) == ("v1", "webapp-1")


@pytest.fixture(scope="module")
def exhausted() -> FlaskClient:
    """An application of which every route was asked for every answer in every way."""
    web = create_app({}).test_client()
    for scheme in ("http", "https"):
        for method in (*KNOWN_METHODS, "MADEUP"):
            for path in paths(web):
                web.open(path, method=method, headers={"X-Forwarded-Proto": scheme})
    return web


def test_a_caller_can_make_a_known_number_of_series(exhausted: FlaskClient) -> None:
    assert 200 < len(series(exhausted, f"{DURATION}_count")) <= MOST_HISTOGRAMS
    assert len(series(exhausted, ACTIVE)) == MOST_GAUGES
    assert len(series(exhausted, f"{DURATION}_bucket")) <= MOST_HISTOGRAMS * (len(metrics.BUCKETS) + 1)


anything = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=40)
headers = st.dictionaries(
    st.sampled_from(["X-Forwarded-Proto", "Host", "X-Forwarded-Host", "User-Agent", "traceparent", "tracestate", "X-Else"]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), min_size=1, max_size=80),
)


@settings(max_examples=200, deadline=None)
@given(
    method=st.sampled_from(sorted(KNOWN_METHODS)) | st.from_regex(r"[!#$%&'*+.^_`|~A-Za-z0-9-]{1,20}", fullmatch=True),
    path=anything | st.builds("/status/{}".format, anything) | st.builds("/delay/{}".format, anything),
    query=anything,
    headers=headers,
)
def test_nothing_that_a_caller_sends_makes_any_more(
    exhausted: FlaskClient, method: str, path: str, query: str, headers: dict[str, str]
) -> None:
    before = memory(exhausted)
    # Straight into the WSGI application: the test client would refuse some of what a socket lets through.
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": f"/{path}".replace("/delay/", "/delay/x"),
        "RAW_URI": f"/{path}?{query}",
        "QUERY_STRING": query,
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
    } | {f"HTTP_{key.upper().replace('-', '_')}": value for key, value in headers.items()}
    statuses: list[str] = []
    exhausted.application(environ, lambda status, _headers, _exc_info=None: statuses.append(status) or len)  # type: ignore[arg-type]
    assert statuses
    assert memory(exhausted) == before


def test_known_methods_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET, PROPFIND")
    web = create_app({}).test_client()
    for method in ("GET", "PROPFIND", "POST"):
        web.open("/headers", method=method)
    seen = {dict(each)["http_request_method"] for each in series(web, f"{DURATION}_count")}
    assert seen == {"GET", "PROPFIND", "_OTHER"}


def test_an_injected_status_outside_the_registry_is_counted_as_itself() -> None:
    web = create_app({"FAULT_ERROR_RATE": "100", "FAULT_STATUS_CODE": "599"}).test_client()
    web.get("/")
    text = web.get("/metrics").text
    labels = 'error_type="599",http_request_method="GET",http_response_status_code="599",http_route="/",url_scheme="http"'
    assert f"{DURATION}_count{{{labels}}} 1.0" in text


@pytest.mark.parametrize("fault", sorted(UNANSWERED))
def test_a_request_without_an_answer_is_not_counted_as_one(fault: str) -> None:
    app = create_app({})
    inner = app.wsgi_app._inner  # type: ignore[attr-defined]

    def unanswered(environ: dict[str, object], start_response: object) -> list[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            return inner(environ, start_response)  # type: ignore[no-any-return]
        environ[FAULT_KEY] = fault
        raise ConnectionResetError

    app.wsgi_app._inner = unanswered  # type: ignore[attr-defined]
    web = app.test_client()
    with pytest.raises(ConnectionResetError):
        web.get("/")
    text = web.get("/metrics").text
    assert not re.search(rf"{DURATION}_count{{.*}} [^0]", text)
    assert f'{ACTIVE}{{http_request_method="GET",url_scheme="http"}} 0.0' in text


def test_a_bucket_links_to_the_callers_trace() -> None:
    web = create_app({}).test_client()
    answer = web.get("/headers", headers=TRACED)
    ((labels, link, value),) = exemplars(web)
    assert (labels["http_route"], link["trace_id"]) == ("/headers", TRACE)
    assert link["span_id"] == answer.headers["traceresponse"].split("-")[2]
    assert value <= float(labels["le"])
    assert TRACE not in web.get("/metrics").text, "exemplars exist in OpenMetrics only"


def test_a_trace_that_is_not_sampled_is_not_linked() -> None:
    web = create_app({}).test_client()
    web.get("/", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    assert exemplars(web) == []


def test_each_traced_call_is_linked_and_of_the_others_one_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now)
    web = create_app({}).test_client()
    observed = web.application.wsgi_app._metrics  # type: ignore[attr-defined]
    span_ids = iter(range(1, 100))

    def linked(seconds: float = 0.2, *, asked: bool = False) -> bool:
        span = SpanContext(int(TRACE, 16), next(span_ids), is_remote=False, trace_flags=TraceFlags(1))
        observed.observe_request(
            method="GET", route="/", status=200, scheme="http", seconds=seconds, trace=span, asked=asked
        )
        return any(link["span_id"] == f"{span.span_id:016x}" for _, link, _ in exemplars(web))

    assert [linked(), linked()] == [True, False]
    assert linked(0.3), "another bucket"
    assert [linked(asked=True), linked(asked=True)] == [True, True]
    now += 0.9
    assert not linked()
    now += 0.1
    assert linked()


def test_a_clock_that_is_late_stamps_every_sample_with_the_time_that_it_shows() -> None:
    on_time, late = create_app({}).test_client(), create_app({"FAULT_CLOCK_BEHIND_SECONDS": "600"}).test_client()
    answer = late.get("/metrics", headers=OPENMETRICS)
    now = time.time()
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    ages = {now - float(sample.timestamp) for sample in samples}
    assert all(599 < age < 610 for age in ages)
    assert answer.content_type.startswith("text/plain")
    plain = [sample for family in text_string_to_metric_families(on_time.get("/metrics").text) for sample in family.samples]
    assert {sample.timestamp for sample in plain} == {None}
    assert {sample.name for sample in samples} == {sample.name for sample in plain}
