"""The report: its JSON keeps its schema, its text tells the same."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import report_worlds
import verdict_world as w
from verdict_cases import CASES, P

from harness.report import PlatformFacts, Report, build_report, render_json, render_text
from harness.verdict import judge

PLATFORM = PlatformFacts(name="local", versions={"argo-rollouts": "v1.10.2", "envoy": "1.40.0"})
WORLDS = {
    "promote": w.good_promote(),
    "rollback": w.good_rollback(),
    "nothing": w.World(scenario=w.PROMOTED_SCENARIO, end=w.START),
}


def report_of(world: w.World) -> Report:
    seen = world.observation()
    return build_report(world.scenario, seen, judge(world.scenario, seen), PLATFORM)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(files("harness.report").joinpath("report.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(loaded)
    return loaded


@pytest.mark.parametrize("name", WORLDS)
def test_json_keeps_its_schema(name: str, schema: dict[str, Any]) -> None:
    data = render_json(report_of(WORLDS[name]))
    jsonschema.validate(data, schema, format_checker=jsonschema.FormatChecker())
    assert json.loads(json.dumps(data, allow_nan=False)) == data


@pytest.mark.parametrize("name", report_worlds.WORLDS)
def test_json_tells_what_the_other_forms_need(name: str, schema: dict[str, Any]) -> None:
    told = report_worlds.report(name)
    data = render_json(told)
    jsonschema.validate(data, schema)
    assert data["reproduce"]["command"][-2:] == ["--set", "a=b c"]
    assert data["release"]["candidate"]["digest"] == "sha256:" + "b" * 64
    groups = [data["series"][name] for name in ("stable", "candidate", "nobody")]
    assert len({len(values) for group in groups for values in group.values()}) == 1
    assert sum(sum(group["requests"]) for group in groups) == data["blast_radius"]["requests"]
    assert sum(data["series"]["candidate"]["failed"]) == data["blast_radius"]["failed_by_canary"]
    assert data["candidate_pods"]["ran"] is told.observation.candidate_pods.ran
    assert data["faults_injected"] == dict(told.observation.faults_injected)


@pytest.mark.parametrize("case", CASES[::6], ids=lambda case: case.name)
def test_json_keeps_its_schema_when_things_go_wrong(case: Any, schema: dict[str, Any]) -> None:
    world = (WORLDS["promote"] if case.decision is P else WORLDS["rollback"]).clone()
    case.mutate(world)
    data = render_json(report_of(world))
    jsonschema.validate(data, schema)
    json.dumps(data, allow_nan=False)
    assert data["exit_code"] == case.code


def test_the_schema_refuses_unknown_and_missing_keys(schema: dict[str, Any]) -> None:
    data = render_json(report_of(WORLDS["promote"]))
    validator = jsonschema.Draft202012Validator(schema)
    assert not validator.is_valid(data | {"extra": 1})
    assert not validator.is_valid(data | {"exit_code": 4})
    for key in data:
        assert not validator.is_valid({name: value for name, value in data.items() if name != key}), key


def test_json_of_a_rollback() -> None:
    data = render_json(report_of(WORLDS["rollback"]))
    assert (data["outcome"], data["exit_code"], data["decision"]) == ("expected", 0, "rolled_back")
    assert data["blast_radius"]["failed_by_canary"] == data["blast_radius"]["failed"] > 0
    assert data["blast_radius"]["failed_for_other_reasons"] == 0
    assert data["times"]["detect_seconds"] == pytest.approx(21.5, abs=0.5)
    assert data["times"]["safe_seconds"] == pytest.approx(0.2, abs=0.2)
    [analysis] = data["analyses"]
    queries = {metric["name"]: metric["query"] for metric in analysis["metrics"]}
    assert set(queries) == w.PROMOTED_SCENARIO.metric_names
    assert all(w.CANDIDATE in query for query in queries.values())
    assert [step["weight"] for step in data["steps"]] == [10, 0]


def test_times_run_from_the_release() -> None:
    events = report_of(WORLDS["rollback"]).timeline
    assert [event.seconds for event in events] == sorted(event.seconds for event in events)
    asked = next(event for event in events if event.what == "release of v1.1 asked for")
    assert asked.seconds == 0
    order = [event.what for event in events if event.what.startswith("weights") or "aborted" in event.what.split(":")[0]]
    assert order[0] == "weights 90/10"
    assert "release aborted" in order


def test_text_tells_every_check_and_the_numbers() -> None:
    report = report_of(WORLDS["promote"])
    text = render_text(report)
    assert text.startswith("PASSED: success on local (exit 0)\nv1.1 was promoted, as expected")
    for check in report.verdict.checks:
        assert f"\n{check.name} " in text
    assert "share at weight 30 %    30.0 % of 1000" in text
    assert "argo-rollouts v1.10.2" in text
    assert "\x1b" not in text
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_text_shows_evidence_of_what_failed() -> None:
    world = WORLDS["rollback"].clone()
    world.samples[3].update(version="v1.1", pod=f"webapp-{w.CANDIDATE}-x0abc")
    text = render_text(report_of(world))
    assert text.startswith("FAILED: failure on local (exit 1)")
    assert f"Evidence for served afterwards:\n  v1.0 from webapp-{w.STABLE}" in text
    assert f"v1.1 from webapp-{w.CANDIDATE}-x0abc, 200" in text
    assert "FAIL " in text


def test_text_says_unknown_when_nothing_is_known() -> None:
    text = render_text(report_of(WORLDS["nothing"]))
    assert text.startswith("INCONCLUSIVE: success on local (exit 3)")
    assert "UNKNOWN" in text


def test_table_stays_within_its_width() -> None:
    lines = render_text(report_of(WORLDS["rollback"]), width=100).split("\n\n")[1].splitlines()
    assert max(map(len, lines)) <= 100
