"""PURE: reads a fault plan from the environment or from JSON, with one validator, and writes it as JSON.

The JSON schema in openapi.json is made from the same table of fields, so it says what the validator does. What no schema can
say (rates that add up to more than 100, quantiles out of order, …) only the validator refuses.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from webapp.fault_schema import (
    HEADER_PATTERN,
    MAX_RULES,
    PLAN_KEYS,
    PROCESS_FIELDS,
    QUANTILE_KEYS,
    REQUEST_FIELDS,
    RULE_KEYS,
    USER_ROUTES,
    Field,
    variable,
)
from webapp.faults import FaultPlan, LatencyQuantiles, RequestFaults, Scope

_HEADER = re.compile(HEADER_PATTERN)
_SHOWN = 80  # characters of a refused value that a message repeats


class PlanError(ValueError):
    """The plan cannot be used; `problems` has one line for each thing that is wrong, and the message joins them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def plan_from_environ(environ: Mapping[str, str]) -> FaultPlan:
    """The plan that the FAULT_* variables describe; a blank one is as good as unset. Raises PlanError."""
    texts = {key: text for key in PLAN_KEYS if (text := environ.get(variable(key), "").strip())}
    values: dict[str, object] = {
        field.key: field.from_text(texts[field.key]) for field in (*REQUEST_FIELDS, *PROCESS_FIELDS) if field.key in texts
    }
    if "routes" in texts:
        values["routes"] = [route for part in texts["routes"].split(",") if (route := part.strip())]
    if "header" in texts:
        values["header"] = texts["header"]
    if "rules" in texts:
        try:
            values["rules"] = json_value(texts["rules"])
        except ValueError:
            values["rules"] = texts["rules"]
    return _Reader(values, name=variable, shown=lambda key: repr(environ[variable(key)])).plan()


def plan_from_json(value: object, *, at_run_time: bool = True) -> FaultPlan:
    """The plan that a parsed JSON value describes; raises PlanError. `at_run_time` refuses what only a start can do."""
    if not isinstance(value, dict):
        raise PlanError(["the plan must be a JSON object"])
    reader = _Reader(value, name=str, shown=lambda key: _json_text(value[key]))
    if at_run_time and value.get("slow_start_seconds", 0) != 0:
        reader.reject("slow_start_seconds", f"works at a start only, so it is set by {variable('slow_start_seconds')}")
    return reader.plan()


def plan_to_json(plan: FaultPlan) -> dict[str, Any]:
    """The plan with all of its keys; `plan_from_json` reads the same plan back."""
    process = {field.key: getattr(plan, field.key) for field in PROCESS_FIELDS}
    return {**_rule_to_json(plan), "rules": [_rule_to_json(rule) for rule in plan.rules], **process}


def json_value(text: str | bytes) -> object:
    """Parse strict JSON, without NaN and Infinity or a key twice; raises ValueError, also for what is nested too deeply."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key stands twice in one object, and only one of them could count")
        return found

    try:
        return json.loads(text, parse_constant=refuse, object_pairs_hook=once)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _json_text(value: object) -> str:
    try:
        return json.dumps(value)
    except RecursionError:  # just shallow enough for the parser, which stood higher on the stack
        return "…"


def _rule_to_json(faults: RequestFaults) -> dict[str, Any]:
    quantiles = faults.quantiles or LatencyQuantiles(p50_ms=0.0, p90_ms=0.0, p99_ms=0.0)
    return {
        "routes": list(faults.scope.routes),
        "header": faults.scope.header,
        "error_rate": faults.error_rate,
        "status_code": faults.status_code,
        "latency_ms": faults.latency_ms,
        "latency_jitter_ms": faults.jitter_ms,
        "latency_p50_ms": quantiles.p50_ms,
        "latency_p90_ms": quantiles.p90_ms,
        "latency_p99_ms": quantiles.p99_ms,
        "hang_rate": faults.hang_rate,
        "reset_rate": faults.reset_rate,
    }


class _Reader:
    """Reads values under names that the writer knows (`name`), repeats them as they were given (`shown`), collects problems."""

    def __init__(self, values: Mapping[str, Any], *, name: Callable[[str], str], shown: Callable[[str], str]) -> None:
        self._values = values
        self._name = name
        self._shown = shown
        self.problems: list[str] = []

    def reject(self, key: str, rule: str) -> None:
        text = self._shown(key)
        if len(text) > _SHOWN:
            text = text[:_SHOWN] + "…"
        self.problems.append(f"{self._name(key)}={text}: {rule}")

    def plan(self) -> FaultPlan:
        """The whole plan; raises PlanError with every problem of it."""
        self._refuse_unknown(PLAN_KEYS)
        faults = self._faults()
        rules = self._rules()
        process = {field.key: self._number(field) for field in PROCESS_FIELDS}
        if self.problems:
            raise PlanError(self.problems)
        return FaultPlan(**faults, rules=rules, **process)

    def _refuse_unknown(self, known: tuple[str, ...]) -> None:
        for key in self._values:
            if key not in known:
                self.problems.append(f"{self._name(json.dumps(key)[:_SHOWN])}: unknown; known are {', '.join(known)}")

    def _number(self, field: Field) -> Any:
        value = self._values.get(field.key, field.default)
        if not field.accepts(value):
            self.reject(field.key, field.rule)
            value = field.default
        if value is None:
            return None
        return int(value) if field.whole else float(value) + 0  # and no -0.0

    def _faults(self) -> dict[str, Any]:
        """The arguments of a RequestFaults."""
        read = {field.key: self._number(field) for field in REQUEST_FIELDS}
        latency, jitter = read["latency_ms"], read.pop("latency_jitter_ms")
        if jitter > latency:
            # Clamping at zero instead would quietly shift the mean away from the latency.
            self.reject("latency_jitter_ms", f"must not exceed {self._name('latency_ms')} ({latency:g})")
        p50, p90, p99 = (read.pop(key) for key in QUANTILE_KEYS)
        given = [key for key in QUANTILE_KEYS if key in self._values]
        if given and latency > 0 and p50 + p90 + p99 > 0:
            self.reject(given[0], f"cannot be combined with {self._name('latency_ms')}")
        elif given and (len(given) < len(QUANTILE_KEYS) or not p50 <= p90 <= p99):
            names = [self._name(key) for key in QUANTILE_KEYS]
            self.reject(given[0], f"{names[0]}, {names[1]} and {names[2]} must be set together, in rising order")
        rates = [key for key in ("error_rate", "hang_rate", "reset_rate") if read[key] > 0]
        if math.fsum(read[key] for key in rates) > 100 + 1e-9:
            self.reject(rates[-1], f"{' + '.join(self._name(key) for key in rates)} must not exceed 100")
        quantiles = LatencyQuantiles(p50_ms=p50, p90_ms=p90, p99_ms=p99) if p99 > 0 else None
        return {**read, "jitter_ms": jitter, "quantiles": quantiles, "scope": self._scope()}

    def _scope(self) -> Scope:
        routes, header = self._values.get("routes", []), self._values.get("header", "")
        if not isinstance(routes, list) or len(routes) > len(USER_ROUTES) or any(route not in USER_ROUTES for route in routes):
            self.reject("routes", f"must list some of {', '.join(USER_ROUTES)}, each once at most")
            routes = []
        if not isinstance(header, str) or not _HEADER.fullmatch(header):
            self.reject("header", "must be a header's name, or its name and value as in `Name: value`")
            header = ""
        return Scope(routes=tuple(routes), header=header)

    def _rules(self) -> tuple[RequestFaults, ...]:
        rules = self._values.get("rules", [])
        if not isinstance(rules, list) or len(rules) > MAX_RULES or not all(isinstance(rule, dict) for rule in rules):
            self.reject("rules", f"must be a JSON list of at most {MAX_RULES} objects")
            return ()
        read = []
        for number, rule in enumerate(rules):
            reader = self._for_rule(number, rule)
            reader._refuse_unknown(RULE_KEYS)
            read.append(RequestFaults(**reader._faults()))
            self.problems += reader.problems
        return tuple(read)

    def _for_rule(self, number: int, rule: Mapping[str, Any]) -> _Reader:
        prefix = f"{self._name('rules')}[{number}]."
        return _Reader(rule, name=lambda key: prefix + key, shown=lambda key: _json_text(rule[key]))
