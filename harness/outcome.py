"""One scenario from the command line: show it while it runs, write its reports, and say how it ended."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

import click

from harness.errors import HarnessError
from harness.load import Load
from harness.observation import Observation
from harness.options import Common
from harness.platforms import Platform
from harness.progress import LoadNow, Progress, live_state, make_progress
from harness.release import RELEASE
from harness.report import PlatformFacts, Report, build_report, render_json, render_text
from harness.report.text import HEADLINES
from harness.run import Options, run
from harness.scenario import Scenario
from harness.verdict import Verdict
from harness.watch import Watcher

RATE_SECONDS = 3.0
"""The load that is shown is that of the last three seconds: less jumps about, more lags behind."""


def play(scenario: Scenario, common: Common, options: Options, platform: Platform) -> int:
    """Run a scenario and return its exit code. Raises the HarnessError that kept it from being judged."""
    # With JSON on standard output, people watch standard error.
    progress = make_progress(sys.stderr if common.output == "json" else sys.stdout, no_color=not common.color)

    def tell(observation: Observation, verdict: Verdict) -> None:
        facts = PlatformFacts(name=platform.name, versions=platform.facts())
        report = build_report(scenario, observation, verdict, facts)
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


def write_reports(report: Report, folder: Path) -> tuple[str, str]:
    """Write a report's files into a folder; returns the text and the JSON."""
    text, data = render_text(report), json.dumps(render_json(report), indent=2) + "\n"
    (folder / "report.txt").write_text(text, encoding="utf-8")
    (folder / "report.json").write_text(data, encoding="utf-8")
    return text, data


def _tell(report: Report, common: Common, options: Options) -> None:
    text, data = write_reports(report, options.report_dir)
    click.echo(data if common.output == "json" else "\n" + text, nl=False)
    if common.output == "text":
        # Once more at the end, where a person looks after a long table.
        click.echo(f"\n{HEADLINES[report.verdict.outcome]}: {report.verdict.summary}")
        click.echo(f"reports: {options.report_dir}")


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
