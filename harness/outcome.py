"""One scenario from the command line: show it while it runs, write its reports, and say how it ended."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import click

from harness.errors import HarnessError
from harness.load import Load
from harness.observation import Observation
from harness.options import Common
from harness.platforms import Platform
from harness.progress import LoadNow, Progress, live_state, make_progress
from harness.release import RELEASE
from harness.report_folder import not_written
from harness.run import Options, run
from harness.scenario import Scenario
from harness.secrecy import redacted
from harness.verdict import Verdict
from harness.watch import Watcher

if TYPE_CHECKING:
    from harness.report import Report

RATE_SECONDS = 3.0
"""The load that is shown is that of the last three seconds: less jumps about, more lags behind."""


def play(scenario: Scenario, common: Common, options: Options, platform: Platform, *, command: tuple[str, ...] = ()) -> int:
    """Run a scenario and return its exit code; `command` is what was typed. Raises the HarnessError that kept it unjudged."""
    # With JSON on standard output, people watch standard error.
    progress = make_progress(sys.stderr if common.output == "json" else sys.stdout, no_color=not common.color)

    def tell(observation: Observation, verdict: Verdict) -> None:
        progress.close()
        try:
            # `run` has had it imported meanwhile: nobody waits for it.
            from harness.report import Reproduction  # noqa: PLC0415
            from harness.report_files import inputs_of, report_of, write_reports  # noqa: PLC0415

            again = Reproduction(command=command, inputs=inputs_of(options))
            report = report_of(scenario, observation, verdict, platform, again)
        except Exception as error:
            _tell_briefly(verdict, common)
            click.echo(f"warning: {not_written(options.report_dir, error)}", err=True)
            return
        _tell(report, common, options, *write_reports(report, options.report_dir))

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


def _tell(report: Report, common: Common, options: Options, written: dict[str, str], warnings: list[str]) -> None:
    name = "report.json" if common.output == "json" else "report.txt"
    if name not in written:
        _tell_briefly(report.verdict, common)
    elif common.output == "json":
        click.echo(written[name], nl=False)
    else:
        click.echo("\n" + written[name], nl=False)
        # Once more at the end, where a person looks after a long table.
        click.echo(f"\n{report.verdict.outcome.headline}: {report.verdict.summary}")
        click.echo(f"reports: {options.report_dir}")
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def _tell_briefly(verdict: Verdict, common: Common) -> None:
    """What is left to say when the report itself could not be made."""
    if common.output == "json":
        brief = {"outcome": verdict.outcome.name.lower(), "exit_code": verdict.exit_code, "summary": verdict.summary}
        click.echo(json.dumps(brief))
    else:
        click.echo(f"\n{verdict.outcome.headline}: {verdict.summary}")


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
