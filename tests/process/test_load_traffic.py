"""Shapes and routes as a server sees them, sent by real Locust."""

import collections
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from load_support import Server, wait_until

from harness.errors import UsageError
from harness.load import LOCUSTFILE, Load
from harness.load_shape import LoadShape
from harness.supervisor.ports import free_port
from loadtest.traffic.routes import Mix, parse_routes


def arrivals_of(server: Server, load: Load, seconds: float) -> list[float]:
    """Seconds after the start of the shape. It begins when the first user asks for a turn, just before the first answer."""
    wait_until(lambda: server.count and time.time() > server.arrivals[0] + seconds, f"{seconds} seconds of load", 30)
    load.poll()
    load.stop()
    return [arrival - server.arrivals[0] for arrival in server.arrivals]


@pytest.mark.parametrize(
    ("shape", "edges", "due"),
    [
        (LoadShape(kind="ramp", rps_from=20, period_seconds=4), (0, 1, 2, 3, 4, 5), (30, 50, 70, 90, 100)),
        (LoadShape(kind="spike", spike_rps=300, spike_at_seconds=2, spike_seconds=1), (0, 2, 3, 5), (200, 300, 200)),
        # 100 x 2 seconds, and 100 x 4 / pi more or less.
        (LoadShape(kind="sine", amplitude=100, period_seconds=4), (0, 2, 4, 6), (327, 73, 327)),
    ],
    ids=["ramp", "spike", "sine"],
)
def test_the_server_sees_the_shape(
    serve: Callable[..., Server], start: Callable[..., Load], shape: LoadShape, edges: tuple[float, ...], due: tuple[float, ...]
) -> None:
    server = serve()
    load = start(server.url, rps=100, shape=shape)
    arrivals = arrivals_of(server, load, edges[-1] + 0.1)
    # Never more than is due, but for what comes late of 0.1 s at the highest rate; less where the machine is too busy to keep up.
    late = 0.1 * shape.peak(100)
    for (begin, end), number in zip(itertools.pairwise(edges), due, strict=True):
        assert 0.7 * number - 5 <= sum(begin <= arrival < end for arrival in arrivals) <= number + 12 + late, (begin, end)


def test_routes_methods_and_a_header_on_a_share_of_them(serve: Callable[..., Server], start: Callable[..., Load]) -> None:
    routes = "/=6,/headers=2,POST /a?b=c=1,HEAD /a=1"
    server = serve()
    load = start(server.url, rps=150, routes=routes, header="X-Tester: yes", header_share=30, seed=5, reports=True)
    wait_until(lambda: server.count >= 300, "requests")
    load.stop()
    seen = collections.Counter((method, path, header == "yes") for method, path, header in server.asked)
    record = collections.Counter((answer["route"], answer["marked"]) for answer in load.records())
    assert len(load.records()) == server.count
    assert {key[:2] for key in seen} == {("GET", "/"), ("GET", "/headers"), ("POST", "/a?b=c"), ("HEAD", "/a")}
    assert record == {
        (path if method == "GET" else f"{method} {path}", mark): number for (method, path, mark), number in seen.items()
    }
    assert {(answer["status"], answer["error"]) for answer in load.records()} == {(200, None)}
    # The very sequence that the seed gives, but for users who overtake each other on their way.
    mix = Mix(parse_routes(routes), header_share=30, seed=5)
    drawn = collections.Counter((route.name, mark) for route, mark in (mix.draw() for _ in range(server.count)))
    assert sum((drawn - record).values()) <= 5
    by_route = collections.Counter[tuple[str, str]]()
    for (method, path, _), number in seen.items():
        by_route[method, path] += number
    counted = {(e["method"], e["name"]): e["num_requests"] for e in json.loads((load.folder / "locust.json").read_text())}
    assert counted == by_route


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ({"shape": LoadShape(kind="square")}, "argument --shape: invalid choice: 'square'"),
        ({"shape": LoadShape(kind="sine", amplitude=51)}, "loadtest: --amplitude is 51, more than --rps 50"),
        ({"routes": "http://192.0.2.1/"}, "loadtest: --routes: 'http://192.0.2.1/' is no route"),
        ({"header": "none"}, "loadtest: --header is 'none'"),
        ({"header": "X: y", "header_share": 101}, "loadtest: --header-share is 101"),
    ],
)
def test_what_cannot_be_is_a_usage_error_in_one_line(start: Callable[..., Load], spec: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError) as refused:
        start("http://127.0.0.1:9", **spec)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_options_come_from_the_environment_too(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    run = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", server.url, "--headless", "--run-time", "3s"],
        cwd=tmp_path,
        env={
            "HOME": str(tmp_path), "GATEPROOF_RPS": "4", "GATEPROOF_ROUTES": "/a", "GATEPROOF_SHAPE": "",
            "GATEPROOF_HEADER": "X-Tester: yes", "GATEPROOF_SPIKE_AT": "3",
        },
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert set(server.asked) == {("GET", "/a", "yes")}
    assert 1 <= server.count <= 13  # one in each quarter of a second
    assert "--spike-at has no effect on a load of the shape steady" in run.stderr


def test_the_web_form_is_checked_and_a_change_takes_effect_at_once(
    serve: Callable[..., Server], start: Callable[..., Load]
) -> None:
    server = serve()
    port = free_port()
    # At this rate the first turn would come after minutes, if the user who holds it kept it.
    start(server.url, web_ui_port=port, rps=0.001, users=50)

    def ask(**form: str) -> dict[str, object]:
        common = {"user_count": "50", "spawn_rate": "50", "host": server.url}
        answer = session.post(f"http://127.0.0.1:{port}/swarm", data=common | form, timeout=10)
        assert answer.status_code == 200
        told: dict[str, object] = answer.json()
        return told

    def spawned() -> bool:
        return int(session.get(f"http://127.0.0.1:{port}/stats/requests", timeout=10).json()["user_count"]) == 50

    with requests.Session() as session:
        session.trust_env = False
        wait_until(spawned, "fifty users")
        for form, line in (
            ({"requests_per_second": "-5"}, "--rps is '-5'"),
            ({"requests_per_second": "many"}, "--rps is 'many'"),
            ({"shape": "sine", "amplitude": "99"}, "--amplitude is 99"),
            ({"routes": "nowhere"}, "--routes: 'nowhere'"),
            ({"header": "x\r\ny: z"}, "--header is"),
        ):
            told = ask(**form)
            assert told["success"] is False
            assert line in str(told["message"])
        for headers in ({"Origin": "http://example.test"}, {"Origin": "null"}, {"Host": f"example.test:{port}"}):
            form = {"user_count": "50", "spawn_rate": "50", "host": server.url, "requests_per_second": "100"}
            stranger = session.post(f"http://127.0.0.1:{port}/swarm", data=form, headers=headers, timeout=10)
            assert stranger.status_code == 403
        assert server.count == 0
        assert ask(requests_per_second="100", routes="/changed", header="", shape="steady")["success"] is True
        wait_until(lambda: server.count >= 100, "a hundred requests at the new rate", 10)
        session.post(f"http://127.0.0.1:{port}/stop", timeout=20)
    assert {path for _, path, _ in server.asked} == {"/changed"}
