"""The four plots of a run, one above the other on one time axis. PURE: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from harness.observation import ACCEPTED, acceptance_interval
from harness.report.plot import Frame, Key, Label, Plot, Scale, log_ticks, nice_ticks, text_width
from harness.report.series import Group, Series, span_of
from harness.report.story import Story, asked_weights
from harness.scenario import LATENCY_OBJECTIVE_MS
from harness.verdict import Taken

if TYPE_CHECKING:
    from harness.observation import MetricResult
    from harness.report.model import Report

WIDE, NARROW = 1060, 356
"""Pixels: a laptop's page, and a phone's. Both are drawn, and the page shows the one that fits, so that no text is scaled."""
TOP, BOTTOM, RIGHT = 40, 26, 12
PERCENTS = (0, 1, 5, 10, 20, 40, 60, 80, 100)
"""Ticks of a square-root axis: it shows one percent and a hundred alike, and zero, which a logarithm cannot."""
FLOOR_MS = 1.0
"""Where the logarithmic axis begins at the latest."""


def charts(story: Story, width: int = WIDE) -> tuple[Plot, ...]:
    """Weights, error rate, latency and load, `width` pixels wide."""
    return tuple(draw(story, width) for draw in (_weights, _errors, _latency, _load))


def _frame(story: Story, width: int, y: Scale) -> Frame:
    left = 58 if width > 600 else 54
    frame = Frame(x=Scale(low=story.start, high=story.end, at_low=left, at_high=width - RIGHT), y=y)
    for window in story.windows:
        frame.area("window", (window.start, window.end), (y.low, y.high), f"analysis {window.number}: {window.phase}")
        middle = (frame.x(window.start) + frame.x(window.end)) / 2
        room = frame.x(window.end) - frame.x(window.start)
        text = next((text for text in (f"analysis {window.number}", f"A{window.number}") if text_width(text) < room), "")
        frame.labels.append(Label(x=round(middle, 1), y=TOP - 5, text=text, css="window"))
    taken_until = -1.0
    for moment in story.moments:
        frame.moment(moment.css, moment.at)
        half = text_width(moment.text) / 2
        x = min(max(frame.x(moment.at), left + half), width - half - 2)
        x = max(x, taken_until + half + 8)
        taken_until = x + half
        frame.labels.append(Label(x=round(x, 1), y=14, text=moment.text, css=moment.css))
    return frame


def _y(height: int, low: float, high: float, bent: str = "") -> Scale:
    return Scale(low=low, high=high, at_low=height - BOTTOM, at_high=TOP, bent=bent)


def _plot(story: Story, frame: Frame, *, name: str, title: str, told: str, keys: tuple[Key, ...]) -> Plot:
    frame.times()
    width, height = round(frame.x.at_high + RIGHT), round(frame.bottom + BOTTOM)
    decided = next((moment.text for moment in story.moments if moment.css == "decided"), "")
    end = f"{story.report.scenario.candidate} was {decided} after the release." if decided else "No decision was taken."
    return Plot(
        name=f"{name}-{'wide' if width > 600 else 'narrow'}", title=title, description=f"{told} {end}",
        width=width, height=height, paths=tuple(frame.paths), labels=tuple(frame.labels), keys=keys,
    )


def _keys(story: Story, *, nobody: bool = False) -> tuple[Key, ...]:
    versions = (("candidate", "circle", story.report.scenario.candidate), ("stable", "square", story.report.scenario.stable))
    keys = [Key(css=css, shape=mark, text=version) for css, mark, version in versions]
    if nobody:
        keys.append(Key(css="nobody", shape="triangle", text="answered by neither (share of all requests)"))
    return tuple(keys)


def _points(story: Story, values: tuple[float | None, ...]) -> Iterator[tuple[float, float | None]]:
    for index, value in enumerate(values):
        at = story.series.middle(index)
        if story.start <= at <= story.end:
            yield at, value


def _titles(story: Story, group: Group, texts: tuple[str, ...]) -> list[str]:
    series = story.series
    return [
        f"{series.middle(index):.0f} s: {text}" for index, text in enumerate(texts)
        if story.start <= series.middle(index) <= story.end and len(group.requests)
    ]  # fmt: skip


def _weights(story: Story, width: int) -> Plot:
    report, series, height = story.report, story.series, 250
    frame = _frame(story, width, _y(height, 0, 100))
    frame.values((value, f"{value} %") for value in (0, 25, 50, 75, 100))
    released, told = report.observation.release_started_at, []
    promoted = report.decided_after if report.verdict.taken is Taken.PROMOTED else None
    shares = [share for share in report.shares if share.requests and (promoted is None or share.start - released < promoted)]
    for share in shares:
        low, high = (100 * count / share.requests for count in acceptance_interval(share.requests, share.weight / 100))
        start, end = share.start - released, share.end - released
        if 0 < share.weight < 100:
            frame.area("interval", (start, end), (low, high), f"{ACCEPTED} interval: {low:.1f} to {high:.1f} %")
            told.append(f"{share.weight} % asked, {share.percent:.1f} % of {share.requests} seen")
    frame.steps("asked", asked_weights(report), story.end)
    seen = tuple(
        100 * series.candidate.requests[index] / series.total(index) if series.total(index) else None
        for index in range(len(series))
    )
    titles = tuple("" if value is None else f"{value:.1f} % seen" for value in seen)
    frame.line("seen", _points(story, seen), "circle", _titles(story, series.candidate, titles))
    for share in shares:
        if 0 < share.weight < 100 and share.percent is not None:
            start, end = share.start - released, share.end - released
            frame.line("step", [(start, share.percent), (end, share.percent)])
            y = frame.y(max(share.percent, share.weight)) - 12
            frame.labels.append(Label(x=frame.x((start + end) / 2), y=y, text=f"{share.percent:.1f} %", css="candidate"))
    return _plot(
        story, frame, name="weights", title=f"Share of users' requests for {report.scenario.candidate}",
        told="; ".join(told) + "." if told else "No step was measured.",
        keys=(
            Key(css="asked", text="asked (VirtualService)"), Key(css="seen", shape="circle", text="seen by clients"),
            Key(css="step", text="seen during the whole step"), Key(css="interval", text=f"where {ACCEPTED} of sound runs lie"),
        ),
    )  # fmt: skip


def _errors(story: Story, width: int) -> Plot:
    report, series, height = story.report, story.series, 230
    objective = report.scenario.objectives.get("error-rate")
    limit = 100 * objective.below if objective is not None and objective.below is not None else None
    measured = list(_measured(report, "error-rate"))
    groups = {"stable": series.stable.failed_percent(), "candidate": series.candidate.failed_percent()}
    nobody = tuple(
        100 * count / series.total(index) if series.total(index) else None for index, count in enumerate(series.nobody.failed)
    )
    if any(nobody):
        groups["nobody"] = nobody
    highest = max([2 * (limit or 1), *(100 * value for _, _, value in measured), *(v for g in groups.values() for v in g if v)])
    last = next((index for index, tick in enumerate(PERCENTS) if tick >= highest), -1)
    ticks = PERCENTS[: last + 1] if last >= 0 else PERCENTS
    frame = _frame(story, width, _y(height, 0, ticks[-1], "root"))
    frame.values((tick, f"{tick:g} %") for tick in ticks)
    if limit is not None:
        frame.level("limit", limit, f"limit {limit:g} %")
    for name, values in groups.items():
        titles = tuple("" if value is None else f"{value:.2g} % failed" for value in values)
        mark = {"stable": "square", "candidate": "circle", "nobody": "triangle"}[name]
        frame.line(name, _points(story, values), mark, _titles(story, series.stable, titles))
    _verdicts(frame, [(at, 100 * value, metric, f"{100 * value:.2g} %") for at, metric, value in measured])
    peak = max((value for value in groups["candidate"] if value is not None), default=None)
    told = "nobody asked it" if peak is None else f"at most {peak:.3g} % of a bucket's requests failed"
    return _plot(
        story, frame, name="errors", title="Failed requests, by who answered (square-root axis)",
        told=f"{report.scenario.candidate}: {told}. " + _told(measured, lambda value: f"{100 * value:.3g} %"),
        keys=(*_keys(story, nobody="nobody" in groups), Key(css="gate", shape="diamond", text="measured by the gate")),
    )  # fmt: skip


def _latency(story: Story, width: int) -> Plot:
    report, series, height = story.report, story.series, 230
    groups = {"stable": series.stable.p95_ms, "candidate": series.candidate.p95_ms}
    seen = [value for values in groups.values() for value in values if value]
    ticks = log_ticks(max(min([FLOOR_MS, *seen]), 0.1), max([LATENCY_OBJECTIVE_MS * 2, *seen]))
    frame = _frame(story, width, _y(height, ticks[0], ticks[-1], "log"))
    frame.values((tick, f"{tick:g} ms" if tick < 1000 else f"{tick / 1000:g} s") for tick in ticks)
    frame.level("limit", LATENCY_OBJECTIVE_MS, f"limit {LATENCY_OBJECTIVE_MS:g} ms")
    for name, values in groups.items():
        titles = tuple("" if value is None else f"P95 {value:.3g} ms" for value in values)
        mark = "square" if name == "stable" else "circle"
        frame.line(name, _points(story, values), mark, _titles(story, series.stable, titles))
    measured = list(_measured(report, "latency-p95"))
    # The candidate's line lies above the limit where the gate found it slow: the label keeps out of its way.
    found = [(at, LATENCY_OBJECTIVE_MS, metric, f"{100 * value:.3g} %") for at, metric, value in measured]
    _verdicts(frame, found, below=True)
    peak = max((value for value in series.candidate.p95_ms if value is not None), default=None)
    told = "nobody asked it" if peak is None else f"its 95th percentile was at most {peak:.3g} ms in a bucket"
    return _plot(
        story, frame, name="latency", title="95th percentile of the answers' time (logarithmic axis)",
        told=f"{report.scenario.candidate}: {told}. " + _told(measured, lambda value: f"{100 * value:.3g} % within the limit"),
        keys=(*_keys(story), Key(css="gate", shape="diamond", text="measured by the gate: share within the limit (95 % is due)")),
    )  # fmt: skip


def _load(story: Story, width: int) -> Plot:
    report, series, height = story.report, report_series(story), 170
    offered = report.scenario.rps
    rates = [series.total(index) / series.bucket_seconds for index in range(len(series))]
    ticks = nice_ticks(max([offered * 1.2, *rates]), 3)
    frame = _frame(story, width, _y(height, 0, ticks[-1]))
    frame.values((tick, f"{tick:g}/s") for tick in ticks)
    # Buckets in which the load ran from beginning to end: others would look like a load that failed.
    first, last = (at - report.observation.release_started_at for at in span_of(report.observation))
    starts = [series.start + index * series.bucket_seconds for index in range(len(series))]
    whole = [
        (at, rate) for at, rate in zip(starts, rates, strict=True)
        if at >= max(story.start, first) and at + series.bucket_seconds <= last
    ]  # fmt: skip
    frame.steps("achieved", whole, whole[-1][0] + series.bucket_seconds if whole else 0.0)
    frame.level("offered", offered)
    return _plot(
        story, frame, name="load", title="Load: requests per second",
        told=f"{report.achieved_rps:.1f}/s on average, {offered:g}/s offered.",
        keys=(Key(css="achieved", text="achieved"), Key(css="offered", text=f"offered: {offered:g}/s")),
    )  # fmt: skip


def report_series(story: Story) -> Series:
    """By the second where that can be drawn, else in the buckets of the other plots."""
    return story.report.series if len(story.report.series) <= 400 else story.series


def _measured(report: Report, name: str) -> Iterator[tuple[float, MetricResult, float]]:
    for run in report.observation.step_analyses:
        metric = run.metric(name)
        at = (metric.measured_at if metric else None) or run.finished_at
        if metric is not None and metric.value is not None and at is not None:
            yield at - report.observation.release_started_at, metric, metric.value


def _verdicts(frame: Frame, points: list[tuple[float, float, MetricResult, str]], *, below: bool = False) -> None:
    for at, value, metric, text in points:
        bad = metric.phase != "Successful"
        told = f"{'✗' if bad else '✓'} {text}"
        frame.point("gate bad" if bad else "gate", at, value, "diamond", f"the gate measured {text}: {metric.phase}")
        x, y, css = frame.x(at), frame.y(value), "gate bad" if bad else "gate"
        above, under = max(y - 8, frame.top + 10), min(y + 16, frame.bottom - 4)
        first, second = (under, above) if (below and bad) else (above, under)
        frame.label(*(
            Label(x=x + aside, y=height, text=told, css=css, anchor=anchor)
            for aside, anchor in ((-10, "end"), (14, "start")) for height in (first, second)
        ))  # fmt: skip


def _told(measured: list[tuple[float, MetricResult, float]], text: Callable[[float], str]) -> str:
    return " ".join(f"The gate measured {text(value)}: {metric.phase}." for _, metric, value in measured)
