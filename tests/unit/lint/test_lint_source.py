"""Places and comments; and that no text whatever ends in a traceback."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lint_cases import CASES, Object, metric, template

from harness.lint import promql
from harness.lint.check import RULES, lint
from harness.lint.expr.evaluate import holds
from harness.lint.expr.syntax import Malformed, Unknown, parse
from harness.lint.expr.types import Refused
from harness.lint.model import Finding, Options
from harness.lint.render import FORMATS, render, summary
from harness.lint.source import Unreadable, documents

TEXT = """\
# Two objects.
apiVersion: v1
kind: Service
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata:
  name: slo
spec:
  metrics:
    - name: first
      provider:
        prometheus:
          query: |
            sum(rate(x_total{hash="{{args.canary-hash}}"}[5m]))
      successCondition: result[0] > 5
    - name: second
      provider: {web: {url: "http://x"}}
  args:
    - name: canary-hash
"""


def found(text: str, **options: Any) -> list[tuple[int, str]]:
    return [(each.line, each.rule.id) for each in lint(documents("x.yaml", text), Options(**options))]


def test_each_finding_knows_its_line() -> None:
    assert found(TEXT) == [(11, "GP305"), (16, "GP103"), (17, "GP101")]


def with_line(number: int, line: str) -> str:
    lines = TEXT.splitlines()
    return "\n".join([*lines[: number - 1], line, *lines[number - 1 :]])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        pytest.param(TEXT.replace("> 5", "> 5  # gateproof: ignore GP103"), {"GP305", "GP101"}, id="at the end"),
        pytest.param(with_line(16, "      # gateproof: ignore unguarded-result"), {"GP305", "GP101"}, id="above, by name"),
        pytest.param(with_line(11, "    # gateproof: ignore gp103, GP305"), {"GP101"}, id="a whole metric, two rules"),
        pytest.param(with_line(11, "    # gateproof: ignore GP101"), {"GP305", "GP103", "GP101"}, id="not of the next metric"),
        pytest.param(with_line(5, "# gateproof: ignore"), set(), id="a whole object, every rule"),
        pytest.param(with_line(16, "      # gateproof: ignore GP103\n\n      # since …"), {"GP305", "GP101"}, id="with a reason"),
        pytest.param(with_line(2, "# gateproof: ignore"), {"GP305", "GP103", "GP101"}, id="another object"),
        pytest.param(with_line(5, "# a gateproof word: ignore"), {"GP305", "GP103", "GP101"}, id="no comment of ours"),
    ],
)
def test_a_comment_switches_rules_off_for_what_begins_there(text: str, left: set[str]) -> None:
    assert {rule for _, rule in found(text)} == left


@pytest.mark.parametrize("word", ["GP103", "gp103", "unguarded-result"])
def test_an_option_switches_a_rule_off(word: str) -> None:
    assert {rule for _, rule in found(TEXT, ignore=frozenset({word}))} == {"GP305", "GP101"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_can_be_switched_off(rule: Any) -> None:
    for case in (case for case in CASES if case.rule == rule.id):
        text = yaml.safe_dump_all(case.bad)
        assert rule.id in {name for _, name in found(text, **case.options)}
        assert rule.id not in {name for _, name in found(text, ignore=frozenset({rule.name}), **case.options)}


def test_a_list_holds_objects() -> None:
    items: Object = {"apiVersion": "v1", "kind": "List", "items": [template(metric(condition=None)), {"kind": "Service"}]}
    assert [rule for _, rule in found(yaml.safe_dump(items))] == ["GP101"]
    assert [rule for _, rule in found(json.dumps(items))] == ["GP101"]


def test_an_anchor_and_a_merge_key_are_followed() -> None:
    text = TEXT.replace("- name: second\n", "- &second\n      name: second\n") + "  more:\n    - <<: *second\n      name: third\n"
    (one,) = [each for each in documents("x", text) if each.value["kind"] == "AnalysisTemplate"]
    assert one.value["spec"]["more"] == [{"name": "third", "provider": {"web": {"url": "http://x"}}}]


@pytest.mark.parametrize(
    "text",
    [
        "{{- if .Values.x }}\nkind: Rollout\n{{- end }}\n",
        "a: [1, 2",
        "a: b: c",
        "\tkind: Rollout",
        "a: \x00",
        "[" * 5000,
        "a: &a [*a]",
        "a: *missing",
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 8)),
        "a0: &a0 {x: y}\n" + "".join(f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 8)),
    ],
    ids=["helm", "open", "colons", "tab", "nul", "deep", "itself", "missing", "bomb", "merged bomb"],
)
def test_what_is_no_yaml_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(Unreadable) as refused:
        documents("x", text)
    assert "\n" not in str(refused.value)
    assert str(refused.value)


def render_all(findings: list[Finding]) -> None:
    for kind in FORMATS:
        told = render(kind, findings, RULES)
        if kind in ("json", "sarif"):
            json.loads(told)
        else:
            assert len(told.split("\n")) == max(len(findings), 1)
    assert "\n" not in summary(findings, 1)


def lint_all(text: str) -> None:
    try:
        objects = documents("x.yaml", text)
    except Unreadable:
        return
    render_all(lint(objects, Options()))


def test_github_and_text_keep_to_one_line_for_each_finding() -> None:
    render_all(lint(documents("a,b:c.yaml", TEXT.replace("name: first", 'name: "fi\\nrst"')), Options()))


BOUNDED = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@BOUNDED
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_is_linted_or_refused(text: str) -> None:
    lint_all(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["5m", "{{args.x}}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in children for place in places(each, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {key: replaced(each, path[1:], new) if key == path[0] else each for key, each in value.items()}
    return [replaced(each, path[1:], new) if index == path[0] else each for index, each in enumerate(value)]


@BOUNDED
@given(st.data())
def test_a_manifest_with_anything_anywhere_is_linted(data: st.DataObject) -> None:
    """Objects of every kind that the rules know, with one value exchanged for something of another type."""
    objects = data.draw(st.sampled_from(CASES)).bad
    place = data.draw(st.sampled_from(places(objects)))
    lint_all(yaml.safe_dump_all(replaced(objects, place, data.draw(VALUES)) if place else objects, allow_unicode=True))


PIECES = st.sampled_from(
    ["result", "[0]", "len(", ")", "(", " > ", " && ", "!", "isNaN(", "0.5", "1", "?", ":", "'x'", "# ", "all(", ",", "{", "}",
     "-", "/ 0", "??", " in ", "[1:]", ".a", "default(", "|", "let a = ", ";", "**", "nil", "true", "not "]
)


@BOUNDED
@given(st.lists(PIECES, max_size=12).map("".join) | st.text(alphabet=string.printable, max_size=30))
def test_any_condition_is_read_or_refused(text: str) -> None:
    for kind, result in (("vector", [1.0, float("nan")]), ("vector", []), ("float", 0.5), ("any", None), ("any", {"a": "b"})):
        try:
            assert holds(parse(text), result, kind) in (True, False)
        except (Malformed, Refused, Unknown):
            continue


@BOUNDED
@given(st.text(alphabet=string.printable, max_size=40))
def test_any_query_is_read_or_refused(text: str) -> None:
    try:
        promql.parse(text)
    except (promql.Malformed, promql.TooLarge):
        return


@pytest.mark.parametrize("text", ["1" + "+1" * 20_000, "(" * 20_000, "-" * 20_000 + "1", "a or " * 20_000 + "a"])
def test_a_huge_query_does_not_end_the_process(text: str) -> None:
    with pytest.raises((promql.TooLarge, promql.Malformed)):
        promql.parse(text)


@pytest.mark.parametrize(
    "text", ["(" * 5000, "!" * 5000 + "true", "1" + "+1" * 4999, "a" * 20_000, "result[0]" + " ? 1 : 2" * 1000]
)
def test_a_huge_condition_does_not_end_the_process(text: str) -> None:
    try:
        holds(parse(text), [1.0], "vector")
    except (Malformed, Refused, Unknown):
        return
    pytest.fail("it gave an answer")
