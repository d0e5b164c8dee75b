"""The outermost layer: it times, traces, counts and logs user requests from outside the faults.

Probes, scrapes and control endpoints pass through untouched but for the headers that say who answered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from webapp.logs import LOGGER
from webapp.metrics import Metrics
from webapp.settings import Settings
from webapp.tracing import Tracing, exemplar, finish_span

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Keys in the WSGI environment by which the inner layers tell this one what happened.
ROUTE_KEY = "webapp.route"
FAULT_KEY = "webapp.fault"
# Of these faults a client gets no answer, so there is none to be timed and counted as one.
UNANSWERED = frozenset({"hang", "reset", "crash"})


class Instrumentation:
    """WSGI middleware; `control_paths` are the exact paths that are not user traffic."""

    def __init__(
        self, inner: WSGIApplication, *, settings: Settings, metrics: Metrics, tracing: Tracing, control_paths: frozenset[str]
    ) -> None:
        self._inner = inner
        self._metrics = metrics
        self._tracing = tracing
        self._control_paths = control_paths
        self._identity = [("X-App-Version", settings.version)]
        if settings.pod_name:
            self._identity.append(("X-Pod-Name", settings.pod_name))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        seen = {"status": 500}  # what the server answers if the application raises before it has answered

        def identified(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            seen["status"] = int(status.split(" ", 1)[0])
            return start_response(status, [*headers, *self._identity], exc_info)

        if environ.get("PATH_INFO", "") in self._control_paths:
            return self._inner(environ, identified)
        started = time.perf_counter()
        with self._metrics.active_requests.track_inprogress(), self._tracing.request_span(environ) as span:
            try:
                return self._inner(environ, identified)
            finally:
                seconds = time.perf_counter() - started
                method, route, status = str(environ["REQUEST_METHOD"]), environ.get(ROUTE_KEY), seen["status"]
                finish_span(span, method=method, route=route, status=status)
                if environ.get(FAULT_KEY) not in UNANSWERED:
                    self._metrics.observe_request(
                        method=method, route=route, status=status, seconds=seconds, trace=exemplar(span)
                    )
                _log_request(environ, route=route, status=status, seconds=seconds)


def _log_request(environ: WSGIEnvironment, *, route: str | None, status: int, seconds: float) -> None:
    level = logging.WARNING if status >= 500 else logging.DEBUG
    if LOGGER.isEnabledFor(level):
        fields = {
            "method": environ["REQUEST_METHOD"],
            "path": environ.get("PATH_INFO", ""),
            "route": route,
            "status": status,
            "seconds": round(seconds, 6),
            "fault": environ.get(FAULT_KEY),
        }
        LOGGER.log(level, "request", extra=fields)
