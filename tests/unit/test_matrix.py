"""A matrix file: what it means, what is refused and how, in which order it runs, and what its outcome is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import verdict_world as w
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from harness.cli import cli
from harness.faults import FAULTS
from harness.matrix.command import DEFAULT_FILE
from harness.matrix.model import EXPERIMENT_CHECKS, Entry, Expect, ordered
from harness.matrix.parse import SCHEMA_FILE, parse
from harness.scenario import Decision
from harness.verdict import Kind, judge

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


def entries(text: str) -> dict[str, Entry]:
    table = parse(text, file="m.yaml")
    assert table.problems == ()
    return {entry.name: entry for entry in table.entries}


def test_the_schema_is_one_and_knows_every_fault() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$defs"]["kind"]["enum"] == ["none", *FAULTS]


def test_the_default_matrix_has_every_fault_there_is() -> None:
    found = entries(DEFAULT_FILE.read_text(encoding="utf-8"))
    assert {entry.scenario.fault.kind for entry in found.values()} == {"none", *FAULTS}
    assert all(entry.expect.value == entry.scenario.fault.due for entry in found.values())


def test_axes_make_every_combination_but_those_left_out() -> None:
    found = entries("""
        defaults: {window: 8, values: {slo.p95Ms: 250}}
        matrix:
          fault: [none, {kind: hang, hang_rate: 20}, hang]
          rps: [20, 100.5]
          steps: [[10, 50]]
          values: [{}, {slo: {successRate: 0.999}}]
          exclude:
            - {fault: {kind: hang, hang_rate: 20}, rps: 20}
            - {fault: none, values: {slo: {successRate: 0.999}}}
    """)
    assert list(found) == [
        "none rps=20 values={}", "none rps=100.5 values={}",
        "hang hang_rate=20 rps=100.5 values={}", "hang hang_rate=20 rps=100.5 slo.successRate=0.999",
        "hang rps=20 values={}", "hang rps=20 slo.successRate=0.999",
        "hang rps=100.5 values={}", "hang rps=100.5 slo.successRate=0.999",
    ]  # fmt: skip
    one = found["hang hang_rate=20 rps=100.5 slo.successRate=0.999"]
    assert one.values == {"slo": {"p95Ms": 250, "successRate": 0.999}}
    assert (one.scenario.rps, one.scenario.steps, one.scenario.window_seconds) == (100.5, (10, 50), 8.0)
    assert one.scenario.fault.settings == {"hang_rate": 20}


def test_a_kind_left_out_is_left_out_in_every_size() -> None:
    found = entries("matrix: {fault: [none, hang, {kind: hang, hang_rate: 9}], exclude: [{fault: hang}]}")
    assert list(found) == ["none"]


@pytest.mark.parametrize("kind", FAULTS)
def test_what_is_due_comes_from_the_catalogue(kind: str) -> None:
    entry = entries(f"matrix: {{fault: [{kind}]}}")[kind]
    assert entry.expect.value == FAULTS[kind].due
    assert entry.because == ({FAULTS[kind].noticed_by} - {""})
    assert entry.scenario.expect is (Decision.ROLLBACK if FAULTS[kind].rolled_back else Decision.PROMOTE)


@pytest.mark.parametrize(
    ("fault", "due"),
    [
        ("{kind: error, error_rate: 0.5}", Expect.PROMOTE),
        ("{kind: error, error_rate: 2}", Expect.ROLLBACK),
        ("{kind: latency, latency_ms: 100}", Expect.PROMOTE),
        ("{kind: latency, latency_ms: 301}", Expect.ROLLBACK),
        ("{kind: reset, reset_rate: 0.2}", Expect.PROMOTE),
        ("{kind: prometheus-wrong, error_rate: 3}", Expect.INCONCLUSIVE),
        ("{kind: memory, memory_cap_mib: 32}", Expect.PROMOTE),
        ("{kind: crash, crash_after_requests: 5}", Expect.ROLLBACK),
    ],
)
def test_a_size_within_the_objectives_is_to_be_promoted(fault: str, due: Expect) -> None:
    (entry,) = entries(f"matrix: {{fault: [{fault}]}}").values()
    assert entry.expect is due


def test_an_expectation_of_ones_own() -> None:
    found = entries("""
        scenarios:
          - {name: a, values: {slo.errorRate: 0}, expect: rollback, because: [error-rate]}
          - {name: b, fault: error, expect: promote}
          - {name: c, expect: inconclusive, because: [offered load]}
          - {name: d, expect: inconclusive}
    """)
    assert found["a"].scenario.deciding_metrics == {"error-rate"}
    assert found["b"].scenario.expect is Decision.PROMOTE
    assert found["b"].scenario.deciding_metrics == frozenset()
    assert found["c"].because == {"offered load"}
    assert found["d"].because == frozenset()


def test_keys_are_names_for_files_and_never_meet() -> None:
    found = entries("scenarios: [{name: a b}, {name: a-b}, {name: A/B}, {name: '//'}]")
    assert [entry.key for entry in found.values()] == ["a-b", "a-b-2", "a-b-3", "scenario"]


def test_the_longest_run_first_and_equal_images_together() -> None:
    found = entries("""
        defaults: {window: 10}
        scenarios:
          - {name: e1, fault: error}
          - {name: l, fault: latency}
          - {name: long, window: 30}
          - {name: e2, fault: error, rps: 20}
          - {name: deadline, fault: bad-image}
          - {name: wrong, fault: prometheus-wrong}
          - {name: down, fault: prometheus-down}
    """)
    names = [entry.name for entry in ordered(found.values())]
    assert names[:3] == ["long", "wrong", "deadline"]
    assert abs(names.index("e1") - names.index("e2")) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file must be a mapping that has matrix or scenarios in it"),
        ("[]", "the file must be a mapping that has matrix or scenarios in it"),
        ("defaults: {}", "there is neither matrix nor scenarios in it"),
        ("a: {", "this is no YAML: .* (line 1, column 5)"),
        ("{a: 1, a: 2}", "this is no YAML: the key 'a' stands twice (line 1, column 8)"),
        ("a: &a [*a]", "an alias contains itself (line 1)"),
        ("a: 2001-01-01", "it holds what JSON could not"),
        ("1: a", "it holds what JSON could not"),
        ("matrix: {rps: [.nan]}", "it holds what JSON could not"),
        ("matrix: {fault: [gremlin]}", 'matrix.fault[1]: "gremlin" is no fault: one of none, error'),
        ("scenarios: [{name: a, windw: 3}]", "scenario 'a': \"windw\" is not known here; there are name, fault, window"),
        ("scenarios: [{fault: hang}]", "scenario number 1: 'name' is a required property"),
        ("scenarios: [{name: a, rps: fast}]", "scenario 'a': rps: 'fast' is not of type 'number'"),
        ("scenarios: [{name: a}, {name: a}]", "scenario 'a': there is another of that name"),
        ("scenarios: [{name: a, steps: [3, 2]}]", "scenario 'a': steps are [3, 2]"),
        ("scenarios: [{name: a, fault: {kind: hang, x: 1}}]", "scenario 'a': --fault hang has no setting x: it has hang_rate"),
        ("scenarios: [{name: a, fault: {kind: none, x: 1}}]", "scenario 'a': fault none has no size: x is too much"),
        ("scenarios: [{name: a, fault: {kind: hang, hang_rate: 101}}]", "scenario 'a': hang rate is 101"),
        ("scenarios: [{name: a, expect: rollback}]", "scenario 'a': a rollback is expected of it"),
        ("scenarios: [{name: a, expect: promote, because: [error-rate]}]", "scenario 'a': because goes with a rollback"),
        ("scenarios: [{name: a, fault: error, because: [speed]}]", "scenario 'a': scenario 'a' lets unknown metrics"),
        ("scenarios: [{name: a, expect: inconclusive, because: [decision]}]", "scenario 'a': because: no check decision notices"),
        ("scenarios: [{name: a, values: {slo.p95Ms: 1, slo: 2}}]", "scenario 'a': chart value slo is given twice"),
        ("matrix: {fault: [none], exclude: [{rps: 3}]}", "matrix.exclude: rps is no axis of this matrix"),
        ("matrix: {fault: [none], exclude: [{fault: hang}]}", 'matrix.exclude: nothing is like {"fault": "hang"}'),
        ("matrix: {fault: [none], exclude: [{fault: none}]}", "no scenario is left"),
    ],
)
def test_each_problem_is_one_line_that_says_where(text: str, problem: str) -> None:
    table = parse(text, file="m.yaml")
    assert table.entries == ()
    assert len(table.problems) == 1, table.problems
    line = table.problems[0]
    head, *rest = problem.split(".*")
    assert line.startswith(f"m.yaml: {head}")
    assert all(part in line for part in rest)


def test_all_problems_are_told_at_once() -> None:
    table = parse("scenarios: [{name: a, expect: maybe}, {name: b, rps: 0}, {name: c, window: 4}]", file="m.yaml")
    assert [line.split(":")[1].strip() for line in table.problems] == ["scenario 'a'", "scenario 'b'", "scenario 'c'"]


def test_aliases_that_make_much_of_little_are_refused() -> None:
    text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        text += f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    (line,) = parse(text, file="m.yaml").problems
    assert line.startswith("m.yaml: there are more than 500000 values")


WORDS = st.sampled_from([
    "defaults", "matrix", "scenarios", "exclude", "name", "fault", "kind", "window", "rps", "steps", "seed", "values", "alone",
    "expect", "because", "error", "hang", "none", "hang_rate", "rollback", "slo.p95Ms", "slo",
])  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS | st.dates()
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


def accepted_or_told(text: str) -> None:
    table = parse(text, file="m.yaml")
    assert bool(table.entries) != bool(table.problems)
    for line in table.problems:
        assert line.startswith(("m.yaml: ", "… and "))
        assert line.isprintable() or "\n" not in line
        assert len(line.splitlines()) == 1


@given(tree=TREES)
def test_any_tree_is_accepted_or_told_in_one_line_each(tree: Any) -> None:
    accepted_or_told(yaml.safe_dump(tree))


@given(text=st.text(alphabet=st.sampled_from("{}[]:,-&*!|>'\"% \n\tamatrixscenarios123.#?@`<")))
def test_any_text_is_accepted_or_told_in_one_line_each(text: str) -> None:
    accepted_or_told(text)


@given(scenario=st.dictionaries(WORDS, LEAVES | st.lists(LEAVES, max_size=3), max_size=6))
def test_any_scenario_is_accepted_or_told_in_one_line_each(scenario: dict[str, Any]) -> None:
    accepted_or_told(yaml.safe_dump({"scenarios": [{"name": "a", **scenario}]}))


def test_the_checks_that_make_it_inconclusive_are_known_by_name() -> None:
    worlds = [w.good_promote(), w.good_rollback()]
    told = {check.name for world in worlds for check in judge(world.scenario, world.observation()).checks
            if check.kind is Kind.EXPERIMENT and not check.name.startswith("client share")}  # fmt: skip
    assert told <= EXPERIMENT_CHECKS
    assert EXPERIMENT_CHECKS - told == {"fault at work", "disturbances"}  # only where there is one


def call(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, ["matrix", *arguments], standalone_mode=False)
    return (done.return_value if done.exception is None else -1), done.stdout, done.stderr


def test_the_command_lists_and_prints_its_schema_without_a_platform() -> None:
    code, out, _ = call("--list")
    assert code == 0
    assert len(out.splitlines()) == 2 + len(FAULTS) + 1
    code, out, _ = call("--schema")
    assert (code, json.loads(out)) == (0, SCHEMA)


def test_the_command_refuses_a_wrong_file_with_a_line_for_each_problem(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("scenarios: [{name: a, rps: 0}, {name: b, fault: gremlin}]")
    code, out, err = call(str(file))
    assert (code, out) == (2, "")
    assert [line.split(": ")[:3] for line in err.splitlines()] == [
        ["error", str(file), "scenario 'a'"], ["error", str(file), "scenario 'b'"],
    ]  # fmt: skip


def test_a_scenario_that_disturbs_the_platform_runs_alone() -> None:
    found = entries("scenarios: [{name: shaken, fault: error, steps: [20, 60], disturb: [argo-rollouts@each, 'istiod@60:2']}]")
    assert found["shaken"].alone
    assert [str(each) for each in found["shaken"].scenario.disturbances] == ["argo-rollouts@each:0", "istiod@60:2"]
    assert found["shaken"].expect is Expect.ROLLBACK


@pytest.mark.parametrize(("disturb", "words"), [
    ("[istiod@10]", "scenario 's': disturb istiod@10: 10 is no step; give one of 20, or each"),
    ("[prometheus]", "scenario 's': disturb: prometheus is not what a lane uses"), ("istiod", "is not of type 'array'"),
    ("[1]", "is not of type 'string'"), ("[]", "non-empty"), ("[load, load]", "non-unique"),
])  # fmt: skip
def test_disturbances_that_a_matrix_cannot_have(disturb: str, words: str) -> None:
    (problem,) = parse(f"scenarios: [{{name: s, steps: [20], disturb: {disturb}}}]", file="m.yaml").problems
    assert words in problem
