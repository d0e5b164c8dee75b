"""The report as GitHub's Markdown, for the summary of a CI job. PURE: no I/O."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from harness.report.text import facts
from harness.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.report.model import Report
    from harness.verdict import Check

ICONS = {Outcome.EXPECTED: "✅", Outcome.OTHER_DECISION: "❌", Outcome.INCONCLUSIVE: "⚠️"}
MARKS = {True: "✅ pass", False: "❌ fail", None: "❔ unknown"}
_SPECIAL = re.compile(r"([\\`*_\[\]<>&|~#$])")


def render_markdown(report: Report) -> str:
    """The verdict and what did not pass; everything else folded away. It ends with a line feed."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    verdict, scenario = report.verdict, report.scenario
    yield f"## {ICONS[verdict.outcome]} {verdict.outcome.headline}: {escape(scenario.name)}"
    yield ""
    yield escape(verdict.summary)
    yield ""
    yield f"Due: **{scenario.expect.value}**, because {escape(scenario.fault.why)}. Taken: **{verdict.taken.value}**."
    yield ""
    if verdict.failures:
        yield from _checks(verdict.failures)
        yield ""
    yield from markdown_table(("What users got", ""), facts(report))
    yield ""
    passed = [check for check in verdict.checks if check.passed]
    yield from folded(f"{len(passed)} of {len(verdict.checks)} checks passed", _checks(passed))
    yield from folded("Analyses", markdown_table(("AnalysisRun", "Metric", "Phase", "Value", "Condition"), (
        (run.name, metric.name, metric.phase, metric.raw_value or "-", metric.condition or "no condition")
        for run in report.observation.step_analyses for metric in run.metrics
    )))  # fmt: skip
    versions = [*sorted(report.platform.versions.items())]
    versions += [(scenario.stable, report.observation.stable_image), (scenario.candidate, report.observation.candidate_image)]
    yield from folded(f"Parts (platform {escape(report.platform.name)})", markdown_table(("Part", "Version"), versions))
    if report.reproduction.command:
        yield from ("", "```sh", fenced(shlex.join(report.reproduction.command)), "```")
    for note in report.observation.notes:
        yield from ("", f"> {escape(note)}")


def _checks(checks: Iterable[Check]) -> Iterator[str]:
    rows = ((check.name, MARKS[check.passed], check.expected, check.actual) for check in checks)
    return markdown_table(("Check", "Result", "Expected", "Actual"), rows)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table; its cells are plain text, and are escaped."""
    yield "| " + " | ".join(escape(cell) for cell in header) + " |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        yield "| " + " | ".join(escape(cell) for cell in row) + " |"


def folded(summary: str, lines: Iterable[str]) -> Iterator[str]:
    """Lines behind a summary that opens them."""
    yield from (f"<details><summary>{summary}</summary>", "", *lines, "", "</details>", "")


def escape(text: str) -> str:
    """Plain text on one line: nothing in it is markup, mentions anybody, or ends a cell."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def fenced(text: str) -> str:
    """Text that cannot end the fence around it."""
    return text.replace("```", "` ` `")
