"""The lint's judgement of conditions against the rollouts controller's own code, compiled from the pinned module."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from chart_tools import controllers_program

from harness.lint.source import Document
from harness.lint.subject import Metric, Template

SOURCE = Path(__file__).parent / "lint_oracle" / "oracle.go"
SAMPLES = [[], ["NaN"], ["0.97"], ["0.2"], ["1"], ["0"], ["-1"], ["100"], ["0.97", "0.2"], ["0.2", "NaN"]]


@pytest.fixture(scope="session")
def oracle(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that asks the controller's code. With everything compiled already, it is built in seconds and offline."""
    return controllers_program(SOURCE, tmp_path_factory.mktemp("oracle"))


def asked(oracle: Path, questions: list[dict[str, Any]]) -> list[dict[str, str]]:
    text = "".join(json.dumps(each) + "\n" for each in questions)
    done = subprocess.run([oracle], input=text, capture_output=True, text=True, check=True, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


def ours(question: dict[str, Any]) -> str | None:
    """The lint's own answer; None where it does not dare to give one."""
    template = Template(Document(file="x", value={"kind": "AnalysisTemplate"}, lines={}))
    provider = {"vector": {"prometheus": {"query": "x"}}, "float": {"prometheus": {"query": "scalar(x)"}}, "nil": {"datadog": {}}}
    spec = {
        "successCondition": question["success"], "failureCondition": question["failure"], "provider": provider[question["kind"]],
    }
    return Metric(template, 0, spec).outcome(*map(float, question["values"]))


def compare(oracle: Path, questions: list[dict[str, Any]]) -> int:
    """How many answers were compared. Fails at the first that differs."""
    answers = asked(oracle, questions)
    assert len(answers) == len(questions)
    compared = 0
    for question, answer in zip(questions, answers, strict=True):
        mine = ours(question)
        if mine is not None:
            compared += 1
            assert mine == answer["phase"], (question, answer)
    return compared


def question(success: str, failure: str = "", kind: str = "vector", values: list[str] | None = None) -> dict[str, Any]:
    return {"success": success, "failure": failure, "kind": kind, "values": values or []}


CONDITIONS = [
    "result[0] >= 0.95", "result[0] < 0.05", "result[0] == 0", "result[0] != 1", "result >= 0.95", "result", "result[0]",
    "len(result) > 0 && !isNaN(result[0]) && result[0] >= 0.99", "len(result) == 0 || result[0] >= 0.95",
    "isNaN(result[0]) || result[0] >= 0.95", "isNaN(result) || result[0] > 0", "isInf(result[0])", "not isNaN(result[0])",
    "default(result, 0) < 0.05", "default(result[0], 0) < 0.05", "isNil(result)", "isNil(result) || result[0] > 0.5",
    "result == nil", "!isNil(result) && result < 0.5", "default(result, 1) < 0.5", "(result ?? 1) < 0.5", "result < 0.5",
    "(result[0] ?? 0) < 0.05", "result[0] ?? 0 < 0.05", "len(result) > 0 ? result[0] >= 0.95 : false",
    "len(result) > 0 ? result[0] >= 0.95 : true", "len(result) and result[0] > 0",
    "all(result, # >= 0.5)", "any(result, {# > 0.5})",
    "none(result, isNaN(#))", "one(result, # > 0.5)", "count(result, # > 0.5) > 0", "len(result) > 0 && all(result, # >= 0.5)",
    "sum(result) > 0.5", "first(result) > 0.5", "result | len() > 0", "result[1] > 0.1", "result[-1] > 0.1",
    "len(result[1:]) > 0",
    "result[0] * 100 >= 95", "100 - result[0] > 3", "1 / result[0] > 0.5", "-result[0] < 0", "result[0] ** 2 > 0.5",
    "0.1 < result[0] < 0.99", "result[0] in [0.97, 1]", "result[0] not in [0.97, 1]", "asInt(result[0]) == 0",
    "asFloat(result[0]) > 0.5", "result.value > 1", "results[0] > 1", "foo(result) > 1", "true", "false", "1", "'yes'", "",
    "let x = result[0]; x > 0.5", "if len(result) > 0 { result[0] > 0.5 } else { false }", "result[0] >=", "(result[0] > 1",
    "result[0] > 1)", "result[0] = 1", "result[0] > 1 & true", "result[0] > 0.5 and result[0] < 0.99 or result[0] == 1",
    "!(result[0] >= 0.95)", "result[0] > '0.5'", "result[0] contains 'x'", "// only a comment", "result[0] > 0.5 // why",
    "len(result) >= 1 && (result[0] >= 0.95 || isNaN(result[0]))", "result[0] >= .95", "result[0] >= 9.5e-1", "result[0]>=0x1",
]


def test_conditions_as_people_write_them(oracle: Path) -> None:
    questions = [question(text, "", kind, values) for text in CONDITIONS for kind, values in every()]
    questions += [question("", text, kind, values) for text in CONDITIONS for kind, values in every()]
    pairs = [("result[0] >= 0.95", other) for other in ("result[0] < 0.9", "result[0] < 0.95", "result[0] < 2")]
    questions += [question(good, bad, kind, values) for good, bad in pairs for kind, values in every()]
    assert compare(oracle, questions) > 0.9 * len(questions)


def every() -> list[tuple[str, list[str]]]:
    floats = [("float", values) for values in SAMPLES if len(values) == 1]
    return [("vector", values) for values in SAMPLES] + floats + [("nil", [])]


class Writer:
    """Conditions at random, of the pieces that real ones are made of."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def number(self, depth: int) -> str:
        simple = ["result[0]"] * 4 + ["0.95", "0.05", "result[1]", "result[-1]", "2.5"]
        if depth <= 0:
            return self._random.choice(simple)
        inner = self.number(depth - 1)
        sign = self._random.choice("+-*/")
        made = [f"({inner} {sign} {self.number(depth - 1)})", f"abs({inner})", f"-{inner}", f"asFloat({inner})", "len(result)"]
        return self._random.choice(simple + made)

    def condition(self, depth: int) -> str:
        compared = f"{self.number(depth - 1)} {self._random.choice(['<', '<=', '>', '>=', '==', '!='])} {self.number(depth - 1)}"
        if depth <= 0:
            return compared
        one, two = self.condition(depth - 1), self.condition(depth - 1)
        every = self._random.choice(["all", "any", "none", "one"])
        return self._random.choice([
            compared, f"{one} && {two}", f"{one} || {two}", f"({one}) and not ({two})", f"({one} ? {two} : {one})",
            f"len(result) > 0 && {one}", "isNaN(result[0])", "!isNaN(result[0])", f"{every}(result, # >= 0.5)",
            f"len(result) == 0 || {two}", f"not ({one})",
        ])


@pytest.mark.parametrize("seed", range(4))
def test_conditions_at_random(oracle: Path, seed: int) -> None:
    writer, chosen = Writer(seed), random.Random(seed)
    questions = []
    for _ in range(1500):
        success, failure = writer.condition(3), writer.condition(2) if chosen.random() < 0.3 else ""
        kind, values = chosen.choice(every())
        questions.append(question(success, failure, kind, values))
    assert compare(oracle, questions) > 0.9 * len(questions)
