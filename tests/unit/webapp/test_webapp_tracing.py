import json
import logging

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from webapp.app import create_app
from webapp.logs import JsonFormatter
from webapp.middleware import Instrumentation
from webapp.settings import Settings
from webapp.tracing import Tracing

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def traceparent(flags: str) -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}


def test_a_request_is_a_span_in_the_callers_trace() -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    app = create_app({"FAULT_ERROR_RATE": "100"})
    assert isinstance(app.wsgi_app, Instrumentation)
    app.wsgi_app._tracing = Tracing(Settings(), provider)
    web = app.test_client()
    web.get("/status/200", headers=traceparent("01"))
    web.get("/healthz", headers=traceparent("01"))
    (span,) = spans.get_finished_spans()
    assert (span.name, f"{span.context.trace_id:032x}") == ("GET /status/{code}", TRACE)
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "url.path": "/status/200",
        "http.route": "/status/{code}",
        "http.response.status_code": 500,
    }
    assert not span.status.is_ok


@pytest.mark.parametrize(("flags", "linked"), [("01", True), ("00", False)])
def test_a_bucket_links_to_the_trace_if_it_is_sampled(flags: str, linked: bool) -> None:
    web = create_app({}).test_client()
    web.get("/", headers=traceparent(flags))
    answer = web.get("/metrics", headers=OPENMETRICS)
    assert answer.content_type.startswith("application/openmetrics-text")
    assert (f'trace_id="{TRACE}"' in answer.text) is linked
    assert TRACE not in web.get("/metrics").text, "exemplars exist in OpenMetrics only"


def test_failures_are_logged_with_their_trace(caplog: pytest.LogCaptureFixture) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(JsonFormatter().format(record))  # type: ignore[method-assign]
    logger = logging.getLogger("webapp")
    logger.addHandler(handler)
    try:
        create_app({"FAULT_ERROR_RATE": "100"}).test_client().get("/", headers=traceparent("01"))
        create_app({}).test_client().get("/")
    finally:
        logger.removeHandler(handler)
    (line,) = map(json.loads, lines)
    assert (line["status"], line["fault"], line["route"], line["trace_id"], line["level"]) == (
        500,
        "error",
        "/",
        TRACE,
        "warning",
    )
