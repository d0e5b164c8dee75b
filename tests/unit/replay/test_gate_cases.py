"""Files of cases, and the AnalysisRuns that manifests lead to."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from harness.errors import UsageError
from harness.lint.source import documents
from harness.replay.analysis import Invalid, Measurement, Outcome, Tally, metric_of
from harness.replay.cases import Expected, Result, read
from harness.replay.notation import Unreadable
from harness.replay.render import junit, misses, right, same_value, summary, text
from harness.replay.subjects import Subject, check_args, metrics_of, subjects, with_args

FILE = """\
interval: 15s
args: {hash: abc, least: 5}
series:
  - {series: up, values: 1x4}
  - {series: down, values: 0}
at: 60s
cases:
  - name: as it is
    expect: {phase: Successful, metrics: {ok: Successful, other: {value: 0.5}}}
  - name: down as well
    series: [{series: down, values: 1 1}]
    args: {least: 7}
    at: 1m30s
"""


def test_a_case_takes_what_is_common_and_puts_its_own_in_its_place() -> None:
    first, second = read(FILE)
    assert [[value for _, value in each.samples] for each in first.series] == [[1.0] * 5, [0.0]]
    assert [[value for _, value in each.samples] for each in second.series] == [[1.0] * 5, [1.0, 1.0]]
    assert [at for at, _ in second.series[1].samples] == [0, 15_000]
    assert (first.at_ms, second.at_ms) == (60_000, 90_000)
    assert (first.args, second.args) == ({"hash": "abc", "least": "5"}, {"hash": "abc", "least": "7"})
    assert (first.phase, first.metrics) == ("Successful", {"ok": Expected(phase="Successful"), "other": Expected(value="0.5")})


def test_numbers_are_the_text_that_they_are() -> None:
    (case,) = read("interval: 1s\nseries: [{series: up, values: 0x12}]\nargs: {a: 1.50, b: 0x10, c: yes, d: 1_000}\n")
    assert [value for _, value in case.series[0].samples] == [0.0] * 13  # YAML would read eighteen
    assert case.args == {"a": "1.50", "b": "0x10", "c": "yes", "d": "1_000"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"), ("- 1", "object"), ("serie: []", "serie"), ("cases: []", "cases"), ("cases: [{}]", "name"),
        ("interval: 0", "interval"), ("interval: soon", "interval"),
        ("at: -5", "at"), ("a: [", "line 1"), ("at: 1\nat: 2", "twice"),
        ("series: [{series: up, values: 1 x}]", "series[0]"), ("series: [{series: 'up[5m]', values: 1}]", "series[0]"),
        ("series: [{series: up, values: 1}, {series: up, values: 2}]", "twice"),
        ("cases: [{name: a}, {name: a}]", "two cases"), ("cases: [{name: a, expect: {phase: Running}}]", "Running"),
        ("cases: [{name: a, series: [{series: up, values: bad}]}]", "case 'a'"), ("cases: [{name: a, expect: {}}]", "expect"),
        ("cases: [{name: a, expect: {metrics: {m: {value: much}}}}]", "much"),
    ],
)
def test_what_is_no_file_of_cases_is_told_in_one_line(text: str, part: str) -> None:
    with pytest.raises(Unreadable) as told:
        read(text)
    assert part in str(told.value)
    assert "\n" not in str(told.value)


def template(name: str = "slo", args: Any = (), dry: Any = (), metric: str = "ok") -> dict[str, Any]:
    spec = {
        "args": list(args), "dryRun": [{"metricName": each} for each in dry],
        "metrics": [{"name": metric, "provider": {"prometheus": {"query": 'up{h="{{ args.hash }}"}'}}}],
    }
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": name}, "spec": spec}


def rollout(*steps: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "app", "namespace": "shop"},
        "spec": {"strategy": {"canary": {"steps": [{"analysis": each} for each in steps]}}},
    }


def found(*objects: dict[str, Any]) -> list[Subject]:
    return subjects(documents("x", yaml.safe_dump_all(objects)))


def test_a_template_that_nobody_runs_is_a_run_of_its_own() -> None:
    (only,) = found(template(args=[{"name": "hash", "value": "abc"}]))
    assert metrics_of(only)[0].spec["provider"]["prometheus"]["query"] == 'up{h="abc"}'


def test_what_a_rollout_puts_together_is_one_run() -> None:
    step = {"templates": [{"templateName": "slo"}, {"templateName": "more"}], "args": [{"name": "hash", "value": "xyz"}]}
    dry = {**step, "dryRun": [{"metricName": "other"}]}
    objects = [template(args=[{"name": "hash"}]), template("more", metric="other"), template("alone", metric="third")]
    runs = found(*objects, rollout(step, step, dry))
    assert [each.name for each in runs] == ["slo + more", "slo + more", "alone"]
    assert [[each.dry_run for each in metrics_of(run)] for run in runs[:2]] == [[False, False], [False, True]]
    assert runs[0].args == {"hash": "xyz"}


def test_the_hash_that_a_release_would_fill_in_has_to_be_given() -> None:
    step = {"templates": [{"templateName": "slo"}], "args": [{"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}}]}
    (run,) = found(template(args=[{"name": "hash", "value": "default"}]), rollout(step))
    with pytest.raises(UsageError, match="--arg hash="):
        metrics_of(run)
    assert metrics_of(with_args(run, {"hash": "abc"}))


def test_the_rollouts_own_name_and_namespace_are_known() -> None:
    passed = [{"name": "hash", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.{part}"}}} for part in ("name", "namespace")]
    steps = [{"templates": [{"templateName": "slo"}], "args": [each]} for each in passed]
    assert [each.args["hash"] for each in found(template(args=[{"name": "hash"}]), rollout(*steps))] == ["app", "shop"]


def test_an_argument_that_no_template_has_is_refused() -> None:
    with pytest.raises(UsageError, match="hsah"):
        check_args(found(template(args=[{"name": "hash"}])), {"hsah": "x"})


@pytest.mark.parametrize(
    "objects", [[template()], [template(args=[{"name": "hash", "value": "a"}], dry=["other"])]], ids=["undeclared", "dry run"]
)
def test_what_would_measure_nothing_is_invalid(objects: list[dict[str, Any]]) -> None:
    with pytest.raises(Invalid):
        metrics_of(found(*objects)[0])


def result(phase: str, value: str, **case: Any) -> Result:
    tally = Tally(metric=metric_of({"name": "ok", "provider": {"prometheus": {}}}))
    tally.add(Measurement(at_ms=60_000, phase=phase, value=value))
    tally.assess()
    (given,) = read(yaml.safe_dump({"cases": [{"name": "c", **case}]}))
    return Result(case=given, subject="slo", outcome=Outcome(phase=phase, reason="why", at_ms=60_000, tallies=(tally,)))


@pytest.mark.parametrize(
    ("expect", "count"),
    [
        ({"phase": "Failed"}, 0), ({"phase": "Successful"}, 1), ({"metrics": {"ok": "Failed"}}, 0),
        ({"metrics": {"ok": "Error"}}, 1),
        ({"metrics": {"ok": {"value": 0.05}}}, 0), ({"metrics": {"ok": {"value": [0.05]}}}, 0),
        ({"metrics": {"ok": {"value": 0.051}}}, 1), ({"metrics": {"ok": {"value": None}}}, 1), ({"metrics": {"ok": "none"}}, 1),
        ({"phase": "Successful", "metrics": {"ok": {"phase": "Error", "value": 1}}}, 3),
    ],
)
def test_what_was_missed(expect: dict[str, Any], count: int) -> None:
    made = result("Failed", "[0.05]", expect=expect)
    assert len(misses(made)) == count
    assert right([made]) == (count == 0)
    assert (b"<failure" in junit([made])) == (count > 0)
    assert text([made]).startswith("FAIL" if count else "ok")


def test_without_an_expectation_success_is_expected() -> None:
    assert right([result("Successful", "[1]")])
    assert not right([result("Successful", "[1]"), result("Failed", "[0]")])
    assert b"<failure" in junit([result("Inconclusive", "[0]")])
    assert summary([result("Failed", "[0]")]) == "1 analysis run: 0 Successful"
    # Beside one with an expectation, it is only shown.
    assert right([result("Failed", "[0]"), result("Failed", "[0]", expect={"phase": "Failed"})])


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [("0.05", "[0.05]", True), ("[]", "[]", True), ("[]", "", False), ("NaN", "[NaN]", True), ("[1,2]", "[2,1]", False),
     ("0.3", "[0.30000000000000004]", True), ("+Inf", "[+Inf]", True), ("1", "[]", False), ("word", "[1]", False)],
)
def test_values(one: str, other: str, equal: bool) -> None:
    assert same_value(one, other) is equal
