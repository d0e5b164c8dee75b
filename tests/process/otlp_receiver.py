"""A real OTLP receiver in this process: HTTP with protobuf, as a collector speaks it."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan


@dataclass(frozen=True, kw_only=True)
class ReceivedSpan:
    """A span with its attributes and those of its resource as plain dictionaries, and its ids in hexadecimal."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    status: int
    seconds: float
    scope: tuple[str, str]
    attributes: dict[str, object]
    resource: dict[str, object]


def _value(value: AnyValue) -> object:
    return getattr(value, value.WhichOneof("value") or "string_value")


def _plain(attributes: Iterator[KeyValue]) -> dict[str, object]:
    return {each.key: _value(each.value) for each in attributes}


def _received(span: ProtoSpan, scope: tuple[str, str], resource: dict[str, object]) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        trace_state=span.trace_state,
        status=span.status.code,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        scope=scope,
        attributes=_plain(span.attributes),
        resource=resource,
    )


@dataclass
class Receiver:
    """What arrived, in order; `headers` are those of the last request."""

    endpoint: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list)
    requests: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    answer: int = 200

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.requests += 1
        self.headers = headers
        if path != "/v1/traces" or headers.get("content-type") != "application/x-protobuf":
            self.problems.append(f"{path} {headers}")
            return
        message = ExportTraceServiceRequest.FromString(gzip.decompress(body) if headers.get("content-encoding") else body)
        for part in message.resource_spans:
            resource = _plain(part.resource.attributes)
            for scoped in part.scope_spans:
                scope = (scoped.scope.name, scoped.scope.version)
                self.spans += [_received(span, scope, resource) for span in scoped.spans]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a port of its own. It fails the test if anything but OTLP traces came."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(self.path, {key.lower(): value for key, value in self.headers.items()}, body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(receiver.answer)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    receiver.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert receiver.problems == []
