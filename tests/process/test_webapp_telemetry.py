"""The web app's telemetry from a real gunicorn, as a real receiver, a scraper and a reader of its logs get it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from otlp_receiver import ReceivedSpan, Receiver, receiving
from webapp_server import DEADLINE_SECONDS, Server, Start, wait_for

from harness.platforms.local import binaries
from harness.supervisor.ports import free_port

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
DURATION = "http_server_request_duration_seconds"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SERVER_KIND, ERROR = 2, 2  # of opentelemetry-proto's enumerations
LATE = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}  # milliseconds: longer than any test, so that only a flush can send


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def traced(flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}


def stop(server: Server) -> None:
    server.process.terminate()
    assert server.process.wait(DEADLINE_SECONDS) == 0, server.log.read_text()


def span_of(receiver: Receiver, name: str) -> ReceivedSpan:
    (span,) = [span for span in receiver.spans if span.name == name]
    return span


def log_lines(server: Server) -> list[dict[str, object]]:
    return [json.loads(line) for line in server.log.read_text().splitlines()]


def test_a_receiver_gets_the_span_its_resource_and_its_parent(start_webapp: Start, receiver: Receiver) -> None:
    server = start_webapp(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        OTEL_BSP_SCHEDULE_DELAY="50",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        APP_VERSION="v1.2",
        POD_NAME="webapp-7",
        FAULT_ERROR_RATE="100",
    )
    answer = server.get("/status/204?x=1&sig=secret", **traced(), tracestate="vendor=7", **{"User-Agent": "tester"})
    server.get("/healthz", **traced())
    wait_for(lambda: bool(receiver.spans), "span")
    stop(server)
    (span,) = receiver.spans
    assert (span.name, span.kind, span.status) == ("GET /status/{code}", SERVER_KIND, ERROR)
    assert (span.trace_id, span.parent_id, span.trace_state) == (TRACE, PARENT, "vendor=7")
    assert answer.headers["traceresponse"] == f"00-{TRACE}-{span.span_id}-01"
    assert span.scope == ("webapp", "v1.2")
    assert 0 < span.seconds < DEADLINE_SECONDS
    host, port = server.address
    peer_port = span.attributes.pop("network.peer.port")
    assert isinstance(peer_port, int)
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/status/{code}",
        "http.response.status_code": 500,
        "error.type": "500",
        "url.path": "/status/204",
        "url.query": "x=1&sig=REDACTED",
        "url.scheme": "http",
        "server.address": host,
        "server.port": port,
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "tester",
    }
    instance = span.resource.pop("service.instance.id")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(instance))
    assert span.resource.pop("telemetry.sdk.version")
    assert span.resource == {
        "service.name": "webapp",
        "service.version": "v1.2",
        "k8s.pod.name": "webapp-7",
        "deployment.environment.name": "test",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
    }


def test_no_span_is_lost_when_the_server_is_stopped(start_webapp: Start, receiver: Receiver) -> None:
    # Its exporter was made before the fork, and would send nothing of its own accord before the test is over.
    server = start_webapp(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **LATE)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(server.get, ["/"] * 100))
        slow = pool.submit(server.get, "/delay/3")
        wait_for(lambda: server.metric("http_server_active_requests") == 1, "request in flight")
        assert receiver.requests == 0
        server.process.terminate()
        answers.append(slow.result())
    assert server.process.wait(DEADLINE_SECONDS) == 0
    sent = sorted(f"00-{span.trace_id}-{span.span_id}-03" for span in receiver.spans)
    assert sent == sorted(answer.headers["traceresponse"] for answer in answers)
    assert len(set(sent)) == 101


def test_a_dead_collector_neither_fails_a_request_nor_holds_up_the_stop(start_webapp: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, never answers
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        server = start_webapp(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="600", **LATE)
        assert server.get("/").status_code == 200
        stop(server)


def test_a_refusing_collector_is_named_in_the_log_and_costs_no_request(start_webapp: Start) -> None:
    server = start_webapp(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}", OTEL_BSP_SCHEDULE_DELAY="50")
    assert server.get("/").status_code == 200
    wait_for(lambda: any("opentelemetry" in str(line["logger"]) for line in log_lines(server)), "line about the collector")
    assert server.get("/").status_code == 200
    stop(server)


def test_without_an_endpoint_nothing_is_connected_to(start_webapp: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        # Whatever an exporter took for its endpoint, it would have to come by here.
        server = start_webapp(OTEL_BSP_SCHEDULE_DELAY="50", HTTP_PROXY=f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for _ in range(20):
            assert server.get("/", **traced()).headers["traceresponse"].startswith(f"00-{TRACE}-")
        processes = psutil.Process(server.process.pid), server.worker()
        connections = [each for process in processes for each in process.net_connections()]
        assert {each.laddr.port for each in connections} == {server.address[1]}, "only the port that it serves on"
        stop(server)
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert "opentelemetry" not in server.log.read_text()


@pytest.mark.parametrize(
    ("environ", "requested", "arrive"),
    [
        ({"OTEL_TRACES_EXPORTER": "none"}, {}, False),
        ({"OTEL_SDK_DISABLED": "true"}, {}, False),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, traced("01"), False),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, {}, False),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, traced("01"), True),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, {}, False),
        ({}, traced("00"), False),
        ({}, traced("01"), True),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b"}, {}, True),
    ],
)
def test_the_standard_variables_decide_what_is_sent(
    start_webapp: Start, receiver: Receiver, environ: dict[str, str], requested: dict[str, str], arrive: bool
) -> None:
    server = start_webapp(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **LATE, **environ)
    assert server.get("/", **requested).status_code == 200
    stop(server)
    assert [span.name for span in receiver.spans] == (["GET /"] if arrive else [])
    if "OTEL_EXPORTER_OTLP_HEADERS" in environ:
        assert (receiver.headers["x-key"], receiver.headers["content-encoding"]) == ("a b", "gzip")


def exemplars(server: Server) -> dict[str, dict[str, str]]:
    """The labels of the exemplars in an OpenMetrics scrape, by the bucket's upper bound."""
    answer = server.get("/metrics", Accept=OPENMETRICS)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    pattern = re.compile(r'^http_server_request_duration_seconds_bucket\{.*le="([^"]+)".*\} \S+ # \{(.*)\}', re.MULTILINE)
    return {le: dict(re.findall(r'(\w+)="(\w+)"', labels)) for le, labels in pattern.findall(answer.text)}


def test_a_scrape_links_the_bucket_to_the_callers_trace_and_to_the_span(start_webapp: Start, receiver: Receiver) -> None:
    server = start_webapp(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **LATE)
    server.get("/delay/0.26", **traced())
    ((bound, linked),) = exemplars(server).items()
    assert linked["trace_id"] == TRACE
    assert float(bound) >= 0.3
    stop(server)
    assert linked["span_id"] == span_of(receiver, "GET /delay/{seconds}").span_id


def test_log_lines_of_failures_carry_the_trace_and_nothing_that_a_caller_smuggles_in(start_webapp: Start) -> None:
    server = start_webapp(FAULT_ERROR_RATE="100", LOG_LEVEL="debug")
    nasty = '/status/200%0A%7B"level"%3A"error"%7D%E2%80%A8\u00ff'
    answer = requests.get(f"{server.url}/headers?{'x' * 3000}", headers=traced(), timeout=DEADLINE_SECONDS)
    requests.get(server.url + nasty, timeout=DEADLINE_SECONDS)
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nBad\x00Name: {\"level\": \"error\"}\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 400")
    stop(server)
    lines = log_lines(server)  # that each line is JSON is half of the test
    of_requests = [line for line in lines if line["message"] == "request"]
    first, second = of_requests
    _, trace_id, span_id, _ = answer.headers["traceresponse"].split("-")
    assert (first["trace_id"], first["span_id"], first["trace_flags"]) == (TRACE, span_id, "01")
    assert trace_id == TRACE
    assert (first["level"], first["path"], first["status"], first["fault"]) == ("warning", "/headers", 500, "error")
    assert str(second["path"]).startswith("/status/200%0A%7B")
    assert {line["level"] for line in lines} <= {"debug", "info", "warning"}
    assert max(map(len, server.log.read_text().splitlines())) < 4096


def test_200_sleepers_keep_no_other_request_waiting(start_webapp: Start) -> None:
    server = start_webapp()
    before = {thread.id for thread in server.worker().threads()}
    with ThreadPoolExecutor(200) as pool:
        sleepers = [pool.submit(lambda: (server.get("/delay/2").status_code, time.monotonic())) for _ in range(200)]
        wait_for(lambda: server.metric("http_server_active_requests") == 200, "200 requests in flight")
        assert server.get("/").status_code == 200
        answered = time.monotonic()
        results = [sleeper.result() for sleeper in sleepers]
    assert {code for code, _ in results} == {200}
    assert min(at for _, at in results) > answered, "it waited for a sleeper to end"
    assert len(before) < 16, "threads are started when they are needed"


def test_prometheus_keeps_the_link_from_a_bucket_to_the_trace(start_webapp: Start, tmp_path: Path) -> None:
    found = binaries.find()
    if found is None or not (program := found.folder / "prometheus").exists():
        pytest.skip("no Prometheus here: ./run.sh setup builds it")
    server = start_webapp()
    answer = server.get("/delay/0.26", **traced())
    target = server.url.removeprefix("http://")
    config = tmp_path / "prometheus.yml"
    job = {"job_name": "webapp", "scrape_interval": "200ms", "scrape_timeout": "200ms", "static_configs": [{"targets": [target]}]}
    config.write_text(json.dumps({"scrape_configs": [job]}))  # JSON is YAML
    port = free_port()
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address=127.0.0.1:{port}"]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([program, *arguments, "--enable-feature=exemplar-storage"], stdout=log, stderr=log)
    query = {"query": f"{DURATION}_bucket", "start": time.time() - 60, "end": time.time() + 60}

    def stored() -> list[dict[str, Any]]:
        try:
            got = requests.get(f"http://127.0.0.1:{port}/api/v1/query_exemplars", params=query, timeout=DEADLINE_SECONDS)
        except requests.ConnectionError:
            return []
        return list(got.json()["data"]) if got.ok else []  # 503 while it starts

    try:
        wait_for(lambda: bool(stored()), "exemplar in Prometheus")
        (of_series,) = stored()
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)
    labels, (exemplar, *_) = of_series["seriesLabels"], of_series["exemplars"]
    assert labels["http_route"] == "/delay/{seconds}"
    _, trace_id, span_id, _ = answer.headers["traceresponse"].split("-")
    assert exemplar["labels"] == {"trace_id": trace_id, "span_id": span_id}
    assert trace_id == TRACE
    assert 0.26 <= float(exemplar["value"]) <= float(labels["le"])
