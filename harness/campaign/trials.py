"""`trials`: so many independent releases of one variant, and what they say about the gate's probability to roll it back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.campaign.lanes import Done, Job, LaneFacts, run_jobs
from harness.campaign.store import Store
from harness.campaign.trial import Summary, Trial, invalid, summarize, trial_of
from harness.errors import Inconclusive
from harness.platforms import Platform
from harness.report_files import report_of, write_reports
from harness.run import Options, refuse_bad_chart
from harness.scenario import Scenario

MIN_INVALID = 5
"""So many invalid trials are put up with, or half as many as are wanted: beyond that the machine or the gate is at fault."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What is asked for: `count` valid trials of a scenario. Trial i has the seed scenario.seed + i: all are independent."""

    scenario: Scenario
    count: int
    folder: Path
    lanes: int | None = None

    def spec(self, options: Options) -> dict[str, Any]:
        """What makes two campaigns the same, as JSON: everything but their size and their lanes."""
        scenario = self.scenario
        return {
            "scenario": scenario.name, "fault": dict(scenario.fault.settings), "kind": scenario.fault.kind,
            "steps": list(scenario.steps), "window_seconds": scenario.window_seconds, "rps": scenario.rps, "seed": scenario.seed,
            "gate": _digest(options), "set": json.loads(json.dumps(options.user_values)),
        }  # fmt: skip


def _digest(options: Options) -> str:
    """A fingerprint of the chart and the values files: another gate is another campaign."""
    files = sorted(path for path in options.chart.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in (*files, *options.values_files):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@dataclass(kw_only=True)
class _Progress:
    """The state of a campaign while it runs: hands out trials, and keeps those that have ended."""

    campaign: Campaign
    store: Store
    platform: Platform
    say: Say
    trials: list[Trial]
    _given: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._next = 1 + max((trial.index for trial in self.trials), default=0)

    @property
    def valid(self) -> int:
        return sum(trial.valid for trial in self.trials)

    def source(self) -> Job | None:
        """The next trial, unless those that are done and those under way are enough."""
        if self.valid + len(self._given) >= self.campaign.count:
            return None
        index, scenario = self._next, self.campaign.scenario
        self._next += 1
        self._given.add(index)
        return Job(
            key=f"trial-{index}", scenario=replace(scenario, seed=scenario.seed + index),
            report_dir=self.campaign.folder / f"trial-{index}",
        )  # fmt: skip

    def finished(self, done: Done) -> None:
        """Keep a trial. Raises Inconclusive when too many proved nothing."""
        index, scenario = int(done.job.key.removeprefix("trial-")), done.job.scenario
        if done.verdict is None or done.observation is None:
            trial = invalid(index, scenario.seed, str(done.error), done.seconds)
        else:
            report = report_of(scenario, done.observation, done.verdict, self.platform)
            for warning in write_reports(report, done.job.report_dir, step_summary=False)[1]:
                self.say(warning)
            trial = trial_of(index, scenario.seed, scenario, done.observation, done.verdict, seconds=done.seconds)
        self._given.discard(index)
        self.trials.append(trial)
        self.store.add(trial)
        self.say(f"{self.valid} of {self.campaign.count}: {told(trial)}")
        wrong = len(self.trials) - self.valid
        if wrong > max(MIN_INVALID, self.campaign.count // 2):
            raise Inconclusive(f"{wrong} of {len(self.trials)} trials proved nothing; the last one: {trial.why_invalid}")


def told(trial: Trial) -> str:
    """A trial in one line."""
    if not trial.valid:
        return f"trial {trial.index} is invalid and counts for nothing: {trial.why_invalid}"
    if not trial.rolled_back:
        return f"trial {trial.index} promoted, {trial.failed_requests} failed requests"
    step = "" if trial.step is None else f" at step {trial.step + 1}"
    detect = "" if trial.detect_seconds is None else f" after {trial.detect_seconds:.1f} s"
    return f"trial {trial.index} rolled back{step}{detect}, {trial.failed_requests} failed requests"


def run_campaign(
    campaign: Campaign, options: Options, platform: Platform, say: Say
) -> tuple[list[Trial], Summary, LaneFacts | None]:
    """Run what is missing of a campaign. Raises a HarnessError; every trial that had ended is kept, and it can go on later."""
    store = Store(folder=campaign.folder)
    spec = campaign.spec(options)
    trials = store.look(spec)
    progress = _Progress(campaign=campaign, store=store, platform=platform, say=say, trials=trials)
    facts = None
    if trials:
        say(f"going on: {progress.valid} of {campaign.count} valid trials are there")
    if progress.valid < campaign.count:
        platform.setup(say)
        refuse_bad_chart(campaign.scenario, options, platform)
        with platform.session(say, keep=options.keep) as endpoints:
            store.begin(spec)
            facts = run_jobs(
                progress.source, options, platform, endpoints, lanes=campaign.lanes, most=campaign.count, say=say,
                finished=progress.finished,
            )  # fmt: skip
    return trials, summarize(trials, len(campaign.scenario.steps)), facts


def points(scenario: Scenario, summary: Summary) -> list[Mapping[str, Any]]:
    """What `harness oc --points` puts beside its curves."""
    return [{
        "error_rate_percent": scenario.error_rate_percent, "rps": scenario.rps, "window_seconds": scenario.window_seconds,
        "trials": summary.rollback.trials, "rollbacks": summary.rollback.successes,
    }]  # fmt: skip


def summary_json(campaign: Campaign, summary: Summary, facts: LaneFacts | None) -> dict[str, Any]:
    """The campaign's result for programs."""
    return {
        **asdict(summary), "points": points(campaign.scenario, summary), "lanes": asdict(facts) if facts else None,
        "probability_of_rollback": summary.rollback.share if summary.rollback.trials else None,
    }
