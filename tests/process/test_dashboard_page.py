"""The live page in headless Chromium, over a release that tests make up: what it shows, and what it does not let happen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dashboard_world as world
import pytest

from harness.dashboard.model import Measured, Objects, page
from harness.dashboard.promises import read_gate
from harness.dashboard.server import listen
from harness.errors import UsageError
from harness.platforms import Part

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


class Fake:
    """A page's source that a test changes as it likes."""

    def __init__(self) -> None:
        self.objects, self.measured, self.parts = world.objects(), world.measured(), list(world.PARTS)
        self.logs = {"argo-rollouts": ["first", EVIL], "pod/webapp/a b/0": ["from the pod"]}

    def state(self) -> dict[str, Any]:
        gate = read_gate(self.objects.templates)
        return page(self.objects, self.measured, gate, self.parts, self.logs, now=world.NOW)

    def log(self, name: str) -> list[str] | None:
        return self.logs.get(name)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def address(fake: Fake) -> Iterator[str]:
    server = listen(fake, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def shown(chromium: Browser, address: str) -> Iterator[Page]:
    """The page, which may ask for nothing but its own server, and must not say a word in the console."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page, asked, said = context.new_page(), list[str](), list[str]()
    page.set_default_timeout(60_000)
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    page.get_by_role("table").wait_for()
    yield page
    context.close()
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    assert said == []


def test_it_shows_the_release_and_moves_with_it(fake: Fake, shown: Page, tmp_path: Path) -> None:
    assert shown.locator("#phase").inner_text() == "webapp: Progressing"
    assert shown.locator("#weights").inner_text().split("\n") == ["stable v1.0 70 %", "canary v1.1 30 %"]
    canary = shown.get_by_role("row").filter(has_text="v1.1").inner_text()
    for words in ("canary", "15.0", "30.0 %", "94.88 %", "5.12 %", "broken (promised < 1 %)", "kept (promised ≥ 95 %)"):
        assert words in canary, canary
    assert "success-rate = 0.9978 Successful" in shown.locator("#tree").inner_text()
    assert shown.get_by_role("img").get_attribute("aria-label") == "Share of the requests now: v1.0 70 %, v1.1 30 %"
    shown.screenshot(path=tmp_path / "laptop.png", full_page=True)

    fake.objects = world.objects(
        rollout=world.rollout(phase="Degraded", message="RolloutAborted: it was aborted", abort=True),
        analysis_runs=(world.analysis("Failed", "0.95"),), virtual_service=world.virtual_service(0),
    )  # fmt: skip
    shown.get_by_text("webapp: Degraded").wait_for()
    shown.get_by_text("success-rate = 0.95 Failed").wait_for()
    assert shown.locator("#weights").inner_text().strip() == "stable v1.0 100 %"
    assert "0 % · Degraded" in shown.title()


def test_what_comes_from_outside_is_text(fake: Fake, shown: Page) -> None:
    fake.objects = world.objects(
        rollout=world.rollout(message=EVIL), pods=(world.pod(world.STABLE, EVIL), world.pod(world.CANARY, "v1.1")),
        analysis_runs=(world.analysis("Failed", EVIL, name=EVIL),),
    )  # fmt: skip
    fake.parts = [Part(name=EVIL, well=False, told=EVIL, url="javascript:document.title='owned'")]
    instant = {key: (world.sample(EVIL, EVIL, 1), world.sample(world.STABLE, "v1.0", 1)) for key in fake.measured.instant}
    fake.measured = replace(fake.measured, instant=instant)
    shown.locator("#message").filter(has_text="onerror").wait_for()
    shown.locator("#lines").filter(has_text="onerror").wait_for()
    shown.locator("#versions").filter(has_text="onerror").wait_for()
    shown.locator("#parts").filter(has_text="onerror").wait_for()
    assert shown.locator("body img, body script").count() == 0
    assert shown.locator("#parts a").count() == 0
    assert "owned" not in shown.title()


def test_a_part_that_is_not_well_comes_first_and_in_words(fake: Fake, shown: Page) -> None:
    shown.get_by_text("All 2 are well.").wait_for()
    fake.parts.append(Part(name="prometheus", well=False, told="component prometheus died: killed by SIGKILL"))
    shown.get_by_text("1 of 3 are not well.").wait_for()
    first = shown.locator("#parts li").first.inner_text()
    assert "prometheus not well" in first
    assert "SIGKILL" in first
    assert shown.get_by_role("link", name="Prometheus API").get_attribute("href") == world.PARTS[1].url


def test_another_log_can_be_read(fake: Fake, shown: Page) -> None:
    shown.locator("#lines").filter(has_text="first").wait_for()
    shown.locator("#log").select_option("pod/webapp/a b/0")
    shown.locator("#lines").filter(has_text="from the pod").wait_for()
    fake.logs["pod/webapp/a b/0"].append("and more")
    shown.locator("#lines").filter(has_text="and more").wait_for()


def test_nothing_installed_says_what_to_do(fake: Fake, shown: Page) -> None:
    fake.objects, fake.measured = Objects(rollout=None), Measured(instant={})
    shown.get_by_text("no release is installed").wait_for()
    shown.get_by_text("No version has answered").wait_for()


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_it_fits_every_screen_in_light_and_dark(chromium: Browser, address: str, width: int, tmp_path: Path) -> None:
    for scheme in ("light", "dark"):
        context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        page.locator("#versions table").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, back[4:-1].split(","))) > 380) == (scheme == "light")
        page.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)
        context.close()


def test_a_page_whose_server_has_gone_says_so(chromium: Browser) -> None:
    server = listen(Fake(), 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    page = chromium.new_page()
    page.set_default_timeout(60_000)
    try:
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.locator("#versions table").wait_for()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    page.get_by_text("no data for").wait_for()
    page.close()


def test_a_port_that_is_taken_is_one_line(address: str) -> None:
    port = int(address.split(":")[2].strip("/"))
    with pytest.raises(UsageError, match=f"--port {port}: 127.0.0.1:{port} is taken"):
        listen(Fake(), port)
