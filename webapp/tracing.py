"""One span for each user request, in the caller's trace when it sends one (W3C traceparent).

Nothing leaves the process unless OTEL_EXPORTER_OTLP_ENDPOINT is set, and only then is the exporter imported: it would
cost a third of the start-up time and several MiB for nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from webapp.settings import Settings


class Tracing:
    """The application's tracer. The sampler follows OTEL_TRACES_SAMPLER (parent based, always on by default)."""

    def __init__(self, settings: Settings, provider: TracerProvider | None = None) -> None:
        self.provider = provider or _provider(settings)
        self._tracer = self.provider.get_tracer("webapp", settings.version)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request_span(self, environ: Mapping[str, Any]) -> Iterator[Span]:
        """A server span around one request; the WSGI environment gives its parent, method and path."""
        headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_TRACE")}
        method = str(environ.get("REQUEST_METHOD", ""))
        with self._tracer.start_as_current_span(
            method,
            context=self._propagator.extract(headers),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "url.path": str(environ.get("PATH_INFO", ""))},
        ) as span:
            yield span


def finish_span(span: Span, *, method: str, route: str | None, status: int) -> None:
    """Name the span after its route, as the semantic conventions ask; only a 5xx is the server's error."""
    if not span.is_recording():
        return
    span.set_attribute("http.response.status_code", status)
    if route:
        span.set_attribute("http.route", route)
        span.update_name(f"{method} {route}")
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))


def exemplar(span: Span) -> dict[str, str] | None:
    """The labels that tie a histogram bucket to a trace, or None when nobody could look that trace up."""
    context = span.get_span_context()
    return trace_ids(span) if context.is_valid and context.trace_flags.sampled else None


def trace_ids(span: Span | None = None) -> dict[str, str]:
    """The hexadecimal ids of `span` (the current one by default), empty outside a trace."""
    context = (span or get_current_span()).get_span_context()
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"} if context.is_valid else {}


def _provider(settings: Settings) -> TracerProvider:
    # Resource.create would search every installed distribution for plug-ins; this reads OTEL_* and no more.
    attributes = {"service.name": settings.service_name, "service.version": settings.version}
    if settings.pod_name:
        attributes["k8s.pod.name"] = settings.pod_name
    provider = TracerProvider(resource=Resource(attributes).merge(OTELResourceDetector().detect()))
    if settings.otlp_endpoint and os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() != "none":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  see above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
