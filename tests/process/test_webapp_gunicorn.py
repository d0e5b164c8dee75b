"""The web app as it runs in a pod: real gunicorn, real sockets, real signals."""

import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from webapp_server import COMMAND, DEADLINE_SECONDS, REPOSITORY_ROOT, Start, running, wait_for

from harness.supervisor.ports import free_port


def test_it_serves_measures_and_says_who_it_is(start_webapp: Start) -> None:
    server = start_webapp(APP_VERSION="v1.0", POD_NAME="webapp-1")
    answer = server.get("/")
    assert (answer.status_code, answer.headers["X-App-Version"], answer.headers["X-Pod-Name"]) == (200, "v1.0", "webapp-1")
    metrics = server.get("/metrics").text
    labels = 'error_type="",http_request_method="GET",http_response_status_code="200",http_route="/",url_scheme="http"'
    assert f"http_server_request_duration_seconds_count{{{labels}}} 1.0" in metrics
    assert 'webapp_build_info{revision="unknown",version="v1.0"} 1.0' in metrics
    assert "process_resident_memory_bytes" in metrics


def test_the_faults_of_a_seed_are_the_same_in_every_process(tmp_path: Path) -> None:
    seen = []
    for name in ("one", "two"):
        with running(tmp_path / name, FAULT_ERROR_RATE="30", FAULT_SEED="7") as server:
            seen.append([server.get("/").status_code for _ in range(40)])
    assert seen[0] == seen[1]
    assert set(seen[0]) == {200, 500}


def test_slow_requests_do_not_queue(start_webapp: Start) -> None:
    server = start_webapp(FAULT_LATENCY_MS="1000")
    started = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        codes = list(pool.map(lambda _: server.get("/").status_code, range(32)))
    assert set(codes) == {200}
    # One after another would take 32 s, on eight threads 4 s.
    assert time.monotonic() - started < 4
    metrics = server.get("/metrics").text
    assert 'http_response_status_code="200",http_route="/",le="0.25",url_scheme="http"} 0.0' in metrics


def test_sigterm_lets_the_request_in_flight_finish(start_webapp: Start) -> None:
    server = start_webapp()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.get, "/delay/1")
        in_flight = 'http_server_active_requests{http_request_method="GET",url_scheme="http"} 1.0'
        wait_for(lambda: in_flight in server.get("/metrics").text, "request in flight")
        server.process.terminate()
        assert slow.result().json() == {"delay": 1.0}
    assert server.process.wait(DEADLINE_SECONDS) == 0, server.log.read_text()


@pytest.mark.parametrize("value", ["abc", "nan", "101", "-1"])
def test_a_bad_value_is_one_line_and_no_start(value: str) -> None:
    env = {"PATH": os.environ["PATH"], "BIND_ADDRESS": "127.0.0.1", "PORT": str(free_port()), "FAULT_ERROR_RATE": value}
    done = subprocess.run(
        COMMAND, cwd=REPOSITORY_ROOT, env=env, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert done.returncode not in (0, None)
    assert done.stderr == f"webapp: cannot start: FAULT_ERROR_RATE={value!r}: must be a number from 0 to 100 (percent)\n"
    assert done.stdout == ""


def test_spans_leave_only_when_an_endpoint_is_given(start_webapp: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as collector:
        collector.settimeout(DEADLINE_SECONDS)
        endpoint = f"http://127.0.0.1:{collector.getsockname()[1]}"
        server = start_webapp(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_BSP_SCHEDULE_DELAY="50")
        server.get("/")
        connection, _ = collector.accept()
        with connection:
            assert connection.recv(65536).startswith(b"POST /v1/traces HTTP/1.1")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
