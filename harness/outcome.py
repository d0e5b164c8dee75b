"""One scenario from the command line: show it while it runs, write its reports, and say how it ended."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click

from harness.errors import HarnessError
from harness.load import Load
from harness.observation import Observation
from harness.options import Common
from harness.platforms import Platform
from harness.progress import LoadNow, Progress, live_state, make_progress
from harness.release import RELEASE
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
from harness.report.text import HEADLINES
from harness.run import Options, run
from harness.scenario import Scenario
from harness.verdict import Verdict
from harness.watch import Watcher

RATE_SECONDS = 3.0
"""The load that is shown is that of the last three seconds: less jumps about, more lags behind."""


def play(scenario: Scenario, common: Common, options: Options, platform: Platform, *, command: tuple[str, ...] = ()) -> int:
    """Run a scenario and return its exit code; `command` is what was typed. Raises the HarnessError that kept it unjudged."""
    # With JSON on standard output, people watch standard error.
    progress = make_progress(sys.stderr if common.output == "json" else sys.stdout, no_color=not common.color)

    def tell(observation: Observation, verdict: Verdict) -> None:
        facts = PlatformFacts(name=platform.name, versions=platform.facts())
        report = build_report(scenario, observation, verdict, facts, Reproduction(command=command, inputs=inputs_of(options)))
        progress.close()
        _tell(report, common, options)

    try:
        verdict = run(
            scenario, options, platform, say=progress.note, show=Screen(progress, scenario).show, tell=tell
        )
    except HarnessError as error:
        if common.output == "json":
            click.echo(json.dumps({"error": str(error), "exit_code": error.exit_code}))
        raise
    finally:
        progress.close()
    return verdict.exit_code


def _tell(report: Report, common: Common, options: Options) -> None:
    text, data = render_text(report), json.dumps(render_json(report), indent=2) + "\n"
    warnings = write_reports(report, options.report_dir, text=text, data=data)
    click.echo(data if common.output == "json" else "\n" + text, nl=False)
    if common.output == "text":
        # Once more at the end, where a person looks after a long table.
        click.echo(f"\n{HEADLINES[report.verdict.outcome]}: {report.verdict.summary}")
        click.echo(f"reports: {options.report_dir}")
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def write_reports(report: Report, folder: Path, *, text: str, data: str) -> list[str]:
    """Write every form of the report, the plainest first; returns a line for each that could not be made.

    A verdict that was reached stays what it is, whatever becomes of its reports. With GITHUB_STEP_SUMMARY set, as GitHub sets
    it for each step of a job, the Markdown is appended to that file too.
    """
    forms: dict[str, Callable[[], str]] = {
        "report.json": lambda: data,
        "report.txt": lambda: text,
        "report.xml": lambda: render_junit(report),
        "report.md": lambda: render_markdown(report),
        "report.html": lambda: render_html(report),
    }
    warnings = []
    for name, render in forms.items():
        try:
            (folder / name).write_text(render(), encoding="utf-8")
        except Exception as error:
            warnings.append(_not_written(folder / name, error))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(render_markdown(report))
        except Exception as error:
            warnings.append(_not_written(Path(summary), error))
    return warnings


def _not_written(path: Path, error: Exception) -> str:
    told = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"{path} was not written ({told}); the verdict stands, and the exit code is its"


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


class Screen:
    """Turns what was watched into what a person sees."""

    def __init__(self, progress: Progress, scenario: Scenario) -> None:
        self._progress = progress
        self._scenario = scenario

    def show(self, watcher: Watcher, load: Load, released_at: float | None) -> None:
        """Show the state as it is now; the clock starts with the release."""
        rollout = watcher.get("rollouts", RELEASE)
        if rollout is None:
            return
        now = time.time()
        self._progress.update(live_state(
            rollout=rollout, replica_sets=watcher.latest("replicasets"), pods=watcher.latest("pods"),
            analysis_runs=watcher.latest("analysisruns"), virtual_service=watcher.get("virtualservices", RELEASE),
            load=_load_now(load, self._scenario.rps, now), now=now, started_at=released_at or now,
            window_seconds=self._scenario.window_seconds,
        ))


def _load_now(load: Load, offered: float, now: float) -> LoadNow:
    records = load.records()
    recent = 0
    for record in reversed(records):
        if record["at"] < now - RATE_SECONDS:
            break
        recent += 1
    failed = Counter(record["version"] or "" for record in records if not 200 <= record["status"] < 400)
    seconds = min(RATE_SECONDS, now - records[0]["started"]) if records else 0.0
    rate = recent / seconds if seconds >= 1 else offered  # too early to tell
    return LoadNow(offered_rps=offered, achieved_rps=rate, requests=len(records), failed=failed)
