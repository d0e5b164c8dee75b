"""The report as one static HTML page for people. PURE but for its own templates, which `templates` reads."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from harness.report.blast import REQUESTS_PER_USER
from harness.report.charts import NARROW, WIDE, charts
from harness.report.story import Story, story_of
from harness.report.templates import render
from harness.report.text import MARKS
from harness.scenario import Decision
from harness.verdict import Outcome, Taken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.report.model import Report
    from harness.verdict import Check

TONES: Mapping[Outcome, str] = {Outcome.EXPECTED: "good", Outcome.OTHER_DECISION: "bad", Outcome.INCONCLUSIVE: "unsure"}
SIGNS: Mapping[str, str] = {"good": "✓", "bad": "✗", "unsure": "?"}
_FLAG = re.compile(r"--[a-z][a-z-]*[a-z]")
DUE: Mapping[Decision, str] = {Decision.PROMOTE: "promoted", Decision.ROLLBACK: "rolled back"}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number that stands out, and what it is."""

    name: str
    value: str
    note: str = ""


def render_html(report: Report) -> str:
    """The whole page; it ends with a line feed."""
    tone = TONES[report.verdict.outcome]
    story = story_of(report)
    wide, narrow = charts(story, WIDE), charts(story, NARROW)
    return render(
        "report.html.j2",
        title=f"{report.verdict.outcome.headline}: {report.scenario.name}",
        report=report,
        tone=tone,
        sign=SIGNS[tone],
        headline=report.verdict.outcome.headline,
        started=moment(report.observation.release_started_at),
        due=DUE[report.scenario.expect],
        taken="nothing was decided" if report.verdict.taken is Taken.NONE else report.verdict.taken.value,
        as_due=report.verdict.taken.value == DUE[report.scenario.expect],
        plots=list(zip(wide, narrow, strict=True)),
        buckets=list(bucket_rows(story)),
        buckets_seconds=story.series.bucket_seconds,
        figures=list(figures(report)),
        checks=sorted(report.verdict.checks, key=_failed_first),
        mark=_mark,
        measured_at=lambda metric: seconds(_since(report, metric.measured_at)),
        users=[(count, report.exposure.affected_share(count)) for count in REQUESTS_PER_USER],
        images=list(_images(report)),
        command=shlex.join(report.reproduction.command),
        settings=list(_settings(report)),
        seconds=seconds,
        flags=flags,
        sized=sized,
    )  # fmt: skip


def figures(report: Report) -> Iterator[Figure]:
    """The numbers that a reader looks for first."""
    total = len(report.observation.responses)
    share = f" ({100 * report.failures.total / total:.2g} %)" if total else ""
    yield Figure(name="Decided after", value=seconds(report.decided_after), note="since the release was asked for")
    if report.verdict.taken is not Taken.PROMOTED:
        yield Figure(name="Detected after", value=seconds(report.detect_seconds), note="from its first answer to the abort")
        yield Figure(name="Safe after", value=seconds(report.safe_seconds), note="from the abort to its last request")
    yield Figure(name="Failed requests", value=f"{report.failures.total}", note=f"of {total}{share}")
    yield Figure(
        name=f"Answered by {report.scenario.candidate}", value=f"{report.canary_requests}",
        note=f"{report.failures_by_canary} of them failed",
    )  # fmt: skip
    yield Figure(
        name="Load", value=f"{report.achieved_rps:.1f}/s", note=f"of {report.scenario.rps:g}/s offered"
    )


def bucket_rows(story: Story) -> Iterator[tuple[str, ...]]:
    """What the plots show, as numbers: one row for each bucket."""
    series = story.series
    for index in range(len(series)):
        if not series.total(index):
            continue
        total = series.total(index)
        row = [f"{series.start + index * series.bucket_seconds:g}", f"{total / series.bucket_seconds:.1f}"]
        row.append(f"{100 * series.candidate.requests[index] / total:.1f}")
        for group in (series.candidate, series.stable):
            slow = group.p95_ms[index]
            row += [str(group.requests[index]), str(group.failed[index]), "-" if slow is None else f"{slow:.3g}"]
        yield (*row, str(series.nobody.requests[index]))


def moment(at: float) -> str:
    """A time as people write it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def seconds(value: float | None) -> str:
    """A duration, or a dash for what was not seen."""
    return "-" if value is None else f"{value:.1f} s"


def flags(text: str) -> Markup:
    """The text, with options such as --timeout kept on one line each."""
    return Markup(_FLAG.sub(r'<span class="flag">\g<0></span>', str(escape(text))))  # noqa: S704 -- escaped before


def sized(name: str, value: float) -> str:
    """A fault's setting with its unit: `latency_ms` 500 is `latency: 500 ms`."""
    for suffix, unit in (("_ms", " ms"), ("_seconds", " s"), ("_mib", " MiB"), ("_kib_per_request", " KiB a request")):
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix).replace('_', ' ')}: {value:g}{unit}"
    return f"{name.replace('_', ' ')}: {value:g}{' %' if name.endswith('_rate') else ''}"


def _failed_first(check: Check) -> int:
    return {False: 0, None: 1, True: 2}[check.passed]


def _mark(check: Check) -> dict[str, str]:
    tone = {True: "good", False: "bad", None: "unsure"}[check.passed]
    return {"tone": tone, "sign": SIGNS[tone], "word": MARKS[check.passed].lower()}


def _since(report: Report, at: float | None) -> float | None:
    return None if at is None else at - report.observation.release_started_at


def _images(report: Report) -> Iterator[dict[str, str]]:
    observation = report.observation
    for version, image, pod_hash in (
        (report.scenario.stable, observation.stable_image, observation.stable_hash),
        (report.scenario.candidate, observation.candidate_image, observation.candidate_hash),
    ):
        reference, _, digest = image.partition("@")
        yield {"version": version, "reference": reference, "digest": digest, "hash": pod_hash}


def _settings(report: Report) -> Sequence[tuple[str, Any]]:
    scenario = report.scenario
    return [
        ("seed of faults and arrivals", scenario.seed),
        ("window of an analysis", f"{scenario.window_seconds:g} s"),
        ("requests per second", f"{scenario.rps:g}"),
        ("weights", " → ".join(f"{step} %" for step in (*scenario.steps, 100))),
        ("fault", ", ".join([scenario.fault.kind, *(sized(*each) for each in scenario.fault.settings.items())])),
        *report.reproduction.inputs.items(),
    ]
