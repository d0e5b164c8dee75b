"""The live page and the Grafana dashboards' queries during real releases, one promoted and one rolled back."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import grafana
import pytest
import yaml
from e2e_support import ROOT, Place, outcome, run, start, wait_until

from harness.chart import Helm
from harness.loopback import local_session

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHART = ROOT / "charts" / "webapp"
VARIABLES = {"__rate_interval": "15s", "namespace": "webapp", "app": "webapp", "period": "5m"}
WINDOW = 12
LIMIT_SECONDS = 200.0
CONTROL = {"a control": "a_metric_that_nobody_has > 0"}
"""A query that must stay without an answer: else the check that the others have one could not fail."""


@pytest.fixture
def live(platform: Place) -> Iterator[str]:
    """The address of the live page of the platform, served by the command itself."""
    process = start("dashboards", place=platform)
    assert process.stdout is not None
    try:
        lines: list[str] = []
        while not (lines and lines[-1].startswith("live page")):
            line = process.stdout.readline()
            assert line, f"the command ended: {lines} {process.communicate()}"
            lines.append(line)
        assert any("Prometheus API" in line and "200" in line for line in lines)
        yield lines[-1].split()[2]
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "the platform goes on" in out


@pytest.fixture
def page(chromium: Browser, live: str) -> Iterator[Page]:
    """The page, open, which may ask for nothing but its own server."""
    page, asked, said = chromium.new_page(viewport={"width": 1280, "height": 900}), list[str](), list[str]()
    page.set_default_timeout(60_000)
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(live)
    yield page
    page.close()
    assert [url for url in asked if not url.startswith((live, "data:"))] == []
    assert said == []


@pytest.fixture
def wanted(bin_dir: Path, tmp_path: Path) -> dict[str, str]:
    """Every query by name: of each panel, of each annotation, of each recording rule, as this platform's values render them."""
    helm = Helm(binary=bin_dir / "helm", kubeconfig=Path("/dev/null"), home=tmp_path / "helm")
    values = {"dashboards": {"enabled": True}, "rules": {"configMap": True}}
    rendered = helm.template("webapp", "webapp", CHART, values_files=(CHART / "values-local.yaml",), set_values=values)
    found: dict[str, str] = {}
    for data in (each["data"] for each in rendered if each["kind"] == "ConfigMap"):
        for name, text in data.items():
            if name.endswith(".json"):
                board = json.loads(text)
                found |= grafana.queries(board, VARIABLES)
                found |= {f"{board['uid']}: {each}": query for each, query in grafana.annotations(board, VARIABLES).items()}
            else:
                rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
                found |= {rule["record"]: rule["expr"] for rule in rules if "record" in rule}
    assert len(found) > 80
    return found


class Seen:
    """What the page said and Prometheus answered, from one look to the next."""

    def __init__(self, page: Page, prometheus: str, wanted: dict[str, str], pictures: Path) -> None:
        self._page, self._prometheus, self.empty, self._pictures = page, prometheus, wanted | CONTROL, pictures
        self.weights: list[int] = []
        self.phase = ""
        self.rates: list[tuple[str, float]] = []

    @property
    def now(self) -> tuple[int | None, str]:
        """The canary's weight in percent and the Rollout's phase, as the page last said them."""
        return (self.weights[-1] if self.weights else None), self.phase

    def look(self) -> None:
        """Note what is new, and ask each query that had no answer yet."""
        for name, query in list(self.empty.items()):
            if answered(self._prometheus, query):
                del self.empty[name]
        told = self._page.locator("#facts").inner_text()
        found = re.search(r"(\d+) % canary", told)
        if found and self.weights[-1:] != [int(found[1])]:
            self.weights.append(int(found[1]))
        self.phase = self._page.locator("#phase").inner_text().removeprefix("webapp: ")
        for row in self._page.locator("#versions tbody tr").all_inner_texts():
            version, *rest = row.split()
            role = next((each for each in rest if each in {"stable", "canary"}), "")
            numbers = [float(each) for each in rest if re.fullmatch(r"\d+\.\d", each)]
            self.rates += [(f"{version} {role}", numbers[0])] if numbers else []
        self._page.screenshot(path=self._pictures / f"{self.weights[-1] if self.weights else 'before'}.png", full_page=True)


def answered(prometheus: str, query: str) -> bool:
    """Whether Prometheus answers this query with a number. Fails when it refuses it."""
    answer = local_session().get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=10).json()
    assert answer["status"] == "success", (query, answer)
    samples = answer["data"]["result"]
    return any(math.isfinite(float(sample["value"][1])) for sample in samples)


def watched(process: subprocess.Popen[str], seen: Seen) -> None:
    """Look on until the run has ended, with the expected decision for the expected reason."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while process.poll() is None:
        assert time.monotonic() < deadline, "the run did not end"
        seen.look()
        process_wait(process)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, f"{out}\n{err}"


def looked_until(seen: Seen, page_shows: Callable[[], bool], what: str) -> None:
    """Look on after the end of a run, which may come before the page's next answer; what it released stays."""

    def shows() -> bool:
        seen.look()
        return page_shows()

    wait_until(shows, what=f"the page shows {what}", timeout=20)


def process_wait(process: subprocess.Popen[str]) -> None:
    """Until the run ends, or half a second from now."""
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        return


def test_a_canary_as_it_goes(platform: Place, page: Page, wanted: dict[str, str], tmp_path: Path) -> None:
    status = json.loads(run("status", "--output", "json", place=platform).out)
    seen = Seen(page, f"http://127.0.0.1:{status['ports']['prometheus']}", wanted, tmp_path)
    common = ("--rps", "60", "--window", str(WINDOW), "--output", "json", "--keep")

    watched(start("success", *common, place=platform), seen)
    promoted = "the promoted version as the stable one, and Healthy"
    looked_until(seen, lambda: seen.now == (0, "Healthy") and "v1.1 stable" in dict(seen.rates), promoted)
    # A weight of 100 lasts for a moment only: it may pass between two looks.
    assert [each for each in seen.weights if each != 100][:5] == [0, 10, 30, 60, 0], seen.weights
    assert {"v1.0 stable", "v1.1 canary", "v1.1 stable"} <= {who for who, _ in seen.rates}
    assert max(rate for who, rate in seen.rates if who == "v1.1 canary") > 20
    tree = page.locator("#tree").inner_text()
    assert tree.count("Successful") >= 3 * 5, tree
    assert "success-rate = 1 Successful" in tree
    page.screenshot(path=tmp_path / "promoted.png", full_page=True)

    seen.weights = []
    watched(start("failure", *common, place=platform), seen)
    looked_until(seen, lambda: seen.now == (0, "Degraded"), "the weight back at 0, and Degraded")
    assert 10 in seen.weights
    tree = page.locator("#tree").inner_text()
    assert re.search(r"error-rate = 0\.\d+ Failed", tree), tree
    page.screenshot(path=tmp_path / "rolled-back.png", full_page=True)
    assert seen.empty == CONTROL


def test_a_part_that_dies_is_not_well(place: Place, chromium: Browser) -> None:
    assert run("up", place=place).code == 0
    once = run("dashboards", "--once", place=place)
    assert once.code == 0, outcome(once)
    assert "rollout metrics" in once.out
    process = start("dashboards", "--port", "0", place=place)
    assert process.stdout is not None
    try:
        address = next(line.split()[2] for line in process.stdout if line.startswith("live page"))
        page = chromium.new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        page.get_by_text("are well.").wait_for()
        components = json.loads(run("status", "--output", "json", place=place).out)["components"]
        victim = next(each["pid"] for each in components if each["name"] == "rollout-metrics")
        subprocess.run(["kill", "-KILL", str(victim)], check=True)
        page.get_by_text("component rollout-metrics died").wait_for()
        assert run("dashboards", "--once", place=place).code == 4
        run("down", place=place)
        page.get_by_text("is not running any more").wait_for()
        page.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
