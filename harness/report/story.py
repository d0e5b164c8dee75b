"""What all plots of a run share: buckets that can be read, and the moments that matter. PURE: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.series import Series, readable_bucket, series_of
from harness.verdict import Taken

if TYPE_CHECKING:
    from harness.report.model import Report


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A line from top to bottom, and its label."""

    at: float
    text: str
    css: str


@dataclass(frozen=True, kw_only=True)
class Window:
    """When an analysis ran."""

    number: int
    start: float
    end: float
    phase: str


@dataclass(frozen=True, kw_only=True)
class Story:
    """What all plots of a run share. Times are seconds since the release."""

    report: Report
    series: Series
    start: float
    end: float
    windows: tuple[Window, ...]
    moments: tuple[Moment, ...]


def story_of(report: Report) -> Story:
    """Buckets that can be read, and the moments that matter."""
    scenario, observation = report.scenario, report.observation
    span = max(0, len(report.series) * report.series.bucket_seconds)
    bucket = readable_bucket(scenario.rps * scenario.steps[0] / 100, scenario.window_seconds, span)
    series = series_of(observation, bucket_seconds=bucket)
    end = max(series.start + len(series) * series.bucket_seconds, 1.0)
    released = observation.release_started_at
    windows = tuple(
        Window(
            number=number, phase=run.phase, start=run.started_at - released,
            end=(run.finished_at or observation.ended_at) - released,
        )
        for number, run in enumerate(observation.step_analyses, start=1)
        if run.started_at is not None
    )
    moments = [Moment(at=0.0, text="release", css="released")]
    if report.decided_after is not None:
        word = "promoted" if report.verdict.taken is Taken.PROMOTED else "rolled back"
        moments.append(Moment(at=report.decided_after, text=f"{word} {report.decided_after:.1f} s", css="decided"))
    return Story(
        report=report, series=series, start=max(series.start, -max(10.0, 0.12 * end)), end=end, windows=windows,
        moments=tuple(moments),
    )


def asked_weights(report: Report) -> list[tuple[float, float]]:
    """The candidate's weight in percent, and since when: first 0, and 100 once it is the stable version.

    After a promotion the VirtualService says 100/0 again, but both of its subsets are then the candidate.
    """
    released = report.observation.release_started_at
    promoted = report.decided_after if report.verdict.taken is Taken.PROMOTED else None
    changes = [(0.0, 0.0)]
    for change in report.observation.weight_changes:
        at = change.at - released
        if at >= 0 and (promoted is None or at < promoted):
            changes.append((at, float(change.canary)))
    if promoted is not None:
        changes.append((promoted, 100.0))
    return changes
