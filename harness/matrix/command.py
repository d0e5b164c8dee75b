"""`harness matrix`: the command."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import EXIT_USAGE, UsageError, one_line
from harness.files import MIB, read_text, refuse_unwritable
from harness.options import CHART, Common, options_of, platform_options
from harness.paths import FOLDER, OUTPUT, PATH
from harness.platforms.catalog import PlatformOptions, make

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.matrix.model import Result

DEFAULT_FILE = Path(__file__).with_name("default.yaml")
RESULTS = "matrix.json"


@click.command()
@click.argument("file", required=False, type=PATH, metavar="[FILE]")
@click.option("--list", "only_list", is_flag=True, help="Show the scenarios in the order of running, and run none.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of a matrix file.")
@click.option("--lanes", type=click.IntRange(1, 64), help="Scenarios side by side (default: what the machine carries).")
@click.option("--junit", type=OUTPUT, help="Write JUnit XML there.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--report-dir", type=FOLDER, help="For the reports of all scenarios.")
@click.option("--keep", is_flag=True, help="Leave the platform running afterwards.")
@click.option("--chart", type=PATH, default=CHART, help="Another chart than our own.")
@click.option("--values", type=PATH, multiple=True, help="A values file for the chart (repeatable).")
@click.option("--set", "set_values", multiple=True, metavar="KEY=VALUE", help="A chart value for every scenario.")
@platform_options
def matrix(*, file: Path | None, only_list: bool, schema: bool, platform: PlatformOptions, output: str, **given: Any) -> int:
    """Run a table of scenarios, each with the decision that it is due; without FILE, every fault that there is.

    Exit codes: 0 every scenario ended as expected, 1 one was decided otherwise, 2 wrong usage or a wrong FILE, 3 one that was
    to be decided is inconclusive, 4 the platform failed, 130 interrupted.
    """
    from harness.matrix import render  # noqa: PLC0415 -- `--help` should not wait for them
    from harness.matrix.parse import SCHEMA_FILE, parse  # noqa: PLC0415

    if schema and (only_list or file):
        raise UsageError("--schema prints the schema and nothing else: leave FILE and --list out")
    if schema:
        click.echo(SCHEMA_FILE.read_text(encoding="utf-8"), nl=False)
        return 0
    source = file or DEFAULT_FILE
    found = parse(read_text(source, told=str(source), most=MIB), file=str(source))
    if found.problems:
        return _refuse(found.problems)
    if only_list:
        click.echo(render.plan(found.entries))
        return 0
    return _run(found.entries, str(source), platform=platform, output=output, **given)


def _run(
    entries: Any, file: str, *, platform: PlatformOptions, output: str, lanes: int | None, junit: Path | None,
    report_dir: Path | None, keep: bool, chart: Path, values: tuple[Path, ...], set_values: tuple[str, ...],
) -> int:  # fmt: skip
    from harness.disturber import hand_for  # noqa: PLC0415
    from harness.matrix import render  # noqa: PLC0415
    from harness.matrix.model import exit_code  # noqa: PLC0415
    from harness.matrix.play import Play, refuse_bad_values  # noqa: PLC0415
    from harness.platforms.local.paths import make_private  # noqa: PLC0415

    made, started = make(platform), time.monotonic()
    options = options_of(Common(
        platform=platform, window=0, rps=0, users=None, seed=0, timeout=None, report_dir=report_dir, output=output, keep=keep,
        color=False, web=False, chart=chart, values=values, set_values=set_values,
    ))  # fmt: skip
    if junit is not None:
        refuse_unwritable(junit, option="--junit", parents=False)
    for entry in entries:
        hand_for(entry.scenario.disturbances, made)
    made.setup(_say)
    if problems := refuse_bad_values(entries, options, made, file=file):
        return _refuse(problems)

    def finished(result: Result) -> None:
        _say(f"[{len(play.results)}/{len(entries)}] {result.entry.name}: {result.status.value} ({result.decision})")
        write("under way")

    def write(ran: str) -> dict[str, Any]:
        """After each scenario, so that whatever ends the run leaves what is known."""
        told = render.to_json(play.results, file=file, seconds=time.monotonic() - started, ran=ran,
                              missing=len(entries) - len(play.results))  # fmt: skip
        (options.report_dir / RESULTS).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        if junit is not None:
            junit.write_text(render.to_junit(play.results, file=file), encoding="utf-8")
        return told

    play = Play(entries=entries, options=options, platform=made, say=_say, finished=finished)
    with made.session(_say, keep=keep) as endpoints:
        make_private(options.report_dir, option="--report-dir")
        ran = play.run(endpoints, lanes=lanes)
    told = write(ran)
    if output == "json":
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(render.table(play.results))
        click.echo("\n" + render.summary(play.results, seconds=time.monotonic() - started, ran=ran))
        click.echo(f"reports: {options.report_dir}")
    return exit_code(play.results)


def _refuse(problems: Sequence[str]) -> int:
    for problem in problems:
        click.echo(f"error: {one_line(problem)}", err=True)
    return EXIT_USAGE


def _say(line: str) -> None:
    click.echo(line, err=True)
