"""What Prometheus scrapes, named by OpenTelemetry's semantic conventions for HTTP servers.

Only user traffic is in the request metrics: probes, scrapes and control endpoints are left out altogether, so that a gate
over all requests judges nothing but what users got.
"""

from __future__ import annotations

import os
import re
import time
from bisect import bisect_left
from collections.abc import Mapping

import prometheus_client
from opentelemetry.trace import SpanContext
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from webapp.conventions import OTHER_METHOD, error_type, known_methods
from webapp.settings import Settings

# Seconds. 0.3 is the latency objective itself: with a bucket there, the share of requests within it is counted, not guessed.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
OTHER_ROUTE = "other"
OTHER_STATUS = "other"
FAULT_KINDS = ("error", "latency", "hang", "reset", "slow_start", "crash", "memory", "readiness")
# Every final status that can be answered or injected. A caller chooses among registered ones only; /faults may name any.
_STATUSES = range(100, 600)
_REQUEST_LABELS = ("http_request_method", "http_route", "http_response_status_code", "url_scheme", "error_type")


class _Duration:
    """One series of durations, and from when on (by the monotonic clock) each of its buckets may have its next exemplar."""

    def __init__(self, histogram: Histogram) -> None:
        self.histogram = histogram
        self.next_exemplars = [0.0] * (len(BUCKETS) + 1)


class Metrics:
    """The instruments of one application, in a registry of their own."""

    def __init__(self, settings: Settings) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # a third fewer series, and nobody asks for them
        self.registry = CollectorRegistry()
        self._methods = known_methods(os.environ.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", ""))
        self._duration = Histogram(
            "http_server_request_duration_seconds",
            "Duration of user requests, injected faults included.",
            _REQUEST_LABELS,
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._active = Gauge(
            "http_server_active_requests",
            "User requests being answered now.",
            ("http_request_method", "url_scheme"),
            registry=self.registry,
        )
        build = Gauge("webapp_build_info", "Always 1; the labels say what runs.", ("version", "revision"), registry=self.registry)
        build.labels(settings.version, settings.revision).set(1)
        self._faults = Counter("webapp_faults_injected", "Faults injected into user requests.", ("kind",), registry=self.registry)
        ProcessCollector(registry=self.registry)
        # Finding a child by its labels costs more than counting in it. Bounded, because only known values are ever keys.
        self._durations: dict[tuple[str, str | None, int, str], _Duration] = {}
        self._actives: dict[tuple[str, str], list[None]] = {}
        # A series that appears with its first error has no increase yet, and a ratio over a missing one is empty.
        for status in sorted({200, 500, settings.faults.status_code}):
            self._duration_of("GET", "/", status, "http")
        self.in_flight("GET", "http")
        for kind in FAULT_KINDS:
            self._faults.labels(kind)

    def known_method(self, method: str) -> str:
        """The method itself, or `OTHER_METHOD` for one that a caller made up."""
        return method if method in self._methods else OTHER_METHOD

    def in_flight(self, method: str, scheme: str) -> list[None]:
        """A list with an element for each request being answered now; takes what `known_method` and `url_scheme` give.

        Its length is what the gauge shows: append and pop are atomic, and done before a gauge has found its lock.
        """
        counted = self._actives.get((method, scheme))
        if counted is None:
            counted = self._actives.setdefault((method, scheme), [])
            self._active.labels(method, scheme).set_function(counted.__len__)
        return counted

    def observe_request(
        self,
        *,
        method: str,
        route: str | None,
        status: int,
        scheme: str,
        seconds: float,
        trace: SpanContext | None = None,
        asked: bool = False,
    ) -> None:
        """Count one user request; `route` None means no route matched. Methods and schemes are known ones.

        `trace` is its span. If that is sampled, it becomes its bucket's exemplar: always when the caller `asked` for the
        trace, and otherwise once a second, because an exemplar costs five times what counting does.
        """
        child = self._durations.get((method, route, status, scheme)) or self._duration_of(method, route, status, scheme)
        exemplar = None
        if trace is not None:
            now, bucket = time.monotonic(), bisect_left(BUCKETS, seconds)
            if (asked or now >= child.next_exemplars[bucket]) and trace.trace_flags.sampled:
                child.next_exemplars[bucket] = now + 1.0
                exemplar = {"trace_id": f"{trace.trace_id:032x}", "span_id": f"{trace.span_id:016x}"}
        child.histogram.observe(seconds, exemplar)

    def _duration_of(self, method: str, route: str | None, status: int, scheme: str) -> _Duration:
        if status not in _STATUSES:
            return _Duration(self._duration.labels(method, route or OTHER_ROUTE, OTHER_STATUS, scheme, ""))
        child = _Duration(self._duration.labels(method, route or OTHER_ROUTE, str(status), scheme, error_type(status)))
        return self._durations.setdefault((method, route, status, scheme), child)

    def describe_target(self, resource: Mapping[str, object]) -> None:
        """Say who is scraped by OpenTelemetry's resource attributes: `target_info`, as its Prometheus mapping asks for."""
        self.registry.set_target_info({re.sub(r"\W", "_", key, flags=re.ASCII): str(value) for key, value in resource.items()})

    def count_fault(self, kind: str) -> None:
        """Count one injected fault of a kind in `FAULT_KINDS`."""
        self._faults.labels(kind).inc()

    def render(self, accept: str, *, behind_seconds: float = 0) -> tuple[bytes, str]:
        """The exposition and its content type, as the scraper's Accept header asks; exemplars exist in OpenMetrics only.

        With `behind_seconds` each sample says when it was taken, by a clock that is so late; the format is then the plain one.
        """
        encode, content_type = choose_encoder("" if behind_seconds else accept)
        body = encode(self.registry)
        return stamped(body, time.time() - behind_seconds) if behind_seconds else body, content_type


def stamped(exposition: bytes, at: float) -> bytes:
    """An exposition in Prometheus' plain format with a time, in epoch seconds, on every sample."""
    mark = b" %d" % round(at * 1000)
    lines = exposition.splitlines()
    return b"\n".join(line if not line or line.startswith(b"#") else line + mark for line in lines) + b"\n"
