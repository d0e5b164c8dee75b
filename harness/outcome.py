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
from harness.secrecy import redacted
from harness.verdict import Verdict
from harness.watch import Watcher

RATE_SECONDS = 3.0
"""The load that is shown is that of the last three seconds: less jumps about, more lags behind."""


def play(scenario: Scenario, common: Common, options: Options, platform: Platform, *, command: tuple[str, ...] = ()) -> int:
    """Run a scenario and return its exit code; `command` is what was typed. Raises the HarnessError that kept it unjudged."""
    # With JSON on standard output, people watch standard error.
    progress = make_progress(sys.stderr if common.output == "json" else sys.stdout, no_color=not common.color)

    def tell(observation: Observation, verdict: Verdict) -> None:
        progress.close()
        try:
            facts = PlatformFacts(name=platform.name, versions=platform.facts())
            again = Reproduction(command=command, inputs=inputs_of(options))
            report = build_report(scenario, observation, verdict, facts, again)
        except Exception as error:
            _tell_briefly(verdict, common)
            click.echo(f"warning: {_not_written(options.report_dir, error)}", err=True)
            return
        _tell(report, common, options)

    try:
        verdict = run(
            scenario, options, platform, say=lambda line: progress.note(redacted(line)),
            show=Screen(progress, scenario).show, tell=tell,
        )
    except HarnessError as error:
        if common.output == "json":
            click.echo(json.dumps({"error": redacted(str(error)), "exit_code": error.exit_code}))
        raise
    finally:
        progress.close()
    return verdict.exit_code


def _tell(report: Report, common: Common, options: Options) -> None:
    written, warnings = write_reports(report, options.report_dir)
    name = "report.json" if common.output == "json" else "report.txt"
    if name not in written:
        _tell_briefly(report.verdict, common)
    elif common.output == "json":
        click.echo(written[name], nl=False)
    else:
        click.echo("\n" + written[name], nl=False)
        # Once more at the end, where a person looks after a long table.
        click.echo(f"\n{HEADLINES[report.verdict.outcome]}: {report.verdict.summary}")
        click.echo(f"reports: {options.report_dir}")
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def _tell_briefly(verdict: Verdict, common: Common) -> None:
    """What is left to say when the report itself could not be made."""
    if common.output == "json":
        brief = {"outcome": verdict.outcome.name.lower(), "exit_code": verdict.exit_code, "summary": verdict.summary}
        click.echo(json.dumps(brief))
    else:
        click.echo(f"\n{HEADLINES[verdict.outcome]}: {verdict.summary}")


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
            warnings.append(_not_written(folder / name, error))
    summary = os.environ.get("GITHUB_STEP_SUMMARY") if step_summary else None
    if summary and "report.md" in rendered:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(rendered["report.md"])
        except Exception as error:
            warnings.append(_not_written(Path(summary), error))
    return rendered, warnings


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
