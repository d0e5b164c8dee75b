"""`harness lint`: the command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import EXIT_OK, EXIT_USAGE, UsageError, one_line
from harness.paths import PATH, Named

if TYPE_CHECKING:
    from harness.lint.files import Input

EXIT_FOUND = 1
_SEVERITIES = ("error", "warning", "note")
_FORMATS = ("text", "json", "github", "sarif")


def _buckets(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[float, ...]:
    if not text:
        return ()
    try:
        bounds = tuple(float(each) for each in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text}: give the bounds as numbers with commas between, such as 0.1,0.3,1") from None
    if any(not 0 < each < float("inf") for each in bounds):
        raise click.BadParameter(f"{text}: a bound is more than 0 and finite")
    return tuple(sorted(bounds))


def _scrape(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    if not 0 < value <= 3600:
        raise click.BadParameter(f"{value:g}: give seconds from above 0 to 3600")
    return value


@click.command()
@click.argument("files", nargs=-1, type=Named(allow_dash=True), metavar="[FILE|FOLDER|-]...")
@click.option(
    "--chart", type=PATH, metavar="DIR", help="Render this chart with the pinned helm, and lint the result."
)
@click.option("--values", multiple=True, type=PATH, metavar="FILE", help="Values for --chart; repeatable.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A value for --chart; repeatable.")
@click.option("--output", type=click.Choice(_FORMATS), default="text", show_default=True)
@click.option(
    "--fail-on", type=click.Choice(_SEVERITIES), default="error", show_default=True, help="Exit 1 from this severity upwards."
)
@click.option("--ignore", multiple=True, metavar="RULE", help="Leave out a rule (id or name); repeatable, or with commas.")
@click.option(
    "--buckets", callback=_buckets, metavar="NUMBERS", help="The bounds of your histograms, in their own unit, such as 0.1,0.3,1"
)
@click.option("--scrape-interval", type=float, default=15.0, show_default=True, callback=_scrape, metavar="SECONDS")
@click.option("--rules", is_flag=True, help="List the rules, and what each is about.")
def lint(*, files: tuple[str, ...], rules: bool, output: str, fail_on: str, **given: Any) -> int:
    """Find what lets a bad release through in AnalysisTemplates, Rollouts and what stands around them.

    Give everything that belongs together at once, since some rules look at more than one object. A comment
    `# gateproof: ignore RULE` above a line, or at its end, switches a rule off for what begins there.

    Exit codes: 0 nothing from --fail-on upwards, 1 something, 2 wrong usage or a file that cannot be read.
    """
    from harness.lint import check, render  # noqa: PLC0415 -- `--help` should not wait for them
    from harness.lint.model import Options, Severity  # noqa: PLC0415

    if rules:
        click.echo(render.listing(check.RULES))
        return EXIT_OK
    ignored = frozenset(word for each in given["ignore"] for word in each.replace(",", " ").split())
    for word in sorted(ignored):
        if check.find(word) is None:
            raise UsageError(f"--ignore {word}: there is no such rule (--rules lists them)")
    found = _input(files, given["chart"], given["values"], given["settings"])
    options = Options(buckets=given["buckets"], scrape_interval=given["scrape_interval"], ignore=ignored)
    findings = check.lint(found.documents, options)
    if findings or output in ("json", "sarif"):
        click.echo(render.render(output, findings, check.RULES))
    if found.documents or not found.unreadable:
        click.echo(render.summary(findings, len(found.documents)), err=True)
    for line in found.unreadable:
        click.echo(f"error: {one_line(line)}", err=True)
    if found.unreadable:
        return EXIT_USAGE
    return EXIT_FOUND if any(each.severity >= Severity[fail_on.upper()] for each in findings) else EXIT_OK


def _input(files: tuple[str, ...], chart: Path | None, values: tuple[Path, ...], settings: tuple[str, ...]) -> Input:
    from harness.lint.files import read, render_chart  # noqa: PLC0415
    from harness.options import parse_set  # noqa: PLC0415

    if not files and chart is None:
        raise UsageError("nothing to lint: name files or folders, `-` for standard input, or --chart DIR")
    if chart is None and (values or settings):
        raise UsageError("--values and --set are for --chart")
    found = read(files)
    if chart is not None:
        render_chart(found, chart, values, parse_set(settings))
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    if not found.documents and not found.unreadable:
        raise UsageError("the input holds no object: if it comes from a pipe, look at what should have written it")
    return found
