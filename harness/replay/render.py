"""PURE: results as text, JSON and JUnit, and whether they are what was expected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from junitparser import Failure, JUnitXml, TestCase, TestSuite

from harness.lint.subject import SUCCESSFUL, mapping
from harness.replay.analysis import Measurement, Outcome, Tally
from harness.replay.cases import Case, Result

NEVER = "none"
"""The phase of a metric that was not measured, because another one had ended the run before."""


def expects(case: Case) -> bool:
    """Whether the case says what shall come out."""
    return case.phase is not None or bool(case.metrics)


def misses(result: Result) -> list[str]:
    """What came out otherwise than the case expects; one line each."""
    case, outcome = result.case, result.outcome
    found = []
    if case.phase is not None and case.phase != outcome.phase:
        found.append(f"expected {case.phase}, got {outcome.phase}{_why(outcome)}")
    phases = {tally.metric.name: tally for tally in outcome.tallies}
    for name, expected in case.metrics.items():
        tally = phases.get(name)
        phase = tally.phase if tally and tally.measurements else NEVER
        if expected.phase is not None and expected.phase != phase:
            found.append(f"{name}: expected {expected.phase}, got {phase}")
        value = tally.measurements[-1].value if tally and tally.measurements else ""
        if expected.value is not None and not same_value(expected.value, value):
            found.append(f"{name}: expected the value {expected.value}, got {value or 'none'}")
    return found


def same_value(expected: str, got: str) -> bool:
    """Whether two values are one: `0.05` and `[0.05]` are, and so are numbers that differ by a rounding of floating point."""
    one, other = (_numbers(text) for text in (expected, got))
    if one is None or other is None or len(one) != len(other):
        return False
    return all(a == b or (a != a and b != b) or abs(a - b) <= 1e-9 * max(abs(a), abs(b)) for a, b in zip(one, other, strict=True))  # noqa: PLR0124 -- NaN


def _numbers(text: str) -> list[float] | None:
    inner = text.strip().removeprefix("[").removesuffix("]")
    try:
        return [float(each) for each in inner.split(",")] if inner.strip() else [] if text.strip() else None
    except ValueError:
        return None


def text(results: Sequence[Result]) -> str:
    """A block for each AnalysisRun, with a line for each metric."""
    lines: list[str] = []
    for result in results:
        lines += _block(result)
    return "\n".join(lines)


def _block(result: Result) -> Iterable[str]:
    missed = misses(result)
    word = ("FAIL" if missed else "ok") if expects(result.case) else "-"
    outcome = result.outcome
    after = _clock(outcome.at_ms - _begin(outcome))
    yield f"{word:<5}{result.case.name} | {result.subject}: {outcome.phase} after {after}{_why(outcome)}"
    width = max((len(tally.metric.name) for tally in outcome.tallies), default=0)
    for tally in outcome.tallies:
        yield f"       {tally.metric.name:<{width}}  {_line(tally)}"
    yield from (f"       ! {line}" for line in missed)
    yield from (f"       note: {line}" for line in result.notes)


def _why(outcome: Outcome) -> str:
    return f" ({outcome.reason})" if outcome.reason and outcome.phase != SUCCESSFUL else ""


def _begin(outcome: Outcome) -> int:
    first = [tally.measurements[0].at_ms - tally.metric.delay_ms for tally in outcome.tallies if tally.measurements]
    return min(first, default=outcome.at_ms)


def _clock(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g} s"


def _line(tally: Tally) -> str:
    if not tally.measurements:
        return "not measured: the run had ended"
    last = tally.measurements[-1]
    dry = " (dry run)" if tally.metric.dry_run else ""
    count = len(tally.measurements)
    several = f" in the last of {count} measurements ({_tally(tally)})" if count > 1 else ""
    return f"{tally.phase:<12}  {last.message or last.value}{several}; {condition(tally.metric.spec)}{dry}"


def _tally(tally: Tally) -> str:
    counted = {"successful": tally.successful, "failed": tally.failed, "inconclusive": tally.inconclusive, "error": tally.error}
    return ", ".join(f"{number} {word}" for word, number in counted.items() if number)


def condition(spec: Mapping[str, Any]) -> str:
    """A metric's conditions in one line."""
    words = {"successCondition": "wants", "failureCondition": "fails on"}
    said = [f"{word} {spec[key]}" for key, word in words.items() if spec.get(key)]
    return ", ".join(said) or "has no condition"


def summary(results: Sequence[Result]) -> str:
    """The last line."""
    judged = [each for each in results if expects(each.case)]
    failed = sum(bool(misses(each)) for each in judged)
    if judged:
        wrong = f"{failed} otherwise" if failed else "all as expected"
        return f"{len(judged)} of {len(results)} analysis runs have an expectation: {wrong}"
    good = sum(each.outcome.phase == SUCCESSFUL for each in results)
    return f"{len(results)} analysis run{'s' if len(results) != 1 else ''}: {good} Successful"


def right(results: Sequence[Result]) -> bool:
    """Whether all came out as expected; where nobody expects anything, whether all are Successful."""
    judged = [each for each in results if expects(each.case)]
    if judged:
        return not any(map(misses, judged))
    return all(each.outcome.phase == SUCCESSFUL for each in results)


def as_json(results: Sequence[Result]) -> str:
    """Everything, each measurement with its query."""
    return json.dumps({"right": right(results), "runs": [_entry(each) for each in results]}, indent=2)


def _entry(result: Result) -> dict[str, Any]:
    return {
        "case": result.case.name, "templates": result.subject, "phase": result.outcome.phase, "reason": result.outcome.reason,
        "expected": result.case.phase, "misses": misses(result), "notes": list(result.notes),
        "metrics": [
            {
                "name": tally.metric.name, "phase": tally.phase if tally.measurements else NEVER, "dryRun": tally.metric.dry_run,
                "query": mapping(mapping(tally.metric.spec.get("provider")).get("prometheus")).get("query"),
                "successCondition": tally.metric.spec.get("successCondition"),
                "failureCondition": tally.metric.spec.get("failureCondition"),
                "measurements": [_measurement(each) for each in tally.measurements],
            }
            for tally in result.outcome.tallies
        ],
    }


def _measurement(each: Measurement) -> dict[str, Any]:
    return {"at": each.at_ms / 1000, "phase": each.phase, "value": each.value, "message": each.message}


def junit(results: Sequence[Result]) -> bytes:
    """A test for each AnalysisRun; one without an expectation passes when it is Successful, as the exit code has it."""
    suite = TestSuite("gate")
    judged = any(expects(each.case) for each in results)
    for each in results:
        case = TestCase(each.case.name, classname=each.subject)
        missed = misses(each)
        if not judged and each.outcome.phase != SUCCESSFUL:
            missed = [f"{each.outcome.phase}: {each.outcome.reason}"]
        if missed:
            case.result = [Failure("; ".join(missed))]
        case.system_out = "\n".join(_block(each))
        suite.add_testcase(case)
    xml = JUnitXml("gateproof")
    xml.add_testsuite(suite)
    written: bytes = xml.tostring()  # type: ignore[no-untyped-call]
    return written
