"""Run a matrix on a warm platform: side by side first, then, one by one, what must be alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.campaign.lanes import STARVED, Done, Job, run_jobs
from harness.errors import UsageError
from harness.matrix.model import Entry, Expect, Result, Status, assess, ordered
from harness.platforms import Endpoints, Platform, Say
from harness.release import merged
from harness.report_files import report_of, write_reports
from harness.run import Options, refuse_bad_chart

Finished = Callable[[Result], None]


def refuse_bad_values(entries: Sequence[Entry], options: Options, platform: Platform, *, file: str) -> list[str]:
    """Render the chart once for each set of values, before anything is started; a line for each that it refuses."""
    problems: list[str] = []
    tried: set[str] = set()
    for entry in entries:
        kind = repr((entry.values, entry.scenario.fault.kind, entry.scenario.steps, entry.scenario.window_seconds))
        if tried and (kind in tried or not entry.values):
            continue
        tried.add(kind)
        try:
            refuse_bad_chart(entry.scenario, _with_values(options, entry), platform)
        except UsageError as error:
            problems.append(f"{file}: scenario {entry.name!r}: {error}")
    return problems


def _with_values(options: Options, entry: Entry) -> Options:
    return replace(options, user_values=merged(options.user_values, entry.values))


@dataclass(kw_only=True)
class Play:
    """One run of a table. `results` are in the file's order."""

    entries: Sequence[Entry]
    options: Options
    platform: Platform
    say: Say
    finished: Finished
    _results: dict[str, Result] = field(default_factory=dict)
    _starved: list[Entry] = field(default_factory=list)

    @property
    def results(self) -> list[Result]:
        """What is known by now."""
        return [self._results[entry.key] for entry in self.entries if entry.key in self._results]

    def run(self, endpoints: Endpoints, *, lanes: int | None) -> str:
        """Run all; returns in words how many ran side by side. Raises whatever ends the platform."""
        shared = ordered(entry for entry in self.entries if not entry.alone)
        alone = ordered(entry for entry in self.entries if entry.alone)
        ran = []
        if shared:
            facts = run_jobs(
                [self._job(entry) for entry in shared], self.options, self.platform, endpoints, lanes=lanes,
                say=self.say, finished=lambda done: self._finished(done, side_by_side=True),
            )  # fmt: skip
            ran.append(f"up to {facts.lanes_at_most} at once, bounded by {facts.bounded_by}")
        # What the machine starved while others ran says nothing of the gate, and by itself it may.
        again = [entry for entry in self._starved if lanes != 1]
        if alone or again:
            run_jobs(
                [self._job(entry) for entry in (*alone, *again)], self.options, self.platform, endpoints, lanes=1,
                say=self.say, finished=lambda done: self._finished(done, side_by_side=False),
            )  # fmt: skip
            ran.append(f"{len(alone) + len(again)} alone")
        return "; ".join(ran)

    def _job(self, entry: Entry) -> Job:
        return Job(
            key=entry.key, scenario=entry.scenario, report_dir=self.options.report_dir / entry.key, user_values=entry.values
        )

    def _finished(self, done: Done, *, side_by_side: bool) -> None:
        entry = next(each for each in self.entries if each.key == done.job.key)
        if done.observation is not None and done.verdict is not None:
            write_reports(report_of(entry.scenario, done.observation, done.verdict, self.platform), done.job.report_dir)
        result = assess(
            entry, done.verdict, done.error, seconds=done.seconds, again=entry in self._starved,
            report=_report(done.job.report_dir),
        )
        starved = {check.name for check in result.failed} & STARVED
        if side_by_side and starved and result.status is Status.INCONCLUSIVE and entry.expect is not Expect.INCONCLUSIVE:
            self._starved.append(entry)
            self.say(f"{entry.name}: starved by the machine ({', '.join(sorted(starved))}); once more alone, in the end")
        self._results[entry.key] = result
        self.finished(result)


def _report(folder: Path) -> str:
    file = folder / "report.txt"
    return str(file) if file.is_file() else ""
