"""`harness gate`: the command."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import EXIT_OK, EXIT_OTHER_DECISION, UsageError
from harness.files import read_text, refuse_unwritable
from harness.paths import FOLDER, OUTPUT, PATH, Named

if TYPE_CHECKING:
    from harness.replay.cases import Case
    from harness.replay.samples import Series
    from harness.replay.subjects import Subject


@click.command()
@click.argument("files", nargs=-1, type=Named(allow_dash=True), metavar="[FILE|FOLDER|-]...")
@click.option(
    "--chart", type=PATH, metavar="DIR", help="Render this chart with the pinned helm, and try its gates."
)
@click.option("--values", multiple=True, type=PATH, metavar="FILE", help="Values for --chart; repeatable.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A value for --chart; repeatable.")
@click.option(
    "--series", multiple=True, type=PATH, metavar="DATA",
    help="Series and cases (YAML), or recorded samples (OpenMetrics, Prometheus' JSON, a run's series.jsonl); repeatable.",
)
@click.option("--arg", "args", multiple=True, metavar="NAME=VALUE", help="An argument of the templates; repeatable.")
@click.option("--at", metavar="TIME", help="When recorded samples are measured (epoch seconds or RFC 3339; default: their end).")
@click.option("--template", metavar="NAME", help="Try this template only.")
@click.option("--controller", is_flag=True, help="Have the real rollouts controller judge (starts etcd, API and controller).")
@click.option("--replay", type=FOLDER, metavar="REPORT_DIR", help="Decide a run again.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--junit", type=OUTPUT, metavar="FILE", help="Write JUnit XML there as well.")
def gate(
    *, files: tuple[str, ...], chart: Path | None, values: tuple[Path, ...], settings: tuple[str, ...], series: tuple[Path, ...],
    args: tuple[str, ...], at: str | None, template: str | None, controller: bool, replay: Path | None, output: str,
    junit: Path | None,
) -> int:
    """Try AnalysisTemplates on recorded or synthetic series: unit tests for gates, with real Prometheus, in seconds.

    Exit codes: 0 every case as expected (without expectations: every run Successful), 1 otherwise, 2 wrong usage, 4 Prometheus
    failed. With --replay: 0 the run is decided again as it was, 1 it is not.
    """
    from harness.replay import evaluate, render  # noqa: PLC0415 -- `--help` should not wait for them
    from harness.replay.subjects import check_args  # noqa: PLC0415

    if replay is not None:
        if files or chart or series or values or settings or args or at or template or controller or junit:
            raise UsageError("--replay brings its own templates and series: give nothing else with it but --output")
        from harness.replay.agreement import replay_run  # noqa: PLC0415

        return replay_run(replay, output=output)
    if not series:
        raise UsageError("nothing to try the gate on: give --series DATA, or --replay REPORT_DIR")
    if template is not None and not template.strip():
        raise UsageError("--template: the name is empty")
    if junit is not None:
        refuse_unwritable(junit, option="--junit")
    found = _subjects(files, chart, values, settings)
    given = _pairs(args)
    cases = _cases(series, at)
    for names in (given, *(case.args for case in cases)):
        check_args(found, names)
    cases = [replace(case, args={**case.args, **given}, template=template or case.template) for case in cases]
    runs = evaluate.runs_of(cases, found)
    if controller:
        from harness.replay.controller import judged  # noqa: PLC0415

        results = judged(runs)
    else:
        results = evaluate.evaluate(runs)
    click.echo(render.as_json(results) if output == "json" else render.text(results))
    click.echo(render.summary(results), err=True)
    if junit:
        _write(junit, render.junit(results))
    return EXIT_OK if render.right(results) else EXIT_OTHER_DECISION


def _subjects(files: tuple[str, ...], chart: Path | None, values: tuple[Path, ...], settings: tuple[str, ...]) -> list[Subject]:
    from harness.lint.files import read, render_chart  # noqa: PLC0415
    from harness.options import parse_set  # noqa: PLC0415
    from harness.replay.subjects import subjects  # noqa: PLC0415

    if not files and chart is None:
        raise UsageError("no gate to try: name files with AnalysisTemplates, `-` for standard input, or --chart DIR")
    if chart is None and (values or settings):
        raise UsageError("--values and --set are for --chart")
    found = read(files)
    if chart is not None:
        render_chart(found, chart, values, parse_set(settings))
    if found.unreadable:
        raise UsageError(found.unreadable[0])
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    made = subjects(found.documents)
    if not made:
        raise UsageError("there is no AnalysisTemplate in what was given")
    return made


def _pairs(args: Iterable[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for each in args:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise UsageError(f"--arg {each}: give NAME=VALUE, such as canary-hash=abc")
        given[name] = value
    return given


def _cases(files: tuple[Path, ...], at: str | None) -> list[Case]:
    """The cases of YAML files; recorded samples of all other files together are one case more, or belong to every case."""
    from harness.replay import cases, samples  # noqa: PLC0415
    from harness.replay.notation import Unreadable  # noqa: PLC0415

    found: list[Case] = []
    recorded: list[Series] = []
    for file in files:
        try:
            text = read_text(file, told=f"--series {file}")
            if is_recorded(text):
                recorded += samples.read(text)
            else:
                found += cases.read(text)
        except Unreadable as error:
            raise UsageError(f"--series {file}: {error}") from None
    if recorded:
        whole = samples.merged(recorded)
        covered = samples.span(whole)
        moment = _moment(at) if at else covered[1] if covered else 0
        if found:
            found = [replace(case, series=tuple(samples.merged([*whole, *case.series]))) for case in found]
        else:
            found = [cases.Case(name=", ".join(file.name for file in files), series=tuple(whole), at_ms=moment)]
    elif at:
        raise UsageError("--at is for recorded samples: a case of a YAML file says `at:` itself")
    return found


def is_recorded(text: str) -> bool:
    """Whether a text holds samples with times of their own, and is no file of cases."""
    return text.lstrip()[:1] in ("{", "[") or "\n# EOF" in text or text.startswith("# EOF")


def _moment(text: str) -> int:
    try:
        return round(float(text) * 1000)
    except (ValueError, OverflowError):
        pass
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise UsageError(f"--at {text}: give epoch seconds, or a time such as 2026-01-31T12:00:00Z") from None


def _write(file: Path, data: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    except OSError as error:
        raise UsageError(f"--junit {file}: {error.strerror}") from None
