"""What the faults do to real connections and real processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import requests
from webapp_server import COMMAND, DEADLINE_SECONDS, REPOSITORY_ROOT, Start, running, wait_for

from harness.supervisor.ports import free_port

GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
MIB = 1024 * 1024


def ask(connection: socket.socket, path: str) -> bytes:
    """One request on a connection that is kept; the head of the answer, once all of the answer is there."""
    connection.sendall(GET % path.encode())
    seen = b""
    while b"\r\n\r\n" not in seen:
        part = connection.recv(65536)
        assert part, f"closed after {seen!r}"
        seen += part
    head, _, body = seen.partition(b"\r\n\r\n")
    (length,) = (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(65536)
    return head


def open_fds(process: psutil.Process) -> int:
    return process.num_fds()


def test_a_reset_is_a_reset(start_webapp: Start) -> None:
    server = start_webapp(FAULT_RESET_RATE="100", FAULT_ROUTES="/")
    with server.connect() as connection:
        assert ask(connection, "/healthz").startswith(b"HTTP/1.1 200")
        connection.sendall(GET % b"/")
        with pytest.raises(ConnectionResetError):
            connection.recv(65536)
    assert server.injected("reset") == 1
    assert server.metric("http_server_request_duration_seconds_count") == 0, "no answer is no answer of 500"
    assert server.metric("http_server_active_requests") == 0
    assert server.get("/headers").status_code == 200
    assert "Traceback" not in server.log.read_text()


def test_a_hang_neither_answers_nor_closes_and_holds_no_thread(start_webapp: Start) -> None:
    server = start_webapp(FAULT_HANG_RATE="100", FAULT_ROUTES="/")
    before = open_fds(server.worker())
    connections = []
    for hangs in range(1, 101):
        connection = server.connect()
        connections.append(connection)
        assert ask(connection, "/healthz").startswith(b"HTTP/1.1 200")
        connection.sendall(GET % b"/")
        wait_for(lambda hangs=hangs: server.injected("hang") == hangs, "hang")
    assert server.worker().num_threads() < 50
    assert server.get("/headers").status_code == 200, "other requests are served meanwhile"
    for connection in connections:
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        connection.sendall(GET % b"/healthz")  # into the void
        with pytest.raises(BlockingIOError):
            connection.recv(1)
    assert open_fds(server.worker()) >= before + 100
    for connection in connections:
        connection.close()
    wait_for(lambda: open_fds(server.worker()) <= before + 2, "release of the connections whose clients have gone")
    assert server.metric("http_server_request_duration_seconds_count") == 1, "a hang is no answer"
    assert "Traceback" not in server.log.read_text()


def test_the_number_of_hung_connections_is_bounded(start_webapp: Start) -> None:
    server = start_webapp(FAULT_HANG_RATE="100")
    oldest = server.connect()
    oldest.sendall(GET % b"/")
    wait_for(lambda: server.injected("hang") == 1, "the oldest")
    others = []
    for _ in range(512):
        others.append(server.connect())
        others[-1].sendall(GET % b"/")
    assert oldest.recv(1) == b"", "the oldest is closed"
    for connection in (oldest, *others):
        connection.close()


def test_hung_connections_do_not_hold_up_the_stop(start_webapp: Start) -> None:
    server = start_webapp(FAULT_HANG_RATE="100")
    with server.connect() as connection:
        connection.sendall(GET % b"/")
        wait_for(lambda: server.injected("hang") == 1, "hang")
        server.process.terminate()
        assert server.process.wait(DEADLINE_SECONDS) == 0
        assert connection.recv(1) == b""


def test_the_nth_request_crashes_all_of_it(start_webapp: Start) -> None:
    server = start_webapp(FAULT_CRASH_AFTER_REQUESTS="3")
    for _ in range(2):
        assert server.get("/").status_code == 200
        assert server.get("/healthz").status_code == 200
    with pytest.raises(requests.ConnectionError):
        server.get("/")
    assert server.process.wait(DEADLINE_SECONDS) == 70, server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def test_it_crashes_in_time(start_webapp: Start) -> None:
    assert start_webapp(FAULT_CRASH_AFTER_SECONDS="3").process.wait(DEADLINE_SECONDS) == 70


def test_a_replaced_plan_does_not_crash_in_time(start_webapp: Start) -> None:
    server = start_webapp(FAULT_ADMIN="true")
    for plan in ({"crash_after_seconds": 2}, {}):
        assert requests.put(f"{server.url}/faults", json=plan, timeout=DEADLINE_SECONDS).status_code == 200
    started = time.monotonic()
    assert requests.put(f"{server.url}/faults", json={"crash_after_seconds": 3}, timeout=DEADLINE_SECONDS).status_code == 200
    assert server.process.wait(DEADLINE_SECONDS) == 70
    assert time.monotonic() - started >= 3, "the first plan's clock has stopped with it"


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_crash_ends_the_first_process_of_a_container(tmp_path: Path) -> None:
    namespace = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let us make a PID namespace")
    port = free_port()
    env = {"PATH": os.environ["PATH"], "BIND_ADDRESS": "127.0.0.1", "PORT": str(port), "FAULT_CRASH_AFTER_SECONDS": "0.2"}
    done = subprocess.run(
        [*namespace, *COMMAND], cwd=REPOSITORY_ROOT, env=env, capture_output=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert done.returncode == 70, done.stdout


def test_a_worker_that_is_killed_ends_the_container_too(start_webapp: Start) -> None:
    server = start_webapp()
    server.worker().send_signal(signal.SIGKILL)
    assert server.process.wait(DEADLINE_SECONDS) == 1
    assert "the worker has ended" in server.log.read_text()


def test_memory_is_resident_up_to_its_cap_and_released(start_webapp: Start) -> None:
    server = start_webapp(FAULT_ADMIN="true", FAULT_MEMORY_KIB_PER_REQUEST="4096", FAULT_MEMORY_CAP_MIB="64")
    worker = server.worker()
    before = worker.memory_info().rss
    for _ in range(8):
        server.get("/")
    assert 31 * MIB < worker.memory_info().rss - before < 48 * MIB
    for _ in range(24):
        server.get("/")
    assert 63 * MIB < worker.memory_info().rss - before < 80 * MIB
    assert server.injected("memory") == 16, "what does not grow is not counted"
    requests.delete(f"{server.url}/faults", timeout=DEADLINE_SECONDS)
    assert worker.memory_info().rss - before < 16 * MIB
    assert server.get("/").status_code == 200


def test_readiness_flaps_and_nothing_else_does(start_webapp: Start) -> None:
    server = start_webapp(FAULT_READINESS_FLAP_SECONDS="0.3")
    for expected in (503, 200, 503, 200):
        wait_for(lambda expected=expected: server.get("/readyz").status_code == expected, f"readiness of {expected}")
        assert (server.get("/healthz").status_code, server.get("/").status_code) == (200, 200)
    assert server.injected("readiness") >= 2


def test_a_slow_start_opens_the_port_late(tmp_path: Path) -> None:
    started = time.monotonic()
    with running(tmp_path / "log", FAULT_SLOW_START_SECONDS="1.5") as server:
        assert time.monotonic() - started >= 1.5
        assert server.injected("slow_start") == 1


def test_a_slow_start_can_be_stopped(tmp_path: Path) -> None:
    with running(tmp_path / "log", await_ready=False, FAULT_SLOW_START_SECONDS="600") as server:
        wait_for(lambda: "slow start" in server.log.read_text(), "slow start")
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        server.process.terminate()
        assert server.process.wait(DEADLINE_SECONDS) == 0


def test_rules_and_headers_say_who_is_hit(start_webapp: Start) -> None:
    rules = [{"routes": ["/headers"], "error_rate": 100, "status_code": 503}, {"header": "X-Tester: yes", "reset_rate": 100}]
    server = start_webapp(FAULT_RULES=json.dumps(rules), FAULT_ROUTES="/", FAULT_HEADER="X-Canary", FAULT_ERROR_RATE="100")
    canary = {"X-Canary": "1"}
    assert server.get("/headers").status_code == 503
    assert [server.get("/").status_code, server.get("/", **canary).status_code] == [200, 500]
    assert server.get("/status/204", **canary).status_code == 204
    with pytest.raises(requests.ConnectionError):
        server.get("/", **{"X-Tester": "yes"}, **canary)
    assert server.get("/", **{"X-Tester": "no"}).status_code == 200
