"""PURE: the answers as one model, as text and as JSON."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.oc import advice
from harness.oc.advice import Solution, Wanted
from harness.oc.exact import Plan, prepare
from harness.oc.gate import Cause, Gate, GateMetric
from harness.oc.result import Characteristic

_MEANS_AT_MOST = 6
"""Shown one by one."""
POWERS = (0.80, 0.95, 0.99)


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A rate, of which share of releases it was rolled back in a simulation, and the ends of the exact interval."""

    rate: float
    runs: int
    rollbacks: int
    low: float
    high: float
    seconds: float
    failed: float


@dataclass(frozen=True, kw_only=True)
class Answers:
    """All that `harness oc` says. Rates are shares from 0 to 1."""

    plan: Plan
    axis: str
    other: float
    rates: tuple[float, ...]
    table: Characteristic
    healthy: tuple[float, ...]
    false: Characteristic
    threshold: float | None
    caught: dict[float, float | None]
    wanted: Wanted | None = None
    window: Solution | None = None
    rps: Solution | None = None
    simulated: tuple[Simulated, ...] = ()
    points: list[dict[str, Any]] = field(default_factory=list)

    @property
    def gate(self) -> Gate:
        """The gate that is spoken of."""
        return self.plan.gate


def answer(
    gate: Gate, *, rps: float, kind: str, axis: str, rates: tuple[float, ...], healthy: tuple[float, ...], other: float = 0.0,
    wanted: Wanted | None = None, simulated: tuple[Simulated, ...] = (), points: list[dict[str, Any]] | None = None,
) -> Answers:  # fmt: skip
    """Compute everything. Raises Unreadable for a gate that cannot be computed."""
    plan = prepare(gate, rps=rps, kind=kind)
    return Answers(
        plan=plan, axis=axis, other=other, rates=rates, table=advice.of(plan, rates, axis=axis, other=other), healthy=healthy,
        false=advice.of(plan, healthy, axis=axis, other=other), threshold=advice.threshold(gate, axis),
        caught={power: advice.smallest_caught(plan, power, axis=axis, other=other) for power in POWERS}, wanted=wanted,
        window=advice.window_for(gate, wanted, rps=rps, kind=kind, other=other) if wanted else None,
        rps=advice.rps_for(gate, wanted, kind=kind, other=other) if wanted else None,
        simulated=simulated, points=points or [],
    )  # fmt: skip


def percent(share: float) -> str:
    """A share as a rate is written: 0.5 %."""
    return f"{100 * share:.4g} %"


def chance(value: float) -> str:
    """A probability; never shown as certain when it is not."""
    if 0 < value < 0.0005:
        return "<0.001"
    return ">0.999" if 0.9995 <= value < 1 - 1e-12 else f"{value:.3f}"


def text(found: Answers) -> str:
    """For people: what is computed, the table, and the answers."""
    return "\n".join([*_head(found), "", *_table(found), "", *_says(found), *_suggests(found), *_points(found)])


def _head(found: Answers) -> list[str]:
    gate, plan = found.gate, found.plan
    steps = [f"{each.weight:g} %" + (f" for {each.seconds:g} s" if each.seconds else "") for each in gate.steps]
    lines = [f"gate {gate.name}: {', '.join(steps)}", f"{plan.rps:g} requests/s in all; traffic: {plan.kind}"]
    means = [f"{each:.0f}" for each in plan.means]
    if len(means) > _MEANS_AT_MOST:
        runs = [(mean, len(list(same))) for mean, same in itertools.groupby(means)]
        means = [mean if times == 1 else f"{times} x {mean}" for mean, times in runs]
    lines.append(f"canary requests per window, on average: {', '.join(means)}")
    lines += [f"  {metric.name}: {metric.condition}{_limits(metric)}" for metric in gate.metrics]
    if gate.background is not None:
        begins = gate.beginnings[gate.background.step] + gate.background.after
        names = ", ".join(each.metric.name for each in gate.background.metrics)
        lines.append(f"in the background, from {begins:g} s on until the steps end at {gate.beginnings[-1]:g} s: {names}")
    lines += [f"note: {note}" for note in gate.notes]
    if found.other:
        lines.append(f"with {percent(found.other)} {_LABEL[advice.LATENCY if found.axis == advice.ERRORS else advice.ERRORS]}")
    return lines


def _limits(metric: GateMetric) -> str:
    """What a metric bears, where that is not the usual nothing."""
    limits = metric.limits
    told = [f"failureLimit {limits.failures}"] if limits.failures else []
    told += [f"inconclusiveLimit {limits.inconclusive}"] if limits.inconclusive else []
    told += [f"consecutiveSuccessLimit {limits.successes}"] if limits.successes else []
    return f" ({', '.join(told)})" if told else ""


_LABEL = {advice.ERRORS: "errors", advice.LATENCY: "requests over the latency limit"}


def _table(found: Answers) -> list[str]:
    measured = found.gate.judged
    heads = [_LABEL[found.axis] if found.axis == advice.ERRORS else "too slow", "rolled back"]
    heads += [f"at {found.gate.steps[index].weight:g} %" for index in measured]
    heads += ["no traffic", "seconds", "failed"]
    simulated = {each.rate: each for each in found.simulated}
    heads += ["simulated", "(95 %)"] if simulated else []
    rows = [heads]
    table = found.table
    for at, rate in enumerate(found.rates):
        row = [percent(rate), chance(float(table.rollback[at]))]
        row += [chance(float(table.by_step[index][at])) for index in measured]
        row += [chance(float(table.by_cause[Cause.TRAFFIC][at])), f"{table.seconds[at]:.0f}", f"{table.failed[at]:.1f}"]
        if simulated and rate in simulated:
            each = simulated[rate]
            row += [f"{each.rollbacks / each.runs:.3f}", f"{each.low:.3f}-{each.high:.3f}"]
        rows.append(row)
    widths = [max(len(row[column]) if column < len(row) else 0 for row in rows) for column in range(len(heads))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=False)) for row in rows] + [
        "rolled back: P(rollback), and where; no traffic: for lack of requests; seconds, failed requests: until the decision"
    ]


def _says(found: Answers) -> list[str]:
    what = _LABEL[found.axis]
    limit = "it does not look at them" if found.threshold is None else f"its own limit is {percent(found.threshold)}"
    lines = [f"What it catches ({what}; {limit}):"]
    for power, rate in found.caught.items():
        told = "nothing so surely" if rate is None else f"{percent(rate)} and more"
        lines.append(f"  with {percent(power)} certainty: {told}")
    lines.append("How often it aborts a release that is as good as this:")
    for at, rate in enumerate(found.healthy):
        false, dry = float(found.false.rollback[at]), float(found.false.by_cause[Cause.TRAFFIC][at])
        lack = f", of which {chance(dry)} for lack of traffic" if dry else ""
        lines.append(f"  {percent(rate)} {what}: {chance(false)}{lack}")
    return lines


def _suggests(found: Answers) -> list[str]:
    wanted = found.wanted
    if wanted is None or found.window is None or found.rps is None:
        return []
    caught = f"{percent(wanted.bad)} caught with {percent(wanted.power)} certainty"
    lines = ["", f"Wanted: {caught}, {percent(wanted.healthy)} aborted in at most {percent(wanted.max_false)} of releases:"]
    places = ((found.window, "a window of", "s", f"at {found.plan.rps:g} requests/s"),
              (found.rps, "traffic of", "requests/s", "with the windows as they are"))  # fmt: skip
    if not found.gate.plain:
        lines.append("  (delays and intervals in proportion to the window)")
    for solution, before, unit, given in places:
        if solution.value is None:
            lines.append(f"  {given}: cannot be had: {solution.reason}")
        else:
            chances = f"caught {chance(solution.power)}, aborted {chance(solution.false)}"
            lines.append(f"  {given}: {before} {solution.value:g} {unit} or more ({chances})")
    return lines


def _points(found: Answers) -> list[str]:
    lines = ["", "Measured:"] if found.points else []
    for each in found.points:
        verdict = "inside" if each["inside"] else "OUTSIDE"
        slow = f" and {each['slow_percent']:g} % too slow" if each["slow_percent"] else ""
        version = f"{each['error_rate_percent']:g} % errors{slow}"
        where = f"{version}, {each['rps']:g} requests/s, {each['window_seconds']:g} s"
        share = f"{each['rollbacks']} of {each['trials']} rolled back ({each['low']:.3f}-{each['high']:.3f})"
        lines.append(f"  {where}: {share}, {each['model']} {each['expected']:.3f}: {verdict}")
    return lines


def plain(found: Answers) -> dict[str, Any]:
    """For programs. Rates in percent, probabilities from 0 to 1, times in seconds."""
    table, gate = found.table, found.gate
    rows = [
        {
            "rate_percent": _round(100 * rate), "rollback": _round(table.rollback[at]), "caught": _round(table.caught[at]),
            "by_step": [_round(value) for value in table.by_step[:, at]],
            "by_cause": {cause.name.lower(): _round(table.by_cause[cause][at]) for cause in Cause},
            "seconds_to_decision": _round(table.seconds[at]), "failed_requests": _round(table.failed[at]),
        }
        for at, rate in enumerate(found.rates)
    ]  # fmt: skip
    return {
        "gate": {
            "name": gate.name, "notes": list(gate.notes), "threshold_percent": _percent(found.threshold),
            "steps": [{"weight_percent": each.weight, "seconds": each.seconds, "measurements": len(each.measurements)}
                      for each in gate.steps],
            "metrics": [{"name": each.name, "cause": each.cause.name.lower(), "condition": each.condition,
                         "failure_limit": each.limits.failures, "inconclusive_limit": each.limits.inconclusive,
                         "consecutive_success_limit": each.limits.successes} for each in gate.metrics],
            "background": gate.background and {"begins_seconds": gate.beginnings[gate.background.step] + gate.background.after,
                                               "metrics": [each.metric.name for each in gate.background.metrics]},
        },
        "rps": found.plan.rps, "traffic": found.plan.kind, "axis": found.axis, "other_percent": _percent(found.other),
        "table": rows,
        "smallest_caught_percent": {f"{power:g}": _percent(rate) for power, rate in found.caught.items()},
        "healthy": [{"rate_percent": _round(100 * rate), "rollback": _round(found.false.rollback[at]),
                     "traffic": _round(found.false.by_cause[Cause.TRAFFIC][at])} for at, rate in enumerate(found.healthy)],
        "suggestion": _suggestion(found),
        "simulated": [
            {"rate_percent": _round(100 * each.rate), "runs": each.runs, "rollbacks": each.rollbacks, "low": _round(each.low),
             "high": _round(each.high), "seconds_to_decision": _round(each.seconds), "failed_requests": _round(each.failed)}
            for each in found.simulated
        ],
        "points": found.points,
    }  # fmt: skip


def _suggestion(found: Answers) -> dict[str, Any] | None:
    if found.wanted is None:
        return None
    told = {}
    for name, solution in (("window_seconds", found.window), ("rps", found.rps)):
        if solution is not None:
            told[name] = {"value": solution.value, "reason": solution.reason, "power": solution.power, "false": solution.false}
    return told


def _round(value: float | np.floating[Any]) -> float:
    return float(f"{float(value):.10g}")


def _percent(share: float | None) -> float | None:
    return None if share is None else _round(100 * share)
