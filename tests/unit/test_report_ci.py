"""The forms for a CI: JUnit XML and GitHub's Markdown."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as Xml

import pytest
from report_worlds import WORLDS, report

from harness.report import Report, render_junit, render_markdown
from harness.report.markdown import escape


def suites(*reports: Report) -> list[Xml.Element]:
    return Xml.fromstring(render_junit(*reports)).findall("testsuite")


@pytest.mark.parametrize("name", WORLDS)
def test_a_run_is_a_suite_and_a_check_is_a_case(name: str) -> None:
    told = report(name)
    [suite] = suites(told)
    assert [case.get("name") for case in suite.findall("testcase")] == [check.name for check in told.verdict.checks]
    bad = [case.get("name") for case in suite.findall("testcase") if {each.tag for each in case} & {"failure", "error"}]
    assert bad == [check.name for check in told.verdict.failures]
    assert (suite.get("tests"), suite.get("skipped")) == (str(len(told.verdict.checks)), "0")
    took = told.observation.ended_at - told.observation.release_started_at
    assert float(suite.get("time", "")) == pytest.approx(took, abs=0.001)


def test_a_wrong_decision_fails_and_an_experiment_that_broke_errs() -> None:
    [wrong], [broken] = suites(report("looks away")), suites(report("nothing"))
    assert int(wrong.get("failures", "0")) == len(report("looks away").verdict.failures) > 0
    assert wrong.get("errors") == broken.get("failures") == "0"
    assert int(broken.get("errors", "0")) == len(report("nothing").verdict.failures) > 0
    failure = wrong.find("testcase/failure")
    assert failure is not None
    assert (failure.text or "").startswith("expected: ")


def test_several_runs_are_several_suites() -> None:
    text = render_junit(report("promote"), report("rollback"))
    root = Xml.fromstring(text)
    assert [suite.get("name") for suite in root] == ["gateproof success", "gateproof failure"]
    assert root.get("tests") == str(sum(len(report(name).verdict.checks) for name in ("promote", "rollback")))
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ')


def test_properties_name_every_part() -> None:
    [suite] = suites(report("rollback"))
    told = {each.get("name"): each.get("value") for each in suite.findall("properties/property")}
    assert told["version.envoy"] == "1.40.0"
    assert told["decision"] == "rolled back"
    assert (told["image.candidate"] or "").endswith("b" * 64)


def test_what_xml_cannot_hold_is_replaced() -> None:
    told = report("lingering")
    checks = tuple(replace(check, actual="a\x00b\x1b[31m\ud800<&>", evidence=("\x08",)) for check in told.verdict.checks)
    [suite] = suites(replace(told, verdict=replace(told.verdict, checks=checks)))
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "a\ufffdb\ufffd[31m\ufffd<&>"


@pytest.mark.parametrize("name", WORLDS)
def test_every_row_of_markdown_has_the_cells_of_its_table(name: str) -> None:
    lines = render_markdown(report(name)).splitlines()
    width = 0
    for line in lines:
        cells = len(re.findall(r"(?<!\\)\|", line)) - 1
        if re.fullmatch(r"(\| ---)+ \||\|( --- \|)+", line):
            width = cells
        elif line.startswith("|") and width:
            assert cells == width, line
        elif not line:
            width = 0
    assert sum(line.startswith("<details>") for line in lines) == lines.count("</details>") == 3


def test_markdown_shows_what_failed_before_everything_else() -> None:
    text = render_markdown(report("lingering"))
    assert text.startswith("## ❌ FAILED: failure\n\n")
    assert text.index("| served afterwards | ❌ fail |") < text.index("<details>") < text.index("| observation | ✅ pass |")
    assert "```sh\npython -m harness failure --set 'a=b c'\n```" in text


def test_text_is_no_markup() -> None:
    assert escape("a|b\n<img> *x* `y` _z_") == r"a\|b \<img\> \*x\* \`y\` \_z\_"
    told = report("lingering")
    again = replace(told.reproduction, command=("x", "```\n## heading"))
    text = render_markdown(replace(told, reproduction=again))
    assert text.count("```") == 2
