"""A run decided again from what it kept, and whether it comes out as it did.

The controller notes the second in which it began a measurement, while Prometheus evaluated the query at a moment in milliseconds.
So the query is evaluated at every millisecond in which that can have been, by one range query in steps of 1 ms, and a measurement
agrees when one of these moments gives the same value. A sample carries the time at which its scrape began, but can be seen only
once the scrape has ended; where no moment agrees, the newest scrapes are therefore left out, one after another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import jsonschema

from harness.errors import EXIT_OK, EXIT_OTHER_DECISION, UsageError
from harness.files import read_text
from harness.lint.subject import ERROR, mapping, sequence
from harness.observation import parse_time
from harness.replay import record, samples
from harness.replay.analysis import RUNNING, Invalid, Measurement, Tally, assess_run, is_terminating, metric_of
from harness.replay.judge import NotModelled, phase_of
from harness.replay.notation import Unreadable
from harness.replay.prometheus import Prometheus, holding
from harness.replay.samples import Series

AGREES, DIFFERS, UNKNOWN = "agrees", "DIFFERS", "unknown"
MOST_MOMENTS = 10_900
"""Prometheus answers a range query with 11 000 steps at most."""
MOST_CUTS = 24
TOLERANCE = 1e-12
"""Relative: series may be added up in another order than in the run, which shows in the last digits."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One thing of a run, decided again: `run`, `what` (a measurement, or the run's phase), and how it compares."""

    run: str
    what: str
    word: str
    told: str


@dataclass(frozen=True, kw_only=True)
class Noted:
    """One measurement as the run wrote it down; times in milliseconds, the first and the last at which it can have been taken."""

    run: str
    spec: Mapping[str, Any]
    number: int
    first_ms: int
    last_ms: int
    phase: str
    value: str
    message: str

    @property
    def query(self) -> str:
        """Its PromQL."""
        return str(mapping(mapping(self.spec.get("provider")).get("prometheus")).get("query") or "")

    @property
    def what(self) -> str:
        """Its name for people."""
        return f"{self.spec.get('name')}, measurement {self.number}"


def replay_run(folder: Path, *, output: str) -> int:
    """The command. Raises UsageError when the folder holds no run that can be replayed."""
    runs, series = load(folder)
    checked = compare(runs, series)
    if output == "json":
        agrees = not any(each.word == DIFFERS for each in checked)
        click.echo(json.dumps({"agrees": agrees, "checks": [vars(each) for each in checked]}, indent=2))
    else:
        for each in checked:
            click.echo(f"{each.word:<8} {each.run} | {each.what}: {each.told}")
    counts = {word: sum(each.word == word for each in checked) for word in (AGREES, DIFFERS, UNKNOWN)}
    told = ", ".join(f"{count} {word.lower()}" for word, count in counts.items() if count)
    plural = "s" if len(runs) != 1 else ""
    click.echo(f"{len(runs)} analysis run{plural} decided again: {told or 'nothing was measured'}", err=True)
    return EXIT_OTHER_DECISION if counts[DIFFERS] else EXIT_OK


def load(folder: Path) -> tuple[list[dict[str, Any]], list[Series]]:
    """The AnalysisRuns and the series that a run kept. Raises UsageError."""
    place = folder / record.FOLDER if (folder / record.FOLDER).is_dir() else folder
    try:
        kept = json.loads(read_text(place / record.RUNS, told=str(place / record.RUNS)))
        text = read_text(place / record.SERIES, told=str(place / record.SERIES))
        jsonschema.validate(kept, record.KEPT, jsonschema.Draft202012Validator)
        return kept["items"], samples.read(text) if text.strip() else []
    except UsageError as error:
        raise UsageError(f"--replay {folder}: {error}: it is no report of a run") from None
    except RecursionError:
        raise UsageError(f"--replay {folder}: it is damaged: nested too deeply") from None
    except jsonschema.ValidationError as error:
        where = error.json_path.removeprefix("$.")
        raise UsageError(f"--replay {folder}: {record.RUNS} is damaged: {where}: {error.message[:200]}") from None
    except (ValueError, KeyError, TypeError, Unreadable) as error:
        raise UsageError(f"--replay {folder}: it is damaged: {error}") from None


def compare(runs: Sequence[Mapping[str, Any]], series: Sequence[Series]) -> list[Checked]:
    """Every measurement, and every phase that follows from them. Raises PlatformError when Prometheus fails."""
    noted = [each for run in runs for each in measurements(run)]
    with holding(series) as prometheus:
        results = [again(each, prometheus) for each in noted]
    checked = [
        (_with_cuts(each, series) or result) if result.word == DIFFERS else result
        for each, result in zip(noted, results, strict=True)
    ]
    return [*checked, *(each for run in runs for each in phases(run))]


def measurements(run: Mapping[str, Any]) -> Iterator[Noted]:
    """Every measurement of an AnalysisRun that Prometheus was asked for."""
    specs = record.resolved(run)
    for result in map(mapping, sequence(mapping(run.get("status")).get("metricResults"))):
        spec = specs.get(str(result.get("name")))
        if not spec or "prometheus" not in mapping(spec.get("provider")):
            continue
        for number, each in enumerate(map(mapping, sequence(result.get("measurements"))), 1):
            started, finished = parse_time(each.get("startedAt")), parse_time(each.get("finishedAt"))
            if started is None:
                continue
            first = round(started * 1000)
            last = min(round((finished or started) * 1000) + 999, first + MOST_MOMENTS)
            yield Noted(
                run=_name(run), spec=spec, number=number, first_ms=first, last_ms=last, phase=str(each.get("phase", "")),
                value=str(each.get("value", "")), message=str(each.get("message", "")),
            )


def _name(run: Mapping[str, Any]) -> str:
    return str(mapping(run.get("metadata")).get("name", ""))


def again(noted: Noted, prometheus: Prometheus) -> Checked:
    """One measurement against every moment at which it can have been taken."""

    def say(word: str, told: str) -> Checked:
        return Checked(run=noted.run, what=noted.what, word=word, told=told)

    if mapping(mapping(noted.spec.get("provider")).get("prometheus")).get("rangeQuery"):
        return say(UNKNOWN, "a range query is not decided again")
    if noted.phase == ERROR and not noted.message.startswith("could not evaluate"):
        return say(UNKNOWN, f"Prometheus did not answer in the run ({noted.message}): there is nothing to decide again")
    given = prometheus.moments(noted.query, noted.first_ms, noted.last_ms)
    scalar = bool(noted.value) and not noted.value.startswith("[")
    try:
        agreeing = [at for at in range(noted.first_ms, noted.last_ms + 1) if same(noted, given.get(at, ()), scalar=scalar)]
    except NotModelled as error:
        return say(UNKNOWN, f"{error}: what the controller makes of it is not known exactly")
    if agreeing:
        told = f"{noted.phase} {noted.value or noted.message}".strip()
        more = f", as at {len(agreeing) - 1} other moments" if len(agreeing) > 1 else ""
        return say(AGREES, f"{told} at {clock(agreeing[0])}{more}")
    others = sorted({f"[{','.join(map(samples.number, each))}]" for each in given.values()}) or ["[]"]
    told = f"the run measured {noted.phase} {noted.value or noted.message}, from {clock(noted.first_ms)} on there was"
    return say(DIFFERS, f"{told} {', '.join(others[:3])}{' …' if len(others) > 3 else ''}")


def same(noted: Noted, values: tuple[float, ...], *, scalar: bool) -> bool:
    """Whether these values are the run's, and mean the same under the metric's conditions. Raises NotModelled."""
    if scalar and not values:
        return False
    if noted.phase != ERROR:
        measured = sorted(_numbers(noted.value))
        if len(measured) != len(values) or not all(_close(*pair) for pair in zip(measured, sorted(values), strict=True)):
            return False
    return phase_of(dict(noted.spec), values, scalar=scalar)[0] == noted.phase


def _numbers(text: str) -> list[float]:
    inner = text.strip().removeprefix("[").removesuffix("]")
    return [float(each) for each in inner.split(",")] if inner else []


def _close(one: float, other: float) -> bool:
    return one == other or (one != one and other != other) or abs(one - other) <= TOLERANCE * max(abs(one), abs(other))  # noqa: PLR0124


def clock(milliseconds: int) -> str:
    """A moment, for people."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%H:%M:%S.%f")[:-3] + "Z"


def _with_cuts(noted: Noted, series: Sequence[Series]) -> Checked | None:
    """The measurement as it was before some of the newest scrapes had ended; None when that does not explain it either."""
    for dropped in cuts(noted, series):
        with holding(dropped) as prometheus:
            result = again(noted, prometheus)
        if result.word == AGREES:
            return Checked(
                run=result.run, what=result.what, word=AGREES, told=f"{result.told}, before the newest scrape could be seen"
            )
    return None


def cuts(noted: Noted, series: Sequence[Series]) -> Iterator[list[Series]]:
    """The series without the scrapes from some moment on, of all targets or of one of them."""
    times: dict[tuple[int, str], None] = {}
    for each in series:
        instance = dict(each.labels).get("instance", "")
        for at, _ in each.samples:
            if noted.first_ms <= at <= noted.last_ms:
                times[at, instance] = None
    wanted: list[tuple[int, str | None]] = [(at, None) for at in sorted({at for at, _ in times})]
    wanted += [(at, instance) for at, instance in sorted(times)]
    for at, only in wanted[:MOST_CUTS]:
        yield [_without(each, at) if only in (None, dict(each.labels).get("instance", "")) else each for each in series]


def _without(each: Series, at: int) -> Series:
    return Series(labels=each.labels, samples=tuple(sample for sample in each.samples if sample[0] < at))


def phases(run: Mapping[str, Any]) -> Iterator[Checked]:
    """The phases of the metrics and of the run, from its measurements alone."""
    status, tallies = mapping(run.get("status")), []
    results = {each.get("name"): each for each in map(mapping, sequence(status.get("metricResults")))}
    for spec in record.resolved(run).values():
        result = results.get(spec.get("name"), {})
        try:
            tally = Tally(metric=metric_of(spec, dry_run=bool(result.get("dryRun"))))
        except Invalid:
            return
        for each in map(mapping, sequence(result.get("measurements"))):
            tally.add(Measurement(at_ms=0, phase=str(each.get("phase", ""))))
        counted = sum(int(result.get(key) or 0) for key in ("count", "error"))
        if counted != len(tally.measurements):
            told = f"{counted} measurements were taken and {len(tally.measurements)} kept (measurementRetention)"
            yield Checked(run=_name(run), what=str(spec.get("name")), word=UNKNOWN, told=told)
            return
        tallies.append(tally)
    if not tallies or status.get("phase") in (None, "", RUNNING, "Pending"):
        return
    for tally in tallies:
        tally.assess()
    terminating = is_terminating(tallies) or bool(mapping(run.get("spec")).get("terminate"))
    phase, reason = assess_run(tallies, terminating=terminating)
    word = AGREES if phase == status.get("phase") else DIFFERS
    told = f"{phase}{f' ({reason})' if reason else ''}"
    if word == DIFFERS:
        told = f"the run says {status.get('phase')}, its measurements {told}"
    yield Checked(run=_name(run), what="phase", word=word, told=told)
