"""One span for each user request, in the caller's trace when it sends one (W3C Trace Context).

Nothing leaves the process unless OTEL_EXPORTER_OTLP_ENDPOINT is set, and only then is the exporter imported: it would
cost a third of the start-up time and several MiB for nothing. Without an exporter a span is its ids and the sampling
decision and no more: nobody could read the rest.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401  before any TracerProvider, whose handler after a fork needs this one's to have run
import os
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision
from opentelemetry.sdk.version import __version__ as sdk_version
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from webapp.conventions import OTHER_METHOD, error_type, request_attributes
from webapp.settings import Settings

# Seconds. Well inside gunicorn's graceful_timeout: a collector that is down must not turn a clean exit into a kill.
FLUSH_SECONDS = 5.0
ROOT = Context()
"""The context of no request: a trace begins in it when the caller sends none."""
_FLAGS = {
    (sampled, random): TraceFlags(TraceFlags.SAMPLED * sampled | TraceFlags.RANDOM_TRACE_ID * random)
    for sampled in (False, True)
    for random in (False, True)
}


class Tracing:
    """The application's tracer. The sampler follows OTEL_TRACES_SAMPLER (parent based, always on by default)."""

    def __init__(self, settings: Settings, provider: TracerProvider | None = None) -> None:
        self.provider, exports = (provider, True) if provider else _provider(settings)
        self._tracer = self.provider.get_tracer("webapp", settings.version)
        self.records = exports or isinstance(self._tracer, NoOpTracer)
        self._propagator = TraceContextTextMapPropagator()
        # Most requests of most applications: no trace to go on in, a sampler that need not be asked, and nobody to read it.
        self._begins_freely = not self.records and self.provider.sampler is DEFAULT_ON
        self._own_flags = _FLAGS[True, self.provider.id_generator.is_trace_id_random()]
        if exports:
            atexit.register(self.close)

    def start(self, environ: Mapping[str, Any], method: str) -> Span:
        """A server span for one request, not yet current; `method` is its method, or `OTHER_METHOD` for an unknown one."""
        parent = ROOT
        if traceparent := environ.get("HTTP_TRACEPARENT"):
            carrier = {"traceparent": traceparent, "tracestate": environ.get("HTTP_TRACESTATE", "")}
            parent = self._propagator.extract(carrier)
        elif self._begins_freely:
            ids = self.provider.id_generator
            return NonRecordingSpan(SpanContext(ids.generate_trace_id(), ids.generate_span_id(), False, self._own_flags))
        name = _name(method)
        if not self.records:
            return self._unrecorded(parent, name)
        return self._tracer.start_span(name, parent, SpanKind.SERVER, request_attributes(environ, method))

    def _unrecorded(self, parent: Context, name: str) -> Span:
        """What the SDK's start_span would give (same ids, same decision), without the record that nobody would read."""
        above = get_current_span(parent).get_span_context()
        ids = self.provider.id_generator
        trace_id = above.trace_id if above.is_valid else ids.generate_trace_id()
        random = above.trace_flags.random_trace_id if above.is_valid else ids.is_trace_id_random()
        if self.provider.sampler is DEFAULT_ON:  # parent based: it need not be asked, and most applications have this one
            sampled = not above.is_valid or above.trace_flags.sampled
            state: TraceState | None = above.trace_state
        else:
            result = self.provider.sampler.should_sample(parent, trace_id, name, SpanKind.SERVER)
            sampled, state = result.decision is Decision.RECORD_AND_SAMPLE, result.trace_state
        flags = _FLAGS[sampled, random]
        return NonRecordingSpan(SpanContext(trace_id, ids.generate_span_id(), False, flags, state))

    def close(self) -> None:
        """Send what was recorded and stop; gives up after `FLUSH_SECONDS`."""
        # The SDK itself would wait for 30 s, and can be told otherwise only through its private parts.
        flush = threading.Thread(target=self.provider.shutdown, name="flush spans", daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS)


def traceresponse(context: SpanContext) -> str:
    """The answer's header of that name (W3C's draft of Trace Context response headers): which span the answer came from."""
    trace_id, span_id, _, flags, _, _ = context  # in one go: each of its properties is a call
    return f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"


def is_own(context: SpanContext) -> bool:
    """Whether the span is of this process, and not only the caller's (as it is when OTEL_SDK_DISABLED is true)."""
    return context.is_valid and not context.is_remote


def finish(span: Span, *, method: str, route: str | None, status: int | None, error: str = "") -> None:
    """Name the span after its route and end it; only a 5xx, or an `error` that left no answer, is the server's error."""
    if span.is_recording():
        if route:
            span.set_attribute("http.route", route)
            span.update_name(f"{_name(method)} {route}")
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if kind := error or error_type(status):
            span.set_attribute("error.type", kind)
            span.set_status(Status(StatusCode.ERROR))
    span.end()


def _name(method: str) -> str:
    return "HTTP" if method == OTHER_METHOD else method


def trace_ids() -> dict[str, str]:
    """The current span's ids for a log line, by the names of OpenTelemetry's log data model; empty outside a trace."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    _, trace_id, span_id, flags = traceresponse(context).split("-")
    return {"trace_id": trace_id, "span_id": span_id, "trace_flags": flags}


def resource(settings: Settings) -> Resource:
    """Who sends the telemetry; OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME have the last word."""
    attributes = {
        "service.name": settings.service_name,
        "service.version": settings.version,
        "service.instance.id": str(uuid.uuid4()),
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": sdk_version,
    }
    if settings.pod_name:
        attributes["k8s.pod.name"] = settings.pod_name
    # Resource.create would search every installed distribution for plug-ins; this reads OTEL_* and no more.
    return Resource(attributes).merge(OTELResourceDetector().detect())


def _provider(settings: Settings) -> tuple[TracerProvider, bool]:
    """The SDK as OTEL_* set it up, and whether it exports what it records."""
    provider = TracerProvider(resource=resource(settings), shutdown_on_exit=False)
    if not settings.otlp_endpoint or os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
        return provider, False
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  see above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider, True
