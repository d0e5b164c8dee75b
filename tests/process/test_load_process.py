"""Real Locust against a small server of the test's own, which counts what arrives."""

import collections
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests
from load_support import Server, gone, wait_until

from harness.errors import Inconclusive, PlatformError, UsageError
from harness.load import LOCUSTFILE, Load
from harness.supervisor.ports import free_port

ROOT = LOCUSTFILE.parent.parent


def test_even_rate_and_every_answer_recorded_exactly_once(serve: Callable[..., Server], start: Callable[..., Load]) -> None:
    server = serve()
    load = start(server.url)
    wait_until(lambda: server.count and time.time() > server.arrivals[0] + 5.1, "five seconds of load", 20)
    load.poll()
    load.stop()
    first = server.arrivals[0]
    records = load.records()
    assert sorted(record["pod"] for record in records) == sorted(f"pod-{n + 1}" for n in range(server.count))
    assert {record["version"] for record in records} == {"v1.0", "v1.1"}
    assert {(record["status"], record["error"]) for record in records} == {(200, None)}
    assert all(record["at"] == pytest.approx(record["started"] + record["latency"], abs=1e-3) for record in records)
    assert load.summary(first + 1, first + 5).achieved_share == pytest.approx(0.95, abs=0.1)
    per_200ms = collections.Counter(int((moment - first) * 5) for moment in server.arrivals if moment < first + 5)
    assert len(per_200ms) == 25
    # 10 each; the margin is for a busy machine, and far below what users in step would show (50 at once, then none).
    assert sum(5 <= number <= 15 for number in per_200ms.values()) >= 20, per_200ms
    assert server.hosts == {"webapp.local"}
    assert server.paths == {"/"}
    assert server.connections <= load.spec.user_count


def test_errors_are_recorded_as_they_are_and_nothing_is_sent_twice(
    serve: Callable[..., Server], start: Callable[..., Load]
) -> None:
    answers = {0: 500, 1: 0, 2: 302, 3: 404, 4: 503}
    server = serve(status=lambda number: answers.get(number % 10, 200))
    load = start(server.url, rps=100)
    wait_until(lambda: server.count >= 100, "100 requests")
    load.stop()
    records = load.records()
    assert len(records) == server.count
    got = collections.Counter((record["status"], record["error"]) for record in records if record["status"])
    want = collections.Counter(answers.get(number % 10, 200) for number in range(1, server.count + 1))
    expected = {(200, None), (302, None), (404, "HTTP 404"), (500, "HTTP 500"), (503, "HTTP 503")}
    assert set(got) == expected
    assert {status: number for (status, _), number in got.items()} == {s: n for s, n in want.items() if s}
    silent = [record for record in records if record["status"] == 0]
    assert len(silent) == want[0]
    assert all("closed" in record["error"] and record["version"] is None for record in silent)
    assert all(record["version"] for record in records if record["status"] == 500)
    assert server.paths == {"/"}


def test_refused_connections_are_status_0(start: Callable[..., Load]) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # held, not listening: nobody else can answer here
        load = start(f"http://127.0.0.1:{held.getsockname()[1]}")
        wait_until(lambda: len(load.records()) >= 20, "20 records")
        load.stop()
    assert {record["status"] for record in load.records()} == {0}
    assert all("refused" in record["error"] for record in load.records())
    first = min(record["started"] for record in load.records())
    assert load.summary(first, time.time()).failed == len(load.records())


def test_a_stranger_gets_no_load(start: Callable[..., Load], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEPROOF_ALLOW_HOST", "192.0.2.2")
    with pytest.raises(UsageError, match=r"no load is sent to 192\.0\.2\.1: .*GATEPROOF_ALLOW_HOST") as refused:
        start("http://192.0.2.1:80")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        (["--headless"], "give --run-time"),
        (["--headless", "--run-time", "5s", "--processes", "2"], "one process"),
        (["--headless", "--run-time", "5s", "--record", "/proc/none/answers"], "cannot write --record"),
    ],
)
def test_the_locustfile_alone_refuses_in_one_line(tmp_path: Path, extra: list[str], line: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", "http://127.0.0.1:9", *extra],
        cwd=tmp_path, env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert [text for text in run.stderr.splitlines() if text.startswith("loadtest:") and line in text]
    assert "Traceback" not in run.stderr


def test_sigterm_loses_nothing_that_is_under_way(serve: Callable[..., Server], start: Callable[..., Load]) -> None:
    server = serve(delay=1.0)
    load = start(server.url, worst_latency_seconds=1)
    wait_until(lambda: server.count >= 60, "requests under way")
    load.stop()
    assert sorted(record["pod"] for record in load.records()) == sorted(f"pod-{n + 1}" for n in range(server.count))
    load.stop()
    load.poll()


def test_no_locust_is_left_when_its_parent_is_killed(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    script = (
        "import sys, time; from pathlib import Path; from harness.load import Load, LoadSpec\n"
        f"spec = LoadSpec(url={server.url!r}, duration_limit_seconds=30)\n"
        "load = Load(spec=spec, folder=Path(sys.argv[1]), python=sys.executable)\n"
        "load.start(); print(load.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "load")], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_until(lambda: server.count, "the first request")
    assert not gone(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: gone(pid), "the end of locust", 5)


def test_the_web_ui_answers_starts_by_itself_and_refuses_strangers(
    serve: Callable[..., Server], start: Callable[..., Load]
) -> None:
    server = serve()
    port = free_port()
    load = start(server.url, web_ui_port=port)
    wait_until(lambda: server.count >= 10, "a load that starts by itself")
    ui = f"http://127.0.0.1:{port}"
    with requests.Session() as session:
        session.trust_env = False
        page = session.get(ui, timeout=10)
        assert page.status_code == 200
        assert "locust" in page.text.lower()
        form = {"user_count": "1", "spawn_rate": "1", "host": "http://192.0.2.1"}
        answer = session.post(f"{ui}/swarm", data=form, timeout=10).json()
    assert answer["success"] is False
    assert "no load is sent to 192.0.2.1" in answer["message"]
    assert load.pid is not None
    listening = {c.laddr.ip for c in psutil.Process(load.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
    load.stop()
    assert gone(load.pid)
    assert len(load.records()) == server.count


def test_the_web_ui_can_be_reached_at_once(serve: Callable[..., Server], start: Callable[..., Load]) -> None:
    server = serve()
    port = free_port()
    start(server.url, web_ui_port=port)
    socket.create_connection(("127.0.0.1", port), timeout=10).close()


def test_a_web_ui_whose_port_is_taken_is_told_at_the_start(serve: Callable[..., Server], start: Callable[..., Load]) -> None:
    server = serve()
    with pytest.raises(PlatformError, match=r"Locust ended by itself(?s:.*)Address already in use"):
        start(server.url, web_ui_port=server.server_port)


def test_a_web_ui_load_ends_at_its_limit(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    port = free_port()
    line = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", server.url, "--autostart", "--max-run-time", "1.5"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*line, "--web-port", str(port)],
            cwd=tmp_path,
            env=os.environ | {"HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        wait_until(lambda: "ends after --max-run-time" in (tmp_path / "log").read_text(), "the limit")
        wait_until(lambda: time.time() > server.arrivals[-1] + 0.5, "quiet")
        assert server.arrivals[-1] - server.arrivals[0] < 3
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(20)


def test_settings_of_the_user_do_not_reach_the_load(
    serve: Callable[..., Server], start: Callable[..., Load], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".locust.conf").write_text("logfile = taken-away.log\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCUST_LOGFILE", str(tmp_path / "taken-away.log"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server = serve()
    load = start(server.url)
    wait_until(lambda: len(load.records()) >= 10, "answers")
    load.stop()
    assert "Starting Locust" in (load.folder / "locust.log").read_text()
    assert not list(tmp_path.rglob("taken-away.log"))


def test_an_early_end_is_told_with_its_cause(serve: Callable[..., Server], start: Callable[..., Load]) -> None:
    server = serve()
    short = start(server.url, duration_limit_seconds=1)
    with pytest.raises(Inconclusive, match="limit of 1 s"):
        wait_until(short.poll, "the limit")
    killed = start(server.url)
    wait_until(killed.records, "answers")
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    with pytest.raises(Inconclusive, match=r"ended by signal SIGKILL[^\n]*locust\.log"):
        wait_until(killed.poll, "the end")
