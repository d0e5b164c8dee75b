"""Locust's web UI as a person uses it, in headless Chromium: start a load from the form, watch the chart, change it, stop it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from load_support import Server, wait_until

from harness.load import LOCUSTFILE, Load
from harness.supervisor.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LABELS = [
    "Requests Per Second (total of all users",
    "Shape (how the rate changes",
    "Ramp From (requests per second",
    "Period Seconds (how long",
    "Amplitude (requests per second",
    "Spike To (requests per second",
    "Spike At Seconds (",
    "Spike For Seconds (",
    "Routes (weighted",
    "Header (sent along",
    "Header Share (percent",
    "Host Header (",
]

# The rows of the chart, as shares of its height from the bottom, that hold the green of the line RPS; the legend is left out.
GREEN_ROWS = """canvas => {
    const {width, height} = canvas, top = Math.floor(height * 0.25);
    const pixels = canvas.getContext('2d').getImageData(0, top, width, height - top).data;
    const rows = new Set();
    for (let i = 0; i < pixels.length; i += 4) {
        if (Math.abs(pixels[i]) < 40 && Math.abs(pixels[i + 1] - 202) < 25 && Math.abs(pixels[i + 2] - 90) < 40) {
            rows.add(Math.floor(i / 4 / width));
        }
    }
    return rows.size / (height - top);
}"""


@pytest.fixture
def ui(serve: Callable[..., Server], tmp_path: Path) -> Iterator[tuple[str, Server]]:
    """The address of a web UI that waits for its form, and the server that it is to load."""
    server, port = serve(), free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", server.url, "--web-port", str(port)),
                *("--record", str(tmp_path / "answers.jsonl"), "--max-run-time", "240"),
            ],
            cwd=tmp_path,
            env=os.environ | {"HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: (tmp_path / "answers.jsonl").exists() or process.poll() is not None, "the start", 30)
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield f"http://127.0.0.1:{port}/", server
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page that may reach loopback only, and that fails its test when it asks for anything else."""
    context = chromium.new_context(viewport={"width": 1280, "height": 1100})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(60_000)
    yield page
    context.close()
    assert [url for url in asked if not re.match(r"http://127\.0\.0\.1:\d+/|data:|blob:|file:", url)] == []


def opened(page: Page, address: str) -> None:
    deadline = time.monotonic() + 20
    while True:  # the port opens a little after the record
        try:
            page.goto(address)
            break
        except Exception:
            assert time.monotonic() < deadline
    page.get_by_text("Custom parameters").click()


def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        page.locator(f"input[name={name}]:visible").fill(value)


def head(page: Page, label: str) -> str:
    """What stands under a label at the top of the page: Status, RPS, Users, Failures."""
    words = page.locator("header").inner_text().split()
    return words[words.index(label) + 1]


def test_start_watch_change_and_stop(ui: tuple[str, Server], page: Page, tmp_path: Path) -> None:
    address, server = ui
    opened(page, address)
    labels = [label.strip() for label in page.locator("label").all_inner_texts()]
    ours = [label for label in labels if any(label.startswith(each) for each in LABELS)]
    assert len(ours) == len(LABELS)
    assert all(label.startswith(each) for label, each in zip(ours, LABELS, strict=True))
    page.screenshot(path=tmp_path / "form.png", full_page=True)

    fill(page, userCount="60", spawnRate="60", requestsPerSecond="40", periodSeconds="4", routes="/=3,/headers=1")
    page.locator("select[name=shape]").select_option("ramp")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("tab", name="Charts").click()
    chart = page.locator("canvas").first
    chart.wait_for()
    wait_until(lambda: float(head(page, "RPS")) > 20, "requests per second in the head of the page", 60)
    wait_until(lambda: chart.evaluate(GREEN_ROWS) > 0.2, "a line that rises", 60)
    before = chart.evaluate("canvas => canvas.toDataURL()")
    wait_until(lambda: chart.evaluate("canvas => canvas.toDataURL()") != before, "a chart that moves on", 60)
    page.screenshot(path=tmp_path / "charts.png")
    assert head(page, "Status") == "RUNNING"
    assert {path for _, path, _ in server.asked} == {"/", "/headers"}

    # Changed while it runs, from the dialog behind Edit.
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_text("Custom parameters").click()
    page.screenshot(path=tmp_path / "edit.png")
    fill(page, routes="/changed")
    page.locator("button[type=submit]").click()
    wait_until(lambda: server.asked[-1][1] == "/changed", "the other route", 60)

    # With answers that take longer than the page's 2 s between two looks, it sees the load while that is being stopped.
    server.delay, sent = 3.0, server.count
    wait_until(lambda: server.count > sent + 10, "requests under way", 60)
    page.get_by_role("button", name="Stop", exact=True).click()
    wait_until(lambda: head(page, "Status") == "STOPPED", "the stop", 60)
    sent = server.count
    page.get_by_role("tab", name="Statistics").click()
    page.get_by_role("cell", name="/headers").wait_for()
    page.screenshot(path=tmp_path / "stopped.png")
    wait_until(lambda: time.time() > server.arrivals[-1] + 1, "a second without a request")
    assert server.count == sent


def test_a_form_that_cannot_be_is_answered_with_the_reason(ui: tuple[str, Server], page: Page) -> None:
    address, server = ui
    opened(page, address)
    for wrong, line in (
        ({"requestsPerSecond": "many"}, "--rps is 'many'; give a number above 0"),
        ({"requestsPerSecond": "50", "routes": "nowhere"}, "--routes: 'nowhere' is no route"),
        ({"routes": "/", "host": "http://192.0.2.1"}, "no load is sent to 192.0.2.1"),
    ):
        fill(page, **wrong)
        page.get_by_role("button", name="Start", exact=True).click()
        page.get_by_role("alert").filter(has_text=line).wait_for()
    assert server.count == 0


def test_the_html_report_shows_its_numbers_and_loads_nothing(
    page: Page, serve: Callable[..., Server], start: Callable[..., Load], tmp_path: Path
) -> None:
    server = serve()
    load = start(server.url, reports=True, routes="/=1,/headers=1")
    wait_until(lambda: server.count >= 250, "five seconds of load")
    load.stop()
    page.goto((load.folder / "locust.html").as_uri())
    total = page.get_by_role("row").filter(has_text="Aggregated").first
    total.wait_for()
    assert str(server.count) in total.inner_text().split()
    chart = page.locator("canvas").first
    wait_until(lambda: chart.evaluate(GREEN_ROWS) > 0, "the line of the chart")
    page.screenshot(path=tmp_path / "report.png", full_page=True)
