import subprocess
import sys

import pytest
from opentelemetry import propagate
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from webapp.app import create_app
from webapp.middleware import FAULT_KEY, UNANSWERED, Instrumentation
from webapp.settings import Settings
from webapp.tracing import Tracing, resource

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def traceparent(flags: str) -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}


class Recorded:
    """An application whose finished spans can be read."""

    def __init__(self, **environ: str) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.app = create_app(environ)
        assert isinstance(self.app.wsgi_app, Instrumentation)
        self.app.wsgi_app._tracing = Tracing(Settings(), provider)
        self.web = self.app.test_client()

    def span(self) -> ReadableSpan:
        (span,) = self._exporter.get_finished_spans()
        return span


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_request_is_a_span_in_the_callers_trace() -> None:
    recorded = Recorded(FAULT_ERROR_RATE="100")
    answer = recorded.web.get("/status/200", headers=traceparent("01"))
    recorded.web.get("/healthz", headers=traceparent("01"))
    span = recorded.span()
    assert (span.name, span.kind, f"{span.context.trace_id:032x}") == ("GET /status/{code}", SpanKind.SERVER, TRACE)
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    assert answer.headers["traceresponse"] == f"00-{TRACE}-{span.context.span_id:016x}-01"
    seen = attributes(span)
    assert (seen["http.route"], seen["http.response.status_code"], seen["error.type"]) == ("/status/{code}", 500, "500")
    assert not span.status.is_ok


@pytest.mark.parametrize(
    ("method", "path", "name", "expected"),
    [
        ("GET", "/nowhere", "GET", {"http.response.status_code": 404, "url.path": "/nowhere"}),
        ("MADEUP", "/", "HTTP", {"http.request.method": "_OTHER", "http.request.method_original": "MADEUP"}),
        ("GET", "/status/404", "GET /status/{code}", {"http.response.status_code": 404}),
        ("GET", "/headers?q=1", "GET /headers", {"url.query": "q=1", "url.path": "/headers"}),
    ],
)
def test_spans_have_few_names_and_4xx_is_no_error_of_the_server(
    method: str, path: str, name: str, expected: dict[str, object]
) -> None:
    recorded = Recorded()
    recorded.web.open(path, method=method)
    span = recorded.span()
    assert span.name == name
    seen = attributes(span)
    assert expected.items() <= seen.items()
    assert "error.type" not in seen
    assert span.status.is_unset


@pytest.mark.parametrize("fault", sorted(UNANSWERED))
def test_a_request_that_gets_no_answer_is_a_failed_span_without_a_status(fault: str) -> None:
    recorded = Recorded()

    def unanswered(environ: dict[str, object], _start_response: object) -> list[bytes]:
        environ[FAULT_KEY] = fault
        raise ConnectionResetError

    recorded.app.wsgi_app._inner = unanswered  # type: ignore[attr-defined]
    with pytest.raises(ConnectionResetError):
        recorded.web.get("/")
    span = recorded.span()
    assert attributes(span)["error.type"] == fault
    assert "http.response.status_code" not in attributes(span)
    assert not span.status.is_ok


def test_an_exception_is_named_by_its_class() -> None:
    recorded = Recorded()
    inner = recorded.app.wsgi_app._inner  # type: ignore[attr-defined]

    def raises(environ: dict[str, object], start_response: object) -> list[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            return inner(environ, start_response)  # type: ignore[no-any-return]
        raise subprocess.TimeoutExpired("x", 1)

    recorded.app.wsgi_app._inner = raises  # type: ignore[attr-defined]
    with pytest.raises(subprocess.TimeoutExpired):
        recorded.web.get("/")
    assert attributes(recorded.span())["error.type"] == "subprocess.TimeoutExpired"
    line = 'http_response_status_code="500",http_route="/"'
    assert line in recorded.web.get("/metrics").text, "the server answers 500 in its place"


@pytest.mark.parametrize(
    ("sent", "trace_id", "flags"),
    [
        (traceparent("01"), TRACE, "01"),
        (traceparent("00"), TRACE, "00"),
        (traceparent("03"), TRACE, "03"),
        ({"traceparent": f"cc-{TRACE}-{PARENT}-01-what-a-later-version-adds"}, TRACE, "01"),
    ],
)
def test_an_answer_names_its_span_in_the_callers_trace(sent: dict[str, str], trace_id: str, flags: str) -> None:
    version, *rest = create_app({}).test_client().get("/", headers=sent).headers["traceresponse"].split("-")
    assert (version, rest[0], rest[2]) == ("00", trace_id, flags)
    assert rest[1] not in (PARENT, "0" * 16)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"traceparent": "nonsense"},
        {"traceparent": f"00-{'0' * 32}-{PARENT}-01"},
        {"traceparent": f"00-{TRACE}-{'0' * 16}-01"},
        {"traceparent": f"ff-{TRACE}-{PARENT}-01"},
        {"traceparent": f"00-{TRACE.upper()}-{PARENT}-01"},
        {"traceparent": f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01"},
        {"tracestate": "vendor=7"},
    ],
)
def test_without_a_valid_context_a_trace_of_its_own_begins(sent: dict[str, str]) -> None:
    web = create_app({}).test_client()
    answers = [web.get("/", headers=sent).headers["traceresponse"].split("-") for _ in range(2)]
    assert answers[0][1] != answers[1][1]
    assert {len(answer[1]) for answer in answers} == {32}
    assert TRACE not in (answers[0][1], answers[1][1])
    assert answers[0][3] == "03", "sampled, and at random"


def test_control_endpoints_are_not_traced() -> None:
    web = create_app({}).test_client()
    for path in ("/healthz", "/metrics", "/version"):
        assert "traceresponse" not in web.get(path, headers=traceparent("01")).headers


@pytest.mark.parametrize("recorded", [False, True])
def test_a_call_from_within_a_request_would_go_on_in_its_trace(recorded: bool) -> None:
    sent: dict[str, str] = {}
    app = Recorded().app if recorded else create_app({})
    app.add_url_rule("/calls", view_func=lambda: propagate.inject(sent) or "done")
    answer = app.test_client().get("/calls", headers=traceparent("01") | {"tracestate": "vendor=7", "baggage": "user=alice"})
    assert sent == {"traceparent": answer.headers["traceresponse"], "tracestate": "vendor=7"}, "and no baggage"
    propagate.inject(after := dict[str, str]())
    assert after == {}, "the context ends with the request"


@pytest.mark.parametrize(
    ("sampler", "argument", "decisions"),
    [
        ("always_on", "", [1, 1, 1]),
        ("always_off", "", [0, 0, 0]),
        ("parentbased_always_on", "", [1, 1, 0]),
        ("parentbased_always_off", "", [0, 1, 0]),
        ("traceidratio", "0", [0, 0, 0]),
        ("parentbased_traceidratio", "1", [1, 1, 0]),
    ],
)
def test_the_decision_is_the_sdks_own_whether_or_not_it_is_recorded(
    monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str, decisions: list[int]
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    for web in (create_app({}).test_client(), Recorded().web):
        answers = [web.get("/", headers=sent) for sent in ({}, traceparent("01"), traceparent("00"))]
        assert [int(answer.headers["traceresponse"][-1]) & 1 for answer in answers] == decisions


def test_a_disabled_sdk_makes_no_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    web = create_app({}).test_client()
    for sent in ({}, traceparent("01")):
        answer = web.get("/", headers=sent)
        assert (answer.status_code, answer.headers.get("traceresponse")) == (200, None)
    scraped = web.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text
    assert "trace_id" not in scraped, "the caller's span is not ours to point to"


def test_the_environment_has_the_last_word_on_the_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=other,service.instance.id=i-1,team=a%20b")
    settings = Settings(version="v1", pod_name="webapp-1")
    seen = dict(resource(settings).attributes)
    assert seen.pop("telemetry.sdk.version")
    assert seen == {
        "service.name": "webapp",
        "service.version": "other",
        "service.instance.id": "i-1",
        "k8s.pod.name": "webapp-1",
        "team": "a b",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
    }


def test_the_exporter_is_imported_only_for_an_endpoint() -> None:
    program = (
        "import sys; from webapp.app import create_app; create_app({}); "
        "print([name for name in sys.modules if name.startswith(('opentelemetry.exporter', 'google', 'requests'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
