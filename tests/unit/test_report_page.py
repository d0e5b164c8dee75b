"""The page as text: complete, escaped, the same every time, and nothing in it is loaded from anywhere."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import re
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import verdict_world as w
from report_worlds import WORLDS, report, report_on
from verdict_cases import CASES, P

from harness.report import render_html
from harness.report.html import flags, sized
from harness.verdict import Outcome

ROOT = Path(__file__).parents[2]
VOID = {"meta", "link", "br", "img", "input", "hr"}
LOADS = {"src", "srcset", "data", "poster", "action", "formaction", "background", "style"}
HOSTILE = "</title><script>alert(1)</script><img src=http://127.0.0.1/x onerror=alert(1)>'\"&"


class Page(HTMLParser):
    """Tags that are balanced, and what the page would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_page(text: str) -> Page:
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "img", "object", "embed", "base", "form"}
        assert not [name for name in attributes if name in LOADS or name.startswith("on")], (tag, attributes)
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,", "report.json")), attributes
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((attributes.get(name) or "").split()) <= set(ids)
    return page


@pytest.mark.parametrize("name", WORLDS)
def test_every_page_is_complete_and_stands_alone(name: str) -> None:
    told = report(name)
    text = render_html(told)
    check_page(text)
    for check in told.verdict.checks:
        assert f"{check.name} <small>" in text
    assert render_html(told) == text, "the same report gives the same page"
    assert not re.search(r"None|nan|Undefined", text.partition("</style>")[2])


@pytest.mark.parametrize("case", CASES[::9], ids=lambda case: case.name)
def test_pages_of_what_goes_wrong(case: object) -> None:
    world = (w.good_promote() if case.decision is P else w.good_rollback()).clone()  # type: ignore[attr-defined]
    case.mutate(world)  # type: ignore[attr-defined]
    check_page(render_html(report_on(world)))


def test_the_policy_allows_its_own_style_sheet_and_nothing_else() -> None:
    text = render_html(report("promote"))
    css = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert policy[1].startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "url(" not in css.replace("url(#hatch)", "")
    assert "@import" not in css


def test_what_comes_from_outside_is_only_text() -> None:
    told = report("lingering")
    checks = tuple(replace(check, actual=HOSTILE, evidence=(HOSTILE,)) for check in told.verdict.checks)
    seen = replace(told.observation, notes=(HOSTILE,), candidate_image=HOSTILE, namespace=HOSTILE)
    again = replace(told.reproduction, command=("harness", HOSTILE), inputs={HOSTILE: HOSTILE})
    text = render_html(
        replace(
            told, verdict=replace(told.verdict, checks=checks, summary=HOSTILE), observation=seen, reproduction=again,
            scenario=replace(told.scenario, name=HOSTILE), platform=replace(told.platform, versions={HOSTILE: HOSTILE}),
        )
    )
    check_page(text)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > len(checks)


def test_failed_checks_come_first_with_their_evidence_open() -> None:
    text = render_html(report("lingering"))
    table = text.partition('id="checks"')[2]
    assert table.index("served afterwards <small>") < table.index("observation <small>")
    assert table.count("<details open>") == len([each for each in report("lingering").verdict.failures if each.evidence])
    assert "<details open>" not in render_html(report("promote"))


@pytest.mark.parametrize(
    ("name", "headline", "sign"), [("promote", "PASSED", "✓"), ("looks away", "FAILED", "✗"), ("nothing", "INCONCLUSIVE", "?")]
)
def test_the_banner_says_it_in_words(name: str, headline: str, sign: str) -> None:
    text = render_html(report(name))
    assert f"<title>{headline}: {report(name).scenario.name}</title>" in text
    assert f'<span class="sign" aria-hidden="true">{sign}</span> {headline}</p>' in text
    assert {"PASSED": Outcome.EXPECTED, "FAILED": Outcome.OTHER_DECISION}.get(headline, Outcome.INCONCLUSIVE) is (
        report(name).verdict.outcome
    )


def test_it_tells_how_to_run_it_again_and_of_what() -> None:
    text = render_html(report("rollback"))
    assert "python -m harness failure --set &#39;a=b c&#39;" in text
    for part in ("b" * 64, "c" * 64, "argo-rollouts", "v1.10.2", "error rate: 5 %", w.CANDIDATE):
        assert part in text


def test_settings_have_units_and_options_stay_whole() -> None:
    assert sized("latency_ms", 500) == "latency: 500 ms"
    assert sized("hang_rate", 5.0) == "hang rate: 5 %"
    assert sized("crash_after_requests", 20) == "crash after requests: 20"
    assert sized("memory_kib_per_request", 256) == "memory: 256 KiB a request"
    assert str(flags("raise --rps & <go>")) == 'raise <span class="flag">--rps</span> &amp; &lt;go&gt;'


def test_what_the_renderers_read_is_packaged() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["harness.report"]
    for file in (ROOT / "harness" / "report").iterdir():
        if file.is_file() and file.suffix != ".py":
            assert any(fnmatch.fnmatch(file.name, pattern) for pattern in patterns), file.name
