"""Locust's own CSV, HTML and JSON reports: there and complete however the load ends, and in agreement with the record."""

import collections
import csv
import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from load_support import Server, wait_until

from harness.errors import Inconclusive
from harness.load import Load
from harness.supervisor.ports import free_port

Counts = dict[tuple[str, str], tuple[int, int]]


def from_record(load: Load) -> Counts:
    """Requests and failed requests by method and path."""
    counts: Counts = {}
    for answer in load.records():
        method, _, path = answer["route"].rpartition(" ")
        key = (method or "GET", path)
        number, failed = counts.get(key, (0, 0))
        counts[key] = (number + 1, failed + (answer["error"] is not None))
    return counts


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"locust_{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def from_csv(folder: Path) -> Counts:
    return {
        (row["Type"], row["Name"]): (int(row["Request Count"]), int(row["Failure Count"]))
        for row in rows(folder, "stats")
        if row["Name"] != "Aggregated"
    }


def from_history(folder: Path) -> Counts:
    last = {
        (row["Type"], row["Name"]): (int(row["Total Request Count"]), int(row["Total Failure Count"]))
        for row in rows(folder, "stats_history")
    }
    return {key: value for key, value in last.items() if key[1] != "Aggregated"}


def from_json(folder: Path) -> Counts:
    return {
        (entry["method"], entry["name"]): (entry["num_requests"], entry["num_failures"])
        for entry in json.loads((folder / "locust.json").read_text())
    }


def html_data(folder: Path) -> dict[str, Any]:
    text = (folder / "locust.html").read_text()
    found = re.search(r"window\.templateArgs = (\{.*\})\s*$", text, re.MULTILINE)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def from_html(folder: Path) -> Counts:
    return {
        (entry["method"], entry["name"]): (entry["num_requests"], entry["num_failures"])
        for entry in html_data(folder)["requests_statistics"]
        if entry["name"] != "Aggregated"
    }


def assert_reports_agree_with_the_record(load: Load) -> None:
    counts = from_record(load)
    total = sum(number for number, _ in counts.values())
    failed = sum(failed for _, failed in counts.values())
    assert from_json(load.folder) == counts
    assert from_csv(load.folder) == counts
    assert from_html(load.folder) == counts
    assert from_history(load.folder) == counts
    assert load.sent_by_locust() == total
    aggregated = rows(load.folder, "stats")[-1]
    assert (int(aggregated["Request Count"]), int(aggregated["Failure Count"])) == (total, failed)
    assert sum(int(row["Occurrences"]) for row in rows(load.folder, "failures")) == failed
    assert sum(entry["occurrences"] for entry in html_data(load.folder)["failures_statistics"]) == failed
    assert rows(load.folder, "exceptions") == []


@pytest.mark.parametrize("status", [200, 500, 0])
def test_after_sigterm(serve: Callable[..., Server], start: Callable[..., Load], status: int) -> None:
    server = serve(status=lambda _: status, delay=0.2)
    load = start(server.url, reports=True, rps=60, routes="/=2,/a=1,POST /a=1")
    wait_until(lambda: server.count >= 150, "requests")
    load.stop()
    assert len(load.records()) == server.count
    assert_reports_agree_with_the_record(load)


def test_at_the_time_limit(serve: Callable[..., Server], start: Callable[..., Load]) -> None:
    server = serve(status=lambda number: 503 if number % 7 == 0 else 200, delay=0.3)
    load = start(server.url, reports=True, rps=60, duration_limit_seconds=2)
    with pytest.raises(Inconclusive, match="limit of 2 s"):
        wait_until(load.poll, "the limit")
    assert len(load.records()) == server.count > 20
    assert_reports_agree_with_the_record(load)


def test_when_nobody_answers(start: Callable[..., Load], held_port: int) -> None:
    load = start(f"http://127.0.0.1:{held_port}", reports=True)
    wait_until(lambda: len(load.records()) >= 60, "failed requests")
    load.stop()
    assert_reports_agree_with_the_record(load)


def test_when_it_ends_in_its_first_second(serve: Callable[..., Server], start: Callable[..., Load]) -> None:
    server = serve()
    load = start(server.url, reports=True)
    wait_until(lambda: server.count, "the first request")
    load.stop()
    assert_reports_agree_with_the_record(load)


def test_with_the_web_ui(serve: Callable[..., Server], start: Callable[..., Load]) -> None:
    server = serve()
    load = start(server.url, reports=True, web_ui_port=free_port())
    wait_until(lambda: server.count >= 60, "requests")
    load.stop()
    assert len(load.records()) == server.count
    assert_reports_agree_with_the_record(load)


def test_the_history_holds_each_second_and_each_route(serve: Callable[..., Server], start: Callable[..., Load]) -> None:
    server = serve()
    load = start(server.url, reports=True, routes="/=1,/a=1")
    wait_until(lambda: server.count and time.time() > server.arrivals[0] + 3.2, "three seconds of load")
    load.stop()
    seconds = collections.defaultdict(set)
    for row in rows(load.folder, "stats_history"):
        seconds[int(row["Timestamp"])].add(row["Name"])
    assert len(seconds) >= 4
    assert list(seconds.values())[-1] == {"/", "/a", "Aggregated"}
    assert sorted(seconds) == list(seconds)
    assert len(html_data(load.folder)["history"]) >= 3


def test_the_reports_survive_a_second_signal(serve: Callable[..., Server], start: Callable[..., Load]) -> None:
    server = serve(delay=0.5)
    load = start(server.url, reports=True)
    wait_until(lambda: server.count >= 60, "requests")
    assert load.pid is not None
    os.kill(load.pid, signal.SIGTERM)
    wait_until(lambda: "Shutting down" in (load.folder / "locust.log").read_text(), "the first signal's end")
    load.stop()
    assert len(load.records()) == server.count
    assert_reports_agree_with_the_record(load)


@pytest.fixture
def held_port() -> Iterator[int]:
    """Bound, but not listening: nobody else can answer there."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
