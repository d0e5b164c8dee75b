"""A verdict's reports as files: every form of them, and what is told when one cannot be written."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from harness.observation import Observation
from harness.platforms import Platform
from harness.report import (
    PlatformFacts,
    Report,
    Reproduction,
    build_report,
    render_html,
    render_json,
    render_junit,
    render_markdown,
    render_text,
)
from harness.report_folder import not_written
from harness.run import Options
from harness.scenario import Scenario
from harness.secrecy import redacted
from harness.verdict import Verdict


def report_of(
    scenario: Scenario, observation: Observation, verdict: Verdict, platform: Platform,
    again: Reproduction = Reproduction(),  # noqa: B008 -- frozen
) -> Report:
    """What is reported of a verdict on this platform: with the versions of its parts, and how to have it again."""
    return build_report(scenario, observation, verdict, PlatformFacts(name=platform.name, versions=platform.facts()), again)


def write_reports(report: Report, folder: Path, *, step_summary: bool = True) -> tuple[dict[str, str], list[str]]:
    """Write every form of the report, the plainest first; returns what was rendered, and a line for each not written.

    A verdict that was reached stays what it is, whatever becomes of its reports. With GITHUB_STEP_SUMMARY set, as GitHub sets
    it for each step of a job, the Markdown is appended to that file too, unless there are many reports of one step.
    """
    forms: dict[str, Callable[[], str]] = {
        "report.json": lambda: json.dumps(render_json(report), indent=2) + "\n",
        "report.txt": lambda: render_text(report),
        "report.xml": lambda: render_junit(report),
        "report.md": lambda: render_markdown(report),
        "report.html": lambda: render_html(report),
    }
    rendered: dict[str, str] = {}
    warnings = []
    for name, render in forms.items():
        try:
            rendered[name] = redacted(render())
            (folder / name).write_text(rendered[name], encoding="utf-8")
        except Exception as error:
            warnings.append(not_written(folder / name, error))
    summary = os.environ.get("GITHUB_STEP_SUMMARY") if step_summary else None
    if summary and "report.md" in rendered:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(rendered["report.md"])
        except Exception as error:
            warnings.append(not_written(Path(summary), error))
    return rendered, warnings


def inputs_of(options: Options) -> dict[str, str]:
    """Digests of the chart and of the user's values files, so that a later run can be told to be of the same."""
    try:
        found = {"chart": _digest_of(options.chart)}
        return found | {f"values file {file.name}": _digest_of(file) for file in options.values_files}
    except OSError:
        return {}


def _digest_of(place: Path) -> str:
    """Of a file, or of a folder: over each file's path in it and content. Raises OSError."""
    if not place.is_dir():
        return f"sha256:{hashlib.sha256(place.read_bytes()).hexdigest()}"
    digest = hashlib.sha256()
    for file in sorted(place.rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(place)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return f"sha256:{digest.hexdigest()}"
