"""The outermost layer: it times, traces, counts and logs user requests from outside the faults.

Probes, scrapes and control endpoints pass through untouched but for the headers that say who answered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from opentelemetry.context import attach, detach
from opentelemetry.trace import set_span_in_context

from webapp.conventions import class_name, cut, url_path, url_scheme
from webapp.logs import LOGGER
from webapp.metrics import Metrics
from webapp.settings import Settings
from webapp.tracing import ROOT, Tracing, finish, is_own, traceresponse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Keys in the WSGI environment by which the inner layers tell this one what happened.
ROUTE_KEY = "webapp.route"
FAULT_KEY = "webapp.fault"
# Of these faults a client gets no answer, so there is none to be timed and counted as one.
UNANSWERED = frozenset({"hang", "reset", "crash"})
MAX_LOGGED_PATH = 256


class Instrumentation:
    """WSGI middleware; `control_paths` are the exact paths that are not user traffic.

    It stands in the way of every request, so it is written for speed: no generator, and nothing made that nobody reads.
    """

    def __init__(
        self, inner: WSGIApplication, *, settings: Settings, metrics: Metrics, tracing: Tracing, control_paths: frozenset[str]
    ) -> None:
        self._inner = inner
        self._metrics = metrics
        self._tracing = tracing
        self._control_paths = control_paths
        metrics.describe_target(tracing.provider.resource.attributes)
        self._identity = [("X-App-Version", settings.version)]
        if settings.pod_name:
            self._identity.append(("X-Pod-Name", settings.pod_name))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ.get("PATH_INFO", "") in self._control_paths:
            return self._inner(environ, self._identified(start_response))
        tracing, metrics = self._tracing, self._metrics
        method, scheme = metrics.known_method(environ["REQUEST_METHOD"]), url_scheme(environ)
        in_flight = metrics.in_flight(method, scheme)
        in_flight.append(None)
        started = time.perf_counter()
        span = tracing.start(environ, method)
        token = attach(set_span_in_context(span, ROOT))
        context = span.get_span_context()
        own = is_own(context)
        status = 500  # what the server answers if the application raises before it has answered

        def signed(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            nonlocal status
            status = int(line[:3])
            headers = headers + self._identity
            if own:
                headers.append(("traceresponse", traceresponse(context)))
            return start_response(line, headers, exc_info)

        error = ""
        try:
            return self._inner(environ, signed)
        except BaseException as raised:
            error = class_name(raised)
            raise
        finally:
            seconds = time.perf_counter() - started
            route, fault = environ.get(ROUTE_KEY), environ.get(FAULT_KEY, "")
            unanswered = fault in UNANSWERED
            if tracing.records:
                answer = None if unanswered else status
                finish(span, method=method, route=route, status=answer, error=fault if unanswered else error)
            if not unanswered:
                trace, asked = context if own else None, "HTTP_TRACEPARENT" in environ
                metrics.observe_request(
                    method=method, route=route, status=status, scheme=scheme, seconds=seconds, trace=trace, asked=asked
                )
            level = logging.WARNING if status >= 500 else logging.DEBUG
            if LOGGER.isEnabledFor(level):
                _log_request(level, environ, status=None if unanswered else status, seconds=seconds)
            in_flight.pop()
            detach(token)

    def _identified(self, start_response: StartResponse) -> Callable[..., Callable[[bytes], object]]:
        """A start_response that says who answered, and no more."""

        def identified(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            return start_response(line, headers + self._identity, exc_info)

        return identified


def _log_request(level: int, environ: WSGIEnvironment, *, status: int | None, seconds: float) -> None:
    fields = {
        "method": cut(environ["REQUEST_METHOD"], 32),
        "path": url_path(environ, MAX_LOGGED_PATH),
        "route": environ.get(ROUTE_KEY),
        "status": status,
        "seconds": round(seconds, 6),
        "fault": environ.get(FAULT_KEY),
    }
    LOGGER.log(level, "request", extra=fields)
