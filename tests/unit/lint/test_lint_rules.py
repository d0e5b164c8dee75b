"""Each rule finds what it is about, and is silent about the same thing mended."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from lint_cases import CASES, Case, Object, application, metric, rollout, template

from harness.lint.check import RULES, lint
from harness.lint.model import Finding, Options, Severity
from harness.lint.source import documents


def found(objects: list[Object], **options: Any) -> list[Finding]:
    return lint(documents("x.yaml", yaml.safe_dump_all(objects)), Options(**options))


def identity(case: Case) -> str:
    return f"{case.rule} {case.note}".strip()


@pytest.mark.parametrize("case", CASES, ids=identity)
def test_a_rule_finds_what_breaks_it(case: Case) -> None:
    assert case.rule in {each.rule.id for each in found(case.bad, **case.options)}


@pytest.mark.parametrize("case", CASES, ids=identity)
def test_a_rule_is_silent_once_it_is_mended(case: Case) -> None:
    options = {"buckets": (0.1, 0.3, 1)} if case.note == "--buckets" else case.options
    assert case.rule not in {each.rule.id for each in found(case.good, **options)}


def test_every_rule_has_a_case() -> None:
    assert {rule.id for rule in RULES} == {case.rule for case in CASES}


def test_the_whole_gate_in_its_good_form_is_clean() -> None:
    assert found([template(), rollout()]) == []


def test_rules_are_named_once_and_explain_themselves() -> None:
    assert len({rule.id for rule in RULES}) == len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert re.fullmatch(r"GP\d{3}", rule.id)
        assert re.fullmatch(r"[a-z][a-z-]+", rule.name)
        assert rule.title
        assert rule.why.endswith((".", ")"))
        assert rule.fix


def test_an_unscoped_query_is_an_error_once_a_canary_is_known_to_use_it() -> None:
    unscoped = template(metric('sum(rate(x_total{job="api"}[1m]))', "len(result) > 0 && result[0] > 5"), args=[])
    alone = [each for each in found([unscoped]) if each.rule.id == "GP208"]
    used = [each for each in found([unscoped, rollout()]) if each.rule.id == "GP208"]
    assert ([each.severity for each in alone], [each.severity for each in used]) == ([Severity.WARNING], [Severity.ERROR])


def test_a_gap_is_shown_by_an_example() -> None:
    conditions = metric(condition="result[0] >= 0.99", failureCondition="result[0] < 0.95")
    (gap,) = [each for each in found([template(conditions)]) if each.rule.id == "GP106"]
    example = re.search(r"such as (\S+) meets", gap.message)
    assert example
    assert 0.95 <= float(example[1]) < 0.99


@pytest.mark.parametrize("limit", ["{{args.limit}}", "{{ args.limit }}"])
def test_a_limit_that_is_an_argument_is_filled_in(limit: str) -> None:
    conditions = metric(condition=f"len(result) > 0 && result[0] >= {limit}")
    args = [{"name": "canary-hash"}, {"name": "limit", "value": "99"}]
    assert {each.rule.id for each in found([template(conditions, args=args)])} == {"GP108"}
    args[1] = {"name": "limit"}  # whatever it will be
    assert found([template(conditions, args=args)]) == []


def test_an_argument_in_a_query_never_spoils_it() -> None:
    query = 'sum(rate({{args.metric}}{app="{{args.app}}",hash="{{args.canary-hash}}"}[{{args.window}}])) > {{args.least}}'
    names = ["canary-hash", "metric", "app", "window", "least"]
    one = template(metric(query, "len(result) > 0 && result[0] > 5"), args=[{"name": name} for name in names])
    assert "GP201" not in {each.rule.id for each in found([one])}


def test_an_applicationset_is_looked_into() -> None:
    inner = application({"kind": "Rollout", "managedFieldsManagers": ["rollouts-controller"]})
    outer = {"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "spec": {"template": inner}}
    assert [each.rule.id for each in found([outer])] == ["GP601"]
