"""A matrix and its outcome as a table, as JSON and as JUnit XML. PURE: no I/O."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from junitparser import Error, Failure, JUnitXml, Properties, Property, SystemOut, TestCase, TestSuite

from harness.matrix.model import Entry, Result, Status, exit_code, ordered

FORMAT = 1
"""Raised when a reader of the JSON would have to change."""
_UNPRINTABLE = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME_WIDTH = 48


def plan(entries: Sequence[Entry]) -> str:
    """The scenarios in the order in which they would be run."""
    rows = [("scenario", "expected", "window", "load", "steps", "about")]
    rows += [
        (
            entry.name, entry.expect.value, f"{entry.scenario.window_seconds:g} s", f"{entry.scenario.rps:g}/s",
            "-".join(map(str, entry.scenario.steps)), f"{entry.seconds:.0f} s" + (", alone" if entry.alone else ""),
        )
        for entry in [*ordered(e for e in entries if not e.alone), *ordered(e for e in entries if e.alone)]
    ]  # fmt: skip
    return _table(rows)


def table(results: Sequence[Result]) -> str:
    """One row for each scenario in the file's order, and a line for each that is not as expected."""
    rows = [("scenario", "expected", "gate", "outcome", "seconds")]
    rows += [
        (
            result.entry.name, result.entry.expect.value, result.decision,
            result.status.value + (" (second attempt, alone)" if result.again else ""), f"{result.seconds:.0f}",
        )
        for result in results
    ]  # fmt: skip
    lines = [_table(rows)]
    for result in results:
        if result.status is not Status.AS_EXPECTED:
            lines += ["", f"{result.entry.name}: {result.summary}"]
            lines += [f"  {check.name}: expected {check.expected}; {check.actual}" for check in result.failed]
            lines += [f"  report: {result.report}"] if result.report else []
    return "\n".join(lines)


def summary(results: Sequence[Result], *, seconds: float, ran: str) -> str:
    """The whole in one line."""
    found = Counter(result.status for result in results)
    told = ", ".join(f"{found[status]} {status.value}" for status in Status if found[status] or status is Status.AS_EXPECTED)
    return f"{len(results)} scenarios in {seconds:.0f} s ({ran}): {told}"


def to_json(results: Sequence[Result], *, file: str, seconds: float, ran: str, missing: int = 0) -> dict[str, Any]:
    """The outcome for programs; `exit_code` is the command's own, and none while scenarios are `missing`."""
    return {
        "format": FORMAT, "file": file, "seconds": round(seconds, 1), "ran": ran, "missing": missing,
        "exit_code": None if missing else exit_code(results),
        "scenarios": [_one(result) for result in results],
    }  # fmt: skip


def _one(result: Result) -> dict[str, Any]:
    entry, scenario = result.entry, result.entry.scenario
    return {
        "name": entry.name, "fault": {"kind": scenario.fault.kind, "settings": dict(scenario.fault.settings)},
        "window_seconds": scenario.window_seconds, "rps": scenario.rps, "steps": list(scenario.steps), "seed": scenario.seed,
        "values": entry.values, "alone": entry.alone, "expected": entry.expect.value, "because": sorted(entry.because),
        "decision": result.decision.replace(" ", "_"), "status": result.status.name.lower(), "summary": result.summary,
        "failed_checks": [
            {"name": check.name, "kind": check.kind.value, "expected": check.expected, "actual": check.actual}
            for check in result.failed
        ],
        "seconds": round(result.seconds, 1), "second_attempt": result.again, "report": result.report,
    }  # fmt: skip


def to_junit(results: Sequence[Result], *, file: str) -> str:
    """JUnit XML: another decision is a failure, a scenario that told nothing an error; each with the checks that failed."""
    suite = TestSuite(_clean(f"matrix {file}"))
    for result in results:
        entry = result.entry
        owner = f"matrix.{_word(entry.scenario.fault.kind)}"
        case: Any = TestCase(_clean(entry.name), classname=owner, time=round(result.seconds, 3))
        properties: Any = _untyped(Properties)()
        for name, value in (("expected", entry.expect.value), ("decision", result.decision)):
            properties.add_property(Property(name, value))
        case.append(properties)
        kind = {Status.OTHERWISE: Failure, Status.INCONCLUSIVE: Error}.get(result.status)
        if kind is not None:
            problem = kind(_clean(result.summary), type_=result.status.value)
            problem.text = _clean("\n".join(
                f"{check.name}: expected {check.expected}; {check.actual}" for check in result.failed
            ) or result.summary)  # fmt: skip
            case.result = [problem]
        if result.report:
            case.append(SystemOut(_clean(f"report: {result.report}")))
        suite.add_testcase(case)
    xml: Any = JUnitXml("harness matrix")
    xml.add_testsuite(suite)
    xml.update_statistics()
    return f'<?xml version="1.0" encoding="utf-8"?>\n{xml.tostring().decode()}\n'


def _untyped(made: Any) -> Any:
    # The library has no types of its own.
    return made


def _clean(text: str) -> str:
    """Without what XML cannot hold."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9-]", "-", text)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    cut = [tuple(_cut(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in cut) for column in range(len(cut[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cut]
    return "\n".join([lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


def _cut(cell: str) -> str:
    return cell if len(cell) <= _NAME_WIDTH else f"{cell[: _NAME_WIDTH - 1]}…"
