"""PURE: the file of series and cases: what Prometheus holds, and what a gate is expected to make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema
import yaml

from harness.lint.subject import ERROR, FAILED, INCONCLUSIVE, SUCCESSFUL
from harness.plain import Unbounded, look_through
from harness.replay import notation, samples
from harness.replay.analysis import Outcome
from harness.replay.notation import Unreadable
from harness.replay.samples import Series

_PHASE = {"enum": [SUCCESSFUL, FAILED, INCONCLUSIVE, ERROR]}
_TIME = {"type": "string"}
_ARGS = {"type": "object", "additionalProperties": {"type": "string"}}
_NUMBER = {"type": "string", "pattern": r"^(NaN|[+-]?(Inf|(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?))$"}
_VALUE = {"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER}, {"type": "null"}]}
_METRIC = {
    "type": "object", "additionalProperties": False, "minProperties": 1,
    "properties": {"phase": {"enum": [*_PHASE["enum"], "none"]}, "value": _VALUE},
}
_SERIES = {
    "type": "array",
    "items": {
        "type": "object", "additionalProperties": False, "required": ["series", "values"],
        "properties": {"series": {"type": "string"}, "values": {"type": "string"}},
    },
}
_EXPECT = {
    "type": "object", "additionalProperties": False, "minProperties": 1,
    "properties": {
        "phase": _PHASE,
        "metrics": {"type": "object", "additionalProperties": {"anyOf": [{"enum": [*_PHASE["enum"], "none"]}, _METRIC]}},
    },
}
_CASE = {
    "type": "object", "additionalProperties": False, "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1}, "template": {"type": "string"}, "series": _SERIES, "args": _ARGS,
        "start": _TIME, "at": _TIME, "expect": _EXPECT,
    },
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Series and cases for gateproof's gate",
    "type": "object", "additionalProperties": False,
    "properties": {
        "interval": _TIME, "args": _ARGS, "series": _SERIES, "start": _TIME, "at": _TIME,
        "cases": {"type": "array", "minItems": 1, "items": _CASE},
    },
}
DEFAULT_INTERVAL_MS = 60_000
"""As in promtool's tests."""


class _Loader(yaml.SafeLoader):
    """Numbers stay the text that they are: `0x12` is thirteen zeros here and not eighteen, and an argument 1.50 is not 1.5."""

    yaml_implicit_resolvers = {  # noqa: RUF012 -- so does the base class
        first: [(tag, pattern) for tag, pattern in found if tag.rpartition(":")[2] in ("null", "merge")]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping; a key that is there twice would silently lose what it held first."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What one metric shall come to; None: nobody says. `value` is the last measurement's, as `[0.05]` or `0.05`."""

    phase: str | None = None
    value: str | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One situation. `start_ms`: when the AnalysisRun begins; `at_ms`: when each metric is measured first, whatever its delay."""

    name: str
    series: tuple[Series, ...]
    args: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None
    start_ms: int | None = None
    at_ms: int | None = None
    phase: str | None = None
    metrics: Mapping[str, Expected] = field(default_factory=dict)


def read(text: str) -> list[Case]:
    """The cases of a YAML file; a file without cases is one case that expects nothing.

    Raises:
        Unreadable: it is not such a file.

    """
    try:
        look_through(text)
        given = yaml.load(text, Loader=_Loader)  # noqa: S506 -- a SafeLoader with fewer types
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise Unreadable(f"it is no YAML: {getattr(error, 'problem', error)}{where}") from None
    except Unbounded as error:
        raise Unreadable(str(error)) from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        # An explicit tag such as !!int or !!timestamp before what is none.
        raise Unreadable(f"it holds what YAML's tags do not allow: {' '.join(str(error).split())[:200]}") from None
    if given is None:
        raise Unreadable("it is empty")
    errors = sorted(jsonschema.Draft202012Validator(SCHEMA).iter_errors(given), key=lambda each: str(each.json_path))
    if errors:
        deepest = jsonschema.exceptions.best_match(errors)
        raise Unreadable(f"{deepest.json_path.removeprefix('$.')}: {' '.join(deepest.message.split())[:200]}")
    interval = _time(given, "interval") if "interval" in given else DEFAULT_INTERVAL_MS
    if not interval:
        raise Unreadable("interval: give a time above 0, such as 1s or 15s")
    common = _series(given, "series", interval)
    cases = [_case(given, each, common, interval) for each in given.get("cases", [{"name": "series"}])]
    names = [each.name for each in cases]
    for name in names:
        if names.count(name) > 1:
            raise Unreadable(f"two cases are called {name!r}")
    return cases


def _time(given: Mapping[str, Any], key: str) -> int | None:
    if key not in given:
        return None
    found = notation.milliseconds(given[key])
    if found is None or found < 0:
        raise Unreadable(f"{key}: {given[key]!r} is no time: write 90s, 1m30s or a number of seconds")
    return found


def _series(given: Mapping[str, Any], where: str, interval: int) -> dict[tuple[tuple[str, str], ...], Series]:
    found: dict[tuple[tuple[str, str], ...], Series] = {}
    count = 0
    for index, each in enumerate(given.get("series", ())):
        try:
            labels = notation.labels(each["series"])
            taken = notation.values(str(each["values"]), most=notation.MOST_SAMPLES - count)
            count += len(taken)
            made = samples.series(labels, ((at * interval, value) for at, value in taken))
        except Unreadable as error:
            raise Unreadable(f"{where}[{index}]: {error}") from None
        if made.labels in found:
            raise Unreadable(f"{where}[{index}]: {each['series']} is there twice")
        found[made.labels] = made
    return found


def _case(
    given: Mapping[str, Any], case: Mapping[str, Any], common: Mapping[tuple[tuple[str, str], ...], Series], interval: int
) -> Case:
    name = str(case["name"])
    try:
        # A case's own series takes the place of the file's of the same labels.
        found = {**common, **_series(case, "series", interval)}
        start, at = _time({**given, **case}, "start"), _time({**given, **case}, "at")
    except Unreadable as error:
        raise Unreadable(f"case {name!r}: {error}") from None
    expect = case.get("expect", {})
    return Case(
        name=name, series=tuple(each for each in found.values() if each.samples), template=case.get("template"),
        args={**given.get("args", {}), **case.get("args", {})},
        start_ms=start, at_ms=at, phase=expect.get("phase"),
        metrics={key: _expected(value) for key, value in expect.get("metrics", {}).items()},
    )


def _expected(given: Any) -> Expected:
    if isinstance(given, str):
        return Expected(phase=given)
    value = given.get("value")
    if "value" not in given:
        return Expected(phase=given.get("phase"))
    text = value if isinstance(value, str) else f"[{','.join(value or ())}]"
    return Expected(phase=given.get("phase"), value=text)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One AnalysisRun of one case. `notes` tell what could not be played."""

    case: Case
    subject: str
    outcome: Outcome
    notes: tuple[str, ...] = ()
