"""The report as plain text for people: a table of checks, then the facts. PURE: no I/O, no colour (the caller may add it)."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.report.model import Report

WIDTH = 120
MARKS = {True: "pass", False: "FAIL", None: "UNKNOWN"}


def render_text(report: Report, *, width: int = WIDTH) -> str:
    """The whole report, no line longer than `width` where words allow it; it ends with a line feed."""
    return "\n".join(line.rstrip() for line in _lines(report, width)) + "\n"


def _lines(report: Report, width: int) -> Iterator[str]:
    verdict, scenario = report.verdict, report.scenario
    yield f"{verdict.outcome.headline}: {scenario.name} on {report.platform.name} (exit {verdict.exit_code})"
    yield from textwrap.wrap(verdict.summary, width)
    yield ""
    rows = [(check.name, MARKS[check.passed], check.expected, check.actual) for check in verdict.checks]
    yield from table(("CHECK", "RESULT", "EXPECTED", "ACTUAL"), rows, width)
    for check in verdict.failures:
        if check.evidence:
            yield from ("", f"Evidence for {check.name}:")
            yield from (f"  {line}" for line in check.evidence)
    yield from ("", "Timeline (seconds since the release was asked for)")
    yield from (f"  {event.seconds:8.1f}  {event.what}" for event in report.timeline)
    yield from ("", "Analyses")
    measurements = [
        (run.name, metric.name, metric.phase, metric.raw_value or "-", metric.condition or "no condition")
        for run in report.observation.step_analyses
        for metric in run.metrics
    ]
    yield from table(("ANALYSISRUN", "METRIC", "PHASE", "VALUE", "CONDITION"), measurements, width)
    yield from ("", "What users got")
    yield from (f"  {name:24}{value}" for name, value in facts(report))
    yield ""
    versions = ", ".join(f"{part} {version}" for part, version in sorted(report.platform.versions.items()))
    yield from textwrap.wrap(f"Platform {report.platform.name}: {versions or 'no versions known'}", width)
    yield from (f"Note: {note}" for note in report.observation.notes)


def facts(report: Report) -> Iterator[tuple[str, str]]:
    """What users got, as names and values."""
    observation = report.observation
    total = len(observation.responses)
    yield "requests", f"{total}, of which {report.canary_requests} answered by {report.scenario.candidate}"
    yield "failed requests", f"{report.failures.total}, of which {report.failures_by_canary} by {report.scenario.candidate}"
    # The weights of the end are in force for two seconds, which is what they take to settle: nobody need have asked.
    for share in report.shares:
        if share.percent is not None:
            yield f"share at weight {share.weight} %", f"{share.percent:.1f} % of {share.requests}"
        elif share.weight:
            yield f"share at weight {share.weight} %", "nobody asked"
    yield "load", f"{report.achieved_rps:.1f}/s of {report.scenario.rps:g}/s"
    yield "decision after", _seconds(report.decided_after)
    yield "time to detect", _seconds(report.detect_seconds)
    yield "time to safe", _seconds(report.safe_seconds)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> Iterator[str]:
    """Columns as wide as their content; the last two share what is left of the width and wrap inside their cells."""
    cells = [header, *rows]
    fixed = [max(len(row[column]) for row in cells) for column in range(len(header) - 2)]
    left = max(width - sum(fixed) - 2 * (len(header) - 1), 40)
    wanted = [max(len(row[column]) for row in cells) for column in (-2, -1)]
    first = min(wanted[0], max(left - wanted[1], left // 2))
    widths = [*fixed, first, max(left - first, 20)]
    for row in cells:
        wrapped = [textwrap.wrap(cell, size) or [""] for cell, size in zip(row, widths, strict=True)]
        for line in range(max(map(len, wrapped))):
            parts = (lines[line] if line < len(lines) else "" for lines in wrapped)
            yield "  ".join(part.ljust(size) for part, size in zip(parts, widths, strict=True)).rstrip()
