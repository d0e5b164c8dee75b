"""From a matrix file's text to its scenarios, or to one line for each thing that is wrong with it. PURE: no I/O."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from harness.chart import nested
from harness.disturbances import LOAD, parse_all
from harness.errors import UsageError
from harness.faults import FAULTS, HEALTHY, Fault
from harness.matrix.model import EXPERIMENT_CHECKS, Entry, Expect, decision_of, default_expectation
from harness.plain import Unbounded, look_through
from harness.release import merged
from harness.scenario import Decision, Scenario

SCHEMA_FILE = Path(__file__).with_name("matrix.schema.json")
AXES = ("fault", "window", "rps", "steps", "seed", "values")
NOT_IN_A_LANE = frozenset({LOAD, "prometheus", "prometheus-empty"})
"""A lane has a Prometheus of its own, and a release without users has no verdict to expect."""
MOST_SCENARIOS = 1_000
MOST_NODES = 200_000
MOST_PROBLEMS = 20
DEFAULTS: Mapping[str, Any] = {
    "fault": "none", "window": 60, "rps": 50.0, "steps": [10, 30, 60], "seed": 0, "values": {}, "alone": False,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Table:
    """What a file holds. With problems, the entries are not all there and must not be run."""

    entries: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key which stands twice: the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse(text: str, *, file: str) -> Table:
    """Read a matrix. Every problem is one line that begins with the file and the scenario that it is in."""
    try:
        look_through(text)
        tree = _plain(yaml.load(text, Loader=_Loader))  # noqa: S506 -- it is a SafeLoader
    except yaml.YAMLError as error:
        return _refused(file, f"this is no YAML: {_yaml_problem(error)}")
    except Unbounded as error:
        return _refused(file, str(error))
    except (ValueError, TypeError, RecursionError, AttributeError):
        return _refused(file, "it holds what JSON could not (a date, a key that is no text, a loop): put texts into quotes")
    try:
        schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
        errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(tree), key=lambda each: [str(p) for p in each.path])
    except RecursionError:
        return _refused(file, "it is nested too deeply")
    if errors:
        return _table_of_problems([f"{file}: {_schema_problem(error, tree)}" for error in errors])
    reader = _Reader(file=file, defaults={**DEFAULTS, **tree.get("defaults", {})})
    return reader.read(tree)


def _plain(tree: Any) -> Any:
    """The same tree, if it is one that JSON could hold. Aliases can make much of little, or go in a circle. Raises ValueError."""
    waiting, seen = [tree], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if isinstance(node, dict) and all(isinstance(key, str) for key in node):
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
        elif not (node is None or isinstance(node, (str, int)) or (isinstance(node, float) and math.isfinite(node))):
            raise ValueError(f"{type(node).__name__} has no place in it")
        if seen > MOST_NODES:
            raise ValueError("it is too much")
    return tree


@dataclass(kw_only=True)
class _Reader:
    """Collects entries and problems."""

    file: str
    defaults: Mapping[str, Any]
    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def read(self, tree: Mapping[str, Any]) -> Table:
        for name, given in itertools.chain(self._combinations(tree.get("matrix") or {}), _listed(tree.get("scenarios") or [])):
            if len(self.entries) >= MOST_SCENARIOS:
                self.problems.append(f"{self.file}: there are more than {MOST_SCENARIOS} scenarios: make several files of it")
                break
            self._add(name, given)
        if not self.entries and not self.problems:
            self.problems.append(f"{self.file}: no scenario is left: exclude takes them all")
        return Table(entries=tuple(self.entries)) if not self.problems else _table_of_problems(self.problems)

    def _add(self, name: str, given: Mapping[str, Any]) -> None:
        if any(entry.name == name for entry in self.entries):
            self.problems.append(f"{self.file}: scenario {name!r}: there is another of that name")
            return
        try:
            entry = entry_of(name, {**self.defaults, **given, "values": self._values(given)})
        except UsageError as error:
            self.problems.append(f"{self.file}: scenario {name!r}: {error}")
            return
        taken = {each.key for each in self.entries}
        key = next(key for number in itertools.count(1) if (key := _key(name, number)) not in taken)
        self.entries.append(replace(entry, key=key))

    def _values(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return merged(nested(self.defaults["values"]), nested(given.get("values", {})))

    def _combinations(self, matrix: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every combination of the axes that is not left out, with a name made of what tells it from the others."""
        axes = {axis: matrix[axis] for axis in AXES if axis in matrix}
        if not axes:
            return
        excluded = matrix.get("exclude", [])
        used: set[int] = set()
        for rule in excluded:
            for axis in rule.keys() - axes.keys():
                self.problems.append(f"{self.file}: matrix.exclude: {axis} is no axis of this matrix")
        for chosen in itertools.islice(itertools.product(*axes.values()), MOST_SCENARIOS * 10):
            combination = dict(zip(axes, chosen, strict=True))
            hits = {
                number for number, rule in enumerate(excluded)
                if all(axis in combination and _same(combination[axis], value) for axis, value in rule.items())
            }  # fmt: skip
            used |= hits
            if not hits:
                told = [
                    _told(axis, value)
                    for axis, value in combination.items()
                    if axis == "fault" or len(axes[axis]) > 1
                ]
                yield " ".join(told) or "none", combination
        for number, rule in enumerate(excluded):
            if number not in used and rule.keys() <= axes.keys():
                self.problems.append(f"{self.file}: matrix.exclude: nothing is like {json.dumps(rule)}")


def _listed(scenarios: list[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for each in scenarios:
        yield each["name"], each


def entry_of(name: str, given: Mapping[str, Any]) -> Entry:
    """One scenario from what the file and its defaults say. Raises UsageError."""
    fault, sized = _fault(given["fault"])
    steps = tuple(map(int, given["steps"]))
    disturbances = parse_all(given.get("disturb", ()), steps, option="disturb")
    if beside := sorted({each.kind.name for each in disturbances} & NOT_IN_A_LANE):
        raise UsageError(f"disturb: {', '.join(beside)} is not what a lane uses: give it to `success` or `failure` as --disturb")
    base = Scenario(
        name=name, expect=Decision.PROMOTE, fault=fault, steps=steps, disturbances=disturbances,
        window_seconds=float(given["window"]), rps=float(given["rps"]), seed=int(given["seed"]),
    )
    expect = Expect(given["expect"]) if "expect" in given else default_expectation(base, sized=sized)
    because = frozenset(given.get("because", ()))
    if because and expect is Expect.PROMOTE:
        raise UsageError("because goes with a rollback or an inconclusive verdict, and this one is expected to be promoted")
    if expect is Expect.INCONCLUSIVE:
        because = because or (frozenset({fault.noticed_by}) if fault.noticed_by else frozenset())
        if unknown := sorted(because - EXPERIMENT_CHECKS):
            known = ", ".join(sorted(EXPERIMENT_CHECKS))
            raise UsageError(f"because: no check {', '.join(unknown)} notices a broken experiment; there are {known}")
    decision = decision_of(expect, fault.rolled_back)
    metrics = because if expect is Expect.ROLLBACK and because else fault.deciding_metrics
    if expect is Expect.ROLLBACK and not metrics and not base.decided_by_deadline:
        raise UsageError("a rollback is expected of it, and nothing says by which metrics: add because: [error-rate, …]")
    scenario = replace(base, expect=decision, deciding_metrics=metrics if decision is Decision.ROLLBACK else frozenset())
    # What shakes the platform shakes every lane.
    alone = given["alone"] or bool(disturbances)
    return Entry(key=name, scenario=scenario, expect=expect, because=because, values=given["values"], alone=alone)


def _fault(given: str | Mapping[str, Any]) -> tuple[Fault, bool]:
    kind = given if isinstance(given, str) else given["kind"]
    settings = {} if isinstance(given, str) else {name: value for name, value in given.items() if name != "kind"}
    if kind == HEALTHY.kind:
        if settings:
            raise UsageError(f"fault none has no size: {', '.join(settings)} is too much")
        return HEALTHY, False
    return FAULTS[kind].with_settings(settings), bool(settings)


def _same(one: Any, other: Any) -> bool:
    if one == other:
        return True
    # A kind that is left out is left out in every size, unless a size is named.
    return isinstance(one, dict) and isinstance(other, str) and one.get("kind") == other


def _told(axis: str, value: Any) -> str:
    """One axis of a combination, as its part of the name."""
    if axis == "fault":
        if isinstance(value, str):
            return value
        return " ".join([value["kind"], *(f"{name}={number:g}" for name, number in value.items() if name != "kind")])
    if axis == "steps":
        return f"steps={'-'.join(map(str, value))}"
    if axis == "values":
        return " ".join(f"{path}={json.dumps(leaf)}" for path, leaf in _leaves(value)) or "values={}"
    return f"{axis}={value:g}"


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _key(name: str, number: int) -> str:
    """The name as a file's: letters, digits and hyphens."""
    word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-") or "scenario"
    return word if number == 1 else f"{word}-{number}"


def _refused(file: str, problem: str) -> Table:
    return Table(problems=(f"{file}: {problem}",))


def _table_of_problems(problems: list[str]) -> Table:
    kept = list(dict.fromkeys(" ".join(each.split()) for each in problems))
    if len(kept) > MOST_PROBLEMS:
        kept = [*kept[:MOST_PROBLEMS], f"… and {len(kept) - MOST_PROBLEMS} more"]
    return Table(problems=tuple(kept))


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    told = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{told} (line {mark.line + 1}, column {mark.column + 1})" if mark else str(told)


def _schema_problem(error: jsonschema.ValidationError, tree: Any) -> str:
    """One line for one thing that the schema refuses, with the scenario's name where there is one."""
    path, place = list(error.absolute_path), ""
    if path[:1] == ["scenarios"] and len(path) > 1:
        scenario = tree["scenarios"][path[1]]
        name = scenario.get("name") if isinstance(scenario, dict) else None
        place = f"scenario {name!r}: " if isinstance(name, str) else f"scenario number {int(path[1]) + 1}: "
        path = path[2:]
    where = "".join(f"[{each + 1}]" if isinstance(each, int) else f".{each}" for each in path).lstrip(".")
    return f"{place}{where + ': ' if where else ''}{_message(error, path)}"


def _message(error: jsonschema.ValidationError, path: list[Any]) -> str:
    if error.validator == "anyOf" and not path and error.absolute_schema_path[0] == "anyOf":
        return "there is neither matrix nor scenarios in it"
    if error.validator == "type" and not list(error.absolute_path):
        return "the file must be a mapping that has matrix or scenarios in it"
    if error.validator in {"anyOf", "enum"} and "fault" in map(str, path):
        return f"{_short(error.instance)} is no fault: one of none, {', '.join(FAULTS)}, or {{kind: KIND, SETTING: NUMBER}}"
    schema: Any = error.schema
    if error.validator == "additionalProperties" and "properties" in schema:
        instance: Any = error.instance
        unknown = sorted(instance.keys() - schema["properties"].keys())
        return f"{', '.join(map(_short, unknown))} is not known here; there are {', '.join(schema['properties'])}"
    message = error.message.replace(repr(error.instance), _short(error.instance)) if len(error.message) > 200 else error.message
    return message[:300]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
