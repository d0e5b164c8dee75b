"""What came of a matrix: each scenario set against what was expected, the exit code, the table, JSON and JUnit XML."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree as ET

import pytest
import verdict_world as w
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml
from verdict_mutations import drop_record, set_value

from harness.campaign.lanes import Done, Job, LaneFacts
from harness.errors import HarnessError, Inconclusive, PlatformError, UsageError
from harness.matrix import play as play_module
from harness.matrix import render
from harness.matrix.model import Entry, Expect, Result, Status, assess, exit_code
from harness.matrix.parse import parse
from harness.matrix.play import Play, refuse_bad_values
from harness.platforms import Endpoints
from harness.run import Options
from harness.scenario import failure
from harness.verdict import Verdict, judge


def entry(line: str) -> Entry:
    (made,) = parse(f"defaults: {{window: 20}}\nscenarios: [{{name: one, {line}}}]", file="m.yaml").entries
    return made


def verdict(world: w.World) -> Verdict:
    return judge(world.scenario, world.observation())


def starved() -> w.World:
    world = w.good_rollback()
    drop_record(world, lambda record: round(record["started"] * w.RPS) % 3 != 0)
    return world


def wrong() -> w.World:
    """Broken connections, which the gate could not see, and so promoted."""
    world = w.good_promote(failure(fault="reset", window_seconds=w.WINDOW, rps=w.RPS), error_every=20)
    for record in world.records:
        if record["status"] == 500:
            record.update(status=503, version=None, pod=None, error="HTTP 503")
    world.facts["gateway_statuses"] = frozenset({503})
    for run in range(3):
        for name, value in (("success-rate", "[1]"), ("error-rate", "[0]")):
            set_value(world, name, value, run)
    return world


PROMOTE, ROLLBACK, BLIND = entry("fault: none"), entry("fault: error"), entry("fault: prometheus-down")
RESET = entry("fault: reset")


@pytest.mark.parametrize(
    ("expected", "made", "status"),
    [
        (PROMOTE, lambda: verdict(w.good_promote()), Status.AS_EXPECTED),
        (ROLLBACK, lambda: verdict(w.good_rollback()), Status.AS_EXPECTED),
        (ROLLBACK, lambda: verdict(starved()), Status.INCONCLUSIVE),
        (ROLLBACK, lambda: None, Status.INCONCLUSIVE),
        (BLIND, lambda: verdict(w.good_promote()), Status.OTHERWISE),
        (BLIND, lambda: verdict(w.good_rollback()), Status.OTHERWISE),
        # Inconclusive, but for want of load: nobody noticed that Prometheus was down.
        (BLIND, lambda: verdict(starved()), Status.INCONCLUSIVE),
        (BLIND, lambda: None, Status.INCONCLUSIVE),
        (entry("expect: inconclusive"), lambda: verdict(starved()), Status.AS_EXPECTED),
        (entry("expect: inconclusive, because: [offered load]"), lambda: verdict(starved()), Status.AS_EXPECTED),
        (entry("expect: inconclusive, because: [prometheus]"), lambda: verdict(starved()), Status.INCONCLUSIVE),
    ],
)
def test_each_outcome_against_each_expectation(expected: Entry, made: Callable[[], Verdict | None], status: Status) -> None:
    result = assess(expected, made(), Inconclusive("the Rollout was deleted"), seconds=3.0)
    assert result.status is status, result.summary
    assert (result.decision == "none") is (made() is None)


def test_another_decision_is_told_with_the_checks_that_failed() -> None:
    result = assess(RESET, verdict(wrong()), None, seconds=3.0)
    assert result.status is Status.OTHERWISE
    assert "decision" in {check.name for check in result.failed}
    assert result.decision == "promoted"


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ("", 0), ("AAA", 0), ("AIA", 3), ("AIO", 1), ("O", 1), ("I", 3),
    ],
)  # fmt: skip
def test_the_exit_code(statuses: str, code: int) -> None:
    found = {"A": Status.AS_EXPECTED, "O": Status.OTHERWISE, "I": Status.INCONCLUSIVE}
    assert exit_code(Result(entry=PROMOTE, status=found[each], decision="none", summary="") for each in statuses) == code


def some_results() -> list[Result]:
    return [
        assess(PROMOTE, verdict(w.good_promote()), None, seconds=61.25, report="reports/one/report.txt"),
        assess(RESET, verdict(wrong()), None, seconds=30.0, report="reports/two/report.txt"),
        assess(ROLLBACK, verdict(starved()), None, seconds=31.0, again=True),
        assess(BLIND, None, PlatformError("helm did not end"), seconds=1.0),
    ]


def test_the_table_says_what_is_not_as_expected() -> None:
    text = render.table(some_results())
    rows = text.splitlines()
    assert rows[2].split() == ["one", "promote", "promoted", "as", "expected", "61"]
    assert "decided otherwise" in rows[3]
    assert "inconclusive (second attempt, alone)" in rows[4]
    assert "one: no verdict: helm did not end" in rows
    assert "  report: reports/two/report.txt" in rows
    assert "reports/one" not in text
    assert render.summary(some_results(), seconds=99.6, ran="2 at once") == (
        "4 scenarios in 100 s (2 at once): 1 as expected, 1 decided otherwise, 2 inconclusive"
    )


def test_the_json_has_what_a_program_needs() -> None:
    told = json.loads(json.dumps(render.to_json(some_results(), file="m.yaml", seconds=99.64, ran="alone")))
    assert (told["exit_code"], told["seconds"], told["file"], told["missing"]) == (1, 99.6, "m.yaml", 0)
    first, second, third, _ = told["scenarios"]
    assert (first["status"], first["decision"], first["failed_checks"]) == ("as_expected", "promoted", [])
    assert second["fault"] == {"kind": "reset", "settings": {"reset_rate": 5.0}}
    assert {"name", "kind", "expected", "actual"} == set(second["failed_checks"][0])
    assert third["second_attempt"] is True
    assert render.to_json(some_results()[:1], file="m", seconds=1, ran="", missing=3)["exit_code"] is None


def test_junit_has_one_case_for_each_scenario() -> None:
    text = render.to_junit(some_results(), file="m.yaml")
    suites = cast("Any", JUnitXml.fromstring(text.split("\n", 1)[1]))
    assert (suites.tests, suites.failures, suites.errors) == (4, 1, 2)
    (suite,) = suites
    cases = list(suite)
    assert [len(case.result) for case in cases] == [0, 1, 1, 1]
    assert cases[0].time == 61.25
    assert "decision: expected rolled back; promoted" in cases[1].result[0].text
    assert cases[3].result[0].message == "no verdict: helm did not end"
    # The order that JUnit's schema wants: properties, then the result, then what was printed.
    assert [child.tag for child in ET.fromstring(text).findall(".//testcase")[1]] == ["properties", "failure", "system-out"]


@given(message=st.text(), file=st.text())
def test_junit_is_xml_whatever_is_told(message: str, file: str) -> None:
    result = assess(PROMOTE, None, PlatformError(message), seconds=1.0, report=message)
    assert ET.fromstring(render.to_junit([result], file=file).encode()).find(".//testcase/error") is not None


class Platform:
    name = "local"

    def facts(self) -> dict[str, str]:
        return {"argo-rollouts": "1.10.2"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], int | None]]:
    """run_jobs, replaced: what it was called with. A scenario named `starved` has too little load unless it runs alone."""
    seen: list[tuple[list[str], int | None]] = []

    def run_jobs(jobs: Iterable[Job], *_: Any, lanes: int | None, finished: Callable[[Done], None], **__: Any) -> LaneFacts:
        jobs = list(jobs)
        seen.append(([job.key for job in jobs], lanes))
        for job in jobs:
            job.report_dir.mkdir(parents=True, exist_ok=True)
            error: HarnessError | None = None
            world = w.good_promote() if job.key == "healthy" else w.good_rollback()
            if job.key.startswith("starved") and lanes != 1:
                world = starved()
            made = judge(world.scenario, world.observation())
            finished(Done(job=job, observation=world.observation(), verdict=made, error=error, seconds=1.0))
        return LaneFacts(lanes_at_most=lanes or 2, bounded_by="CPU", seconds=1.0)

    monkeypatch.setattr(play_module, "run_jobs", run_jobs)
    return seen


def played(text: str, tmp_path: Path, *, lanes: int | None) -> tuple[Play, str, list[str]]:
    said: list[str] = []
    play = Play(
        entries=parse(text, file="m.yaml").entries, options=Options(chart=tmp_path, report_dir=tmp_path, cache=tmp_path),
        platform=cast("Any", Platform()), say=said.append, finished=lambda _: None,
    )  # fmt: skip
    return play, play.run(cast("Endpoints", None), lanes=lanes), said


TABLE = """
defaults: {window: 20}
scenarios:
  - {name: bad, fault: error}
  - {name: starved, fault: error}
  - {name: healthy}
  - {name: by itself, fault: error, alone: true}
"""


def test_those_that_must_be_alone_are_and_what_was_starved_gets_another_chance(
    calls: list[tuple[list[str], int | None]], tmp_path: Path
) -> None:
    play, ran, said = played(TABLE, tmp_path, lanes=None)
    assert calls == [(["healthy", "bad", "starved"], None), (["by-itself", "starved"], 1)]
    assert ran == "up to 2 at once, bounded by CPU; 2 alone"
    assert [(result.entry.name, result.status, result.again) for result in play.results] == [
        ("bad", Status.AS_EXPECTED, False), ("starved", Status.AS_EXPECTED, True), ("healthy", Status.AS_EXPECTED, False),
        ("by itself", Status.AS_EXPECTED, False),
    ]  # fmt: skip
    assert len(said) == 1
    assert said[0].startswith("starved: starved by the machine (")
    assert (tmp_path / "bad" / "report.json").is_file()
    assert play.results[0].report == str(tmp_path / "bad" / "report.txt")


def test_with_one_lane_nothing_is_tried_twice(calls: list[tuple[list[str], int | None]], tmp_path: Path) -> None:
    text = "defaults: {window: 20}\nscenarios: [{name: starved, fault: error}]"
    monkey = played(text, tmp_path, lanes=1)[0]
    assert calls == [(["starved"], 1)]
    assert [result.again for result in monkey.results] == [False]


def test_what_is_to_be_inconclusive_is_not_tried_again(calls: list[tuple[list[str], int | None]], tmp_path: Path) -> None:
    text = "defaults: {window: 20}\nscenarios: [{name: starved, fault: error, expect: inconclusive}]"
    play, *_ = played(text, tmp_path, lanes=2)
    assert len(calls) == 1
    assert play.results[0].status is Status.AS_EXPECTED
    assert play.results[0].entry.expect is Expect.INCONCLUSIVE


def test_values_are_tried_once_each_before_anything_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried: list[Any] = []

    def refuse(_: Any, options: Options, __: Any) -> None:
        tried.append(options.user_values)
        if options.user_values.get("slo", {}).get("p95Ms") == 301:
            raise UsageError("slo.p95Ms (301) is none of the app's histogram bounds")

    monkeypatch.setattr(play_module, "refuse_bad_chart", refuse)
    table = parse("matrix: {rps: [1, 2], values: [{}, {slo.p95Ms: 301}]}", file="m.yaml")
    options = Options(chart=tmp_path, report_dir=tmp_path, cache=tmp_path)
    problems = refuse_bad_values(table.entries, options, cast("Any", Platform()), file="m.yaml")
    assert problems == ["m.yaml: scenario 'rps=1 slo.p95Ms=301': slo.p95Ms (301) is none of the app's histogram bounds"]
    assert tried == [{}, {"slo": {"p95Ms": 301}}]
