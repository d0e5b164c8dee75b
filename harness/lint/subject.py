"""PURE: analyses as the rules see them: metrics with their arguments filled in, and who uses which template."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.lint import promql
from harness.lint import promql_facts as facts
from harness.lint.expr.evaluate import holds
from harness.lint.expr.syntax import Malformed, Node, Unknown, literals, parse
from harness.lint.expr.types import Refused
from harness.lint.model import Path
from harness.lint.source import Document

TEMPLATES = ("AnalysisTemplate", "ClusterAnalysisTemplate", "AnalysisRun")
_ARGUMENT = re.compile(r"\{\{\s*args\.([^{}]*?)\s*\}\}")
_DURATION = re.compile(r"([0-9]*\.?[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

SUCCESSFUL, FAILED, INCONCLUSIVE, ERROR = "Successful", "Failed", "Inconclusive", "Error"


def mapping(value: Any) -> dict[str, Any]:
    """The value, when it is an object; else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """The value, when it is a list; else an empty one."""
    return value if isinstance(value, list) else []


def whole(value: Any) -> int | None:
    """An integer, as the API's int-or-string fields take it; None when it is absent or none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,10}", value):
        return int(value)
    return value if isinstance(value, int) else None


def seconds(value: Any) -> float | None:
    """A Go duration (`1m30s`) in seconds; None when it is none."""
    text = str(value)
    found = list(_DURATION.finditer(text.lstrip("+-")))
    if value is None or not found or "".join(match.group() for match in found) != text.lstrip("+-"):
        return 0.0 if text == "0" else None
    total = sum(float(match[1]) * _UNITS[match[2]] for match in found)
    return -total if text.startswith("-") else total


@dataclass(frozen=True, eq=False)
class Template:
    """An AnalysisTemplate of either scope, or an AnalysisRun. `args` are its arguments' values; None: it has none."""

    document: Document
    args: dict[str, str | None] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """AnalysisTemplate, ClusterAnalysisTemplate or AnalysisRun."""
        return str(self.document.value.get("kind"))

    @property
    def name(self) -> str:
        """metadata.name, or generateName."""
        return object_name(self.document)

    @property
    def spec(self) -> dict[str, Any]:
        """Its spec."""
        return mapping(self.document.value.get("spec"))

    @functools.cached_property
    def metrics(self) -> list[Metric]:
        """Its metrics."""
        found = sequence(self.spec.get("metrics"))
        return [Metric(self, index, each) for index, each in enumerate(found) if isinstance(each, dict)]


def object_name(document: Document) -> str:
    """The name of any object."""
    metadata = mapping(document.value.get("metadata"))
    return str(metadata.get("name") or metadata.get("generateName") or "(no name)")


def template_of(document: Document) -> Template:
    """The template in a document of one of the kinds in TEMPLATES."""
    args: dict[str, str | None] = {}
    for each in sequence(mapping(document.value.get("spec")).get("args")):
        if isinstance(each, dict):
            value = each.get("value")
            args[str(each.get("name"))] = None if value is None else str(value)
    return Template(document, args)


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric of a template."""

    template: Template
    index: int
    spec: dict[str, Any]

    @property
    def path(self) -> Path:
        """Where it stands in its document."""
        return ("spec", "metrics", self.index)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.spec.get("name") or f"metrics[{self.index}]")

    @property
    def provider(self) -> str:
        """prometheus, web, job, …; empty when there is none."""
        return next(iter(mapping(self.spec.get("provider"))), "")

    @property
    def prometheus(self) -> dict[str, Any]:
        """The Prometheus provider's own settings; empty for another provider."""
        return mapping(mapping(self.spec.get("provider")).get("prometheus"))

    @property
    def query_path(self) -> Path:
        """Where its PromQL stands."""
        return (*self.path, "provider", "prometheus", "query")

    @functools.cached_property
    def query(self) -> promql.Expr | None:
        """The tree of its PromQL, arguments filled in; None when it has none or it does not parse."""
        try:
            return promql.parse(self.query_text) if self.query_text.strip() else None
        except (promql.Malformed, promql.TooLarge):
            return None

    @property
    def query_text(self) -> str:
        """Its PromQL, arguments filled in."""
        return fill_query(str(self.prometheus.get("query") or ""), self.template.args)

    def arguments(self) -> Iterator[tuple[Path, str]]:
        """(where, argument's name) of each {{args.name}} in it."""
        yield from _arguments(self.spec, self.path)

    def condition(self, which: str) -> Node | None:
        """The tree of successCondition or failureCondition; None when it is not set. Raises as `parse` does."""
        text = self.spec.get(which)
        if text is None or text == "":
            return None
        return parse(fill_condition(str(text), self.template.args))

    @functools.cached_property
    def result_kind(self) -> str:
        """The static type of `result` when there is data: vector, float or any."""
        if self.provider != "prometheus":
            return "float" if self.provider == "datadog" else "any"
        if self.prometheus.get("rangeQuery") is None and self.query is not None and facts.is_scalar(self.query):
            return "float"
        return "vector"

    @functools.cached_property
    def _known(self) -> dict[tuple[float, ...], str | None]:
        return {}

    def outcome(self, *values: float) -> str | None:
        """The phase of a measurement that gave these samples: Successful, Failed, Inconclusive or Error; None when unsure."""
        if values not in self._known:  # the rules ask for the same values over and over
            self._known[values] = self._outcome(*values)
        return self._known[values]

    def _outcome(self, *values: float) -> str | None:
        if self.result_kind != "float":
            return self._phase(list(values), self.result_kind)
        if not values and self.provider == "datadog":
            return self._phase(None, "nil")
        return self._phase(values[0] if values else math.nan, "float")

    def _phase(self, result: Any, kind: str) -> str | None:
        try:
            success, failure = self.condition("successCondition"), self.condition("failureCondition")
            good = holds(success, result, kind) if success else None
            bad = holds(failure, result, kind) if failure else None
        except (Malformed, Refused):
            return ERROR
        except Unknown:
            return None
        if bad or (bad is None and good is False):
            return FAILED
        return INCONCLUSIVE if good is False else SUCCESSFUL

    @functools.cached_property
    def written(self) -> list[float]:
        """The numbers in its conditions, with either sign."""
        found: set[float] = set()
        for which in ("successCondition", "failureCondition"):
            try:
                node = self.condition(which)
            except (Malformed, Unknown):
                continue
            found |= {sign * each for each in literals(node) for sign in (1, -1)} if node else set()
        return sorted(found)

    @functools.cached_property
    def probes(self) -> list[float]:
        """Values on both sides of every number in its conditions, between them, and some far from all of them."""
        found = {0.0, -1.0, 1.0, 1e-9, 1e-6, 1e-3, 0.1, 0.5, 10.0, 50.0, 100.0, 1e3, 1e6, 1e12}
        for each in self.written:
            step = abs(each) * 1e-6 or 1e-9
            found |= {each - step, each, each + step, each / 100, each * 100}
        ordered = sorted(found)
        return ordered + [(low + high) / 2 for low, high in itertools.pairwise(ordered)]

    @functools.cached_property
    def limits(self) -> list[float]:
        """The numbers in its conditions at which its outcome changes."""
        found = []
        for each in self.written:
            step = abs(each) * 1e-6 or 1e-9
            below, above = self.outcome(each - step), self.outcome(each + step)
            if below and above and below != above:
                found.append(each)
        return found


def _arguments(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _arguments(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _arguments(each, (*path, index))
    elif isinstance(value, str):
        for match in _ARGUMENT.finditer(value):
            yield path, match[1]


def fill_condition(text: str, args: dict[str, str | None]) -> str:
    """A condition with its arguments filled in; one without a value becomes a number that stands for any."""
    return _ARGUMENT.sub(lambda match: args.get(match[1]) or "0.5", text)


def fill_query(text: str, args: dict[str, str | None]) -> str:
    """A query with its arguments filled in; one without a value becomes what its place wants."""

    def value(match: re.Match[str]) -> str:
        known = args.get(match[1])
        if known is not None and known.strip():
            return known.replace("\\", "\\\\").replace('"', '\\"') if _inside_quotes(text, match.start()) else known
        if _inside_quotes(text, match.start()):
            return f"arg-{match[1]}"
        before, after = text[: match.start()].rstrip(), text[match.end() :].lstrip()
        if before.endswith(("[", ":", "offset")):
            return "100" if after[:1] in ("s", "m", "h", "d") else "1h"
        if re.match(r"[A-Za-z_:{]", after) or re.search(r"[A-Za-z_:]$", text[: match.start()]) or after.startswith("["):
            return "arg"
        return "1"

    return _ARGUMENT.sub(value, text)


def unresolved(text: str, args: dict[str, str | None]) -> list[str]:
    """The arguments outside of quotes that have no value: what stands for them is a guess."""
    return [m[1] for m in _ARGUMENT.finditer(text) if not args.get(m[1]) and not _inside_quotes(text, m.start())]


def _inside_quotes(text: str, at: int) -> bool:
    quote = ""
    escaped = False
    for char in text[:at]:
        if escaped:
            escaped = False
        elif char == "\\" and quote in ('"', "'"):
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'`":
            quote = char
    return bool(quote)
