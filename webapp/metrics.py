"""What Prometheus scrapes, named by OpenTelemetry's semantic conventions for HTTP servers.

Only user traffic is in the request metrics: probes, scrapes and control endpoints are left out altogether, so that a gate
over all requests judges nothing but what users got.
"""

from __future__ import annotations

from http import HTTPStatus

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from webapp.settings import Settings

# Seconds. 0.3 is the latency objective itself: with a bucket there, the share of requests within it is counted, not guessed.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
OTHER_METHOD = "_OTHER"
OTHER_ROUTE = "other"
OTHER_STATUS = "other"
FAULT_KINDS = ("error", "latency", "hang", "reset", "slow_start", "crash", "memory", "readiness")
_KNOWN_STATUS = frozenset(str(status.value) for status in HTTPStatus)


class Metrics:
    """The instruments of one application, in a registry of their own."""

    def __init__(self, settings: Settings) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # a third fewer series, and nobody asks for them
        self.registry = CollectorRegistry()
        self._duration = Histogram(
            "http_server_request_duration_seconds",
            "Duration of user requests, injected faults included.",
            ("http_request_method", "http_route", "http_response_status_code"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.active_requests = Gauge("http_server_active_requests", "User requests being answered now.", registry=self.registry)
        build = Gauge("webapp_build_info", "Always 1; the labels say what runs.", ("version", "revision"), registry=self.registry)
        build.labels(settings.version, settings.revision).set(1)
        self._faults = Counter("webapp_faults_injected", "Faults injected into user requests.", ("kind",), registry=self.registry)
        ProcessCollector(registry=self.registry)
        # A series that appears with its first error has no increase yet, and a ratio over a missing one is empty.
        for status in sorted({200, 500, settings.faults.status_code}):
            self._duration.labels("GET", "/", str(status))
        for kind in FAULT_KINDS:
            self._faults.labels(kind)

    def observe_request(
        self, *, method: str, route: str | None, status: int, seconds: float, trace: dict[str, str] | None
    ) -> None:
        """Count one user request; `route` None means no route matched, `trace` is the exemplar of a sampled span.

        Whatever a caller can make up (methods, paths) collapses into one label value.
        """
        code = str(status)
        child = self._duration.labels(
            method if method in KNOWN_METHODS else OTHER_METHOD,
            route or OTHER_ROUTE,
            code if code in _KNOWN_STATUS else OTHER_STATUS,
        )
        child.observe(seconds, exemplar=trace)

    def count_fault(self, kind: str) -> None:
        """Count one injected fault of a kind in `FAULT_KINDS`."""
        self._faults.labels(kind).inc()

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type, as the scraper's Accept header asks; exemplars exist in OpenMetrics only."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
