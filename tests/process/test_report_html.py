"""The HTML report in a real browser: it loads nothing, fits a laptop and a phone, is readable, and can be used by keyboard."""

from __future__ import annotations

import http.server
import itertools
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.report import render_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from report_worlds import report

NAMES = ("promote", "rollback", "looks away", "crash", "nothing")
LAPTOP, PHONE = (1280, 800), (390, 844)

CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = text => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => { for (; node; node = node.parentElement) { const c = rgba(getComputedStyle(node).backgroundColor);
    if (c[3] === 255) return c; } return [255, 255, 255, 255]; };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !node.getClientRects().length || node.closest(".skip,title,desc")) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(rgba(node.closest("svg.plot") ? style.fill : style.color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} <${node.tagName}> ${walker.currentNode.textContent.trim()}`);
  }
  return poor;
}"""
"""Every text that is shown, and whose contrast with what is behind it is less than WCAG's 4.5 to 1."""

OVERLAPS = """() => {
  const found = [];
  for (const plot of document.querySelectorAll("svg.plot")) {
    if (!plot.getClientRects().length) continue;
    const box = plot.getBoundingClientRect();
    const texts = [...plot.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
    for (const [i, [name, a]] of texts.entries()) {
      if (a.left < box.left - 1 || a.right > box.right + 1) found.push(`${name} is cut off`);
      for (const [other, b] of texts.slice(i + 1)) {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 2 && high > 4) found.push(`${name} and ${other}`);
      }
    }
  }
  return found;
}"""
"""Labels of plots that lie on each other, or are cut off at the plot's edge."""


@dataclass
class Site:
    """A folder served on loopback, and what was asked of it."""

    url: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("reports")
    for name in NAMES:
        (folder / f"{name.replace(' ', '-')}.html").write_text(render_html(report(name)), encoding="utf-8")
    site = Site(url="")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            site.asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def opened(chromium: Browser, site: Site) -> Iterator[Any]:
    """Opens a report in a fresh context; afterwards nothing may have been complained about or asked for."""
    contexts, told, asked = [], [], []

    def open_page(name: str, size: tuple[int, int] = LAPTOP, scheme: str = "light", **more: Any) -> Page:
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **more)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{site.url}/{name.replace(' ', '-')}.html", wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert told == []
    assert [url for url in asked if not url.endswith(".html") and not url.startswith("data:")] == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_it_fits_and_asks_for_nothing(opened: Any, site: Site, name: str, size: tuple[int, int]) -> None:
    site.asked.clear()
    page = opened(name, size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert site.asked == [f"/{name.replace(' ', '-')}.html"]
    assert page.evaluate("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0


def test_the_policy_is_in_force(chromium: Browser, site: Site) -> None:
    page = chromium.new_page()
    page.goto(f"{site.url}/promote.html")
    site.asked.clear()
    # An image, a style sheet and a script, all from the page's own origin; the policy refuses each.
    page.evaluate("""() => { for (const [tag, key] of [["img", "src"], ["link", "href"], ["script", "src"]]) {
        const node = document.createElement(tag);
        node.rel = "stylesheet"; node[key] = "/evil"; document.head.append(node);
    } }""")
    page.wait_for_function("() => document.querySelector('img').complete")
    assert page.evaluate("getComputedStyle(document.querySelector('section')).borderRadius") == "10px"
    page.close()
    assert site.asked == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(opened: Any, name: str, size: tuple[int, int], scheme: str) -> None:
    page = opened(name, size, scheme)
    assert page.evaluate(CONTRAST) == []
    if scheme == "light":
        assert page.evaluate(OVERLAPS) == []


def test_dark_is_dark(opened: Any) -> None:
    back = "getComputedStyle(document.body).backgroundColor"
    backs = [opened("promote", scheme=scheme).evaluate(back) for scheme in ("light", "dark")]
    assert backs == ["rgb(246, 247, 249)", "rgb(16, 19, 24)"]


def test_each_size_shows_its_own_drawing_once(opened: Any) -> None:
    for size, css in ((LAPTOP, "wide"), (PHONE, "narrow")):
        shown = opened("rollback", size).evaluate(
            "[...document.querySelectorAll('svg.plot')].filter(e => e.getClientRects().length).map(e => e.classList[1])"
        )
        assert shown == [css] * 4


def test_headings_tables_and_drawings_have_names(opened: Any) -> None:
    page = opened("rollback")
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.evaluate("[...document.querySelectorAll('table')].filter(t => !t.caption?.textContent.trim()).length") == 0
    for image in page.get_by_role("img").all():
        assert image.evaluate("e => e.querySelector('title').textContent.length") > 10
    assert page.get_by_role("img", name="Failed requests, by who answered").count() == 1
    named = {section.get_attribute("aria-labelledby") for section in page.get_by_role("region").all()}
    assert named >= {"decision-title", "again-title"}


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_the_checks_stay_a_table_for_a_screen_reader(opened: Any, size: tuple[int, int]) -> None:
    table = opened("looks away", size).locator("#checks").get_by_role("table")
    checks = report("looks away").verdict.checks
    assert table.get_by_role("rowheader").count() == len(checks)
    assert table.get_by_role("columnheader").count() == 4


def test_the_keyboard_reaches_everything_that_opens(opened: Any) -> None:
    page = opened("rollback")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.id === 'main'")
    summary = page.locator("#analyses summary").first
    summary.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#analyses details').open")
    assert "http_server_request_duration_seconds_count" in page.locator("#analyses pre").first.inner_text()
    assert summary.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"


def test_print_is_black_on_white_and_whole(opened: Any) -> None:
    page = opened("rollback", scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.evaluate(CONTRAST) == []
    assert len(page.pdf(format="A4")) > 10_000
