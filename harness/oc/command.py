"""`harness oc`: the command."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import EXIT_OK, UsageError
from harness.files import refuse_unwritable
from harness.options import CHART, parse_set
from harness.paths import OUTPUT, PATH, Named

if TYPE_CHECKING:
    from harness.oc.gate import Gate
    from harness.oc.work import Asked

EXIT_OUTSIDE = 1
_KINDS = ("split", "poisson", "fixed")
RATES = {"errors": "0,0.1,0.25,0.5,0.75,1,1.5,2,3,5,10", "latency": "0,1,2,3,4,5,6,8,10,15,20"}


def _percents(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    """`0.5,2` as shares."""
    return None if text is None else tuple(_share(each) for each in text.split(","))


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise click.BadParameter(f"{text}: give numbers, in percent, with commas between") from None
    if not 0 <= value <= 100:
        raise click.BadParameter(f"{text}: a rate is from 0 to 100 percent")
    return value / 100


def _one_percent(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    return None if text is None else _share(text)


def _chance(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0 < value < 1:
        raise click.BadParameter(f"{value:g}: a probability is above 0 and below 1, such as 0.95")
    return value


def _positive(_context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    most = {"rps": 100_000.0, "window": 86_400.0, "pause": 86_400.0, "scrape_interval": 3_600.0}[str(parameter.name)]
    if value is not None and not (math.isfinite(value) and 0 < value <= most):
        raise click.BadParameter(f"{value:g}: give a number above 0 and not above {most:g}")
    return value


def _loads(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[float, ...]:
    try:
        found = tuple(float(each) for each in text.split(",")) if text else ()
    except ValueError:
        raise click.BadParameter(f"{text}: give numbers with commas between") from None
    if any(not 0 < each <= 100_000 for each in found):
        raise click.BadParameter(f"{text}: requests per second are above 0 and not above 100000")
    return found


def _weights(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[float, ...]:
    return () if text is None else tuple(100 * _share(each) for each in text.split(","))


@click.command()
@click.argument("files", nargs=-1, type=Named(allow_dash=True), metavar="[FILE|FOLDER|-]...")
@click.option("--chart", type=PATH, metavar="DIR", help="Render this chart (our own, without FILE).")
@click.option("--values", multiple=True, type=PATH, metavar="FILE", help="Values for --chart; repeatable.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A value for --chart; repeatable.")
@click.option("--rollout", metavar="NAME", help="Which Rollout, if the input has several.")
@click.option("--weights", callback=_weights, metavar="PERCENTS", help="The steps, for a template without a Rollout: 10,30,60")
@click.option("--pause", type=float, callback=_positive, metavar="SECONDS",
              help="How long each of --weights lasts, with the template in the background.")
@click.option("--without", multiple=True, metavar="METRIC", help="Leave out a metric; repeatable.")
@click.option("--rps", type=float, default=50.0, show_default=True, callback=_positive, help="Users' requests per second.")
@click.option("--window", type=float, callback=_positive, metavar="SECONDS", help="Another window in every step.")
@click.option("--traffic", type=click.Choice(_KINDS), default="split", show_default=True,
              help="split: an even stream, shared out by chance; poisson: chance arrivals too; fixed: none of it.")
@click.option("--axis", type=click.Choice(["errors", "latency"]), default="errors", show_default=True,
              help="What varies: the share of errors, or of requests over the latency limit.")
@click.option("--rates", callback=_percents, metavar="PERCENTS", help="The table's rows: 0,0.5,2")
@click.option("--other", callback=_one_percent, default="0", metavar="PERCENT", help="The rate of the other one of the two.")
@click.option("--healthy-rates", callback=_percents, default="0,0.1,0.5", show_default=True, metavar="PERCENTS")
@click.option("--bad", callback=_one_percent, metavar="PERCENT", help="Suggest window and traffic that catch this rate …")
@click.option("--power", type=float, default=0.95, show_default=True, callback=_chance, help="… with this probability …")
@click.option("--healthy", callback=_one_percent, default="0.5", show_default=True, metavar="PERCENT", help="… and abort this …")
@click.option("--max-false", type=float, default=0.05, show_default=True, callback=_chance, help="… with this one at most.")
@click.option("--simulate", type=click.IntRange(0, 1_000_000), default=0, metavar="N", help="Simulate N releases per row.")
@click.option("--scrape-interval", type=float, default=15.0, show_default=True, callback=_positive, metavar="SECONDS",
              help="Of the simulation, and what an irate() sees.")
@click.option("--seed", type=click.IntRange(0, 2**53), default=0, show_default=True, help="Of the simulation.")
@click.option("--points", type=PATH, metavar="FILE", help="Measured trials, JSON or CSV.")
@click.option("--plot", type=OUTPUT, metavar="FILE", help="Draw it, as .svg or .png.")
@click.option("--compare", callback=_loads, metavar="NUMBERS", help="Further requests/s to draw: 5,20,200")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def oc(*, files: tuple[str, ...], chart: Path | None, values: tuple[Path, ...], settings: tuple[str, ...], rollout: str | None,
       weights: tuple[float, ...], pause: float | None, without: tuple[str, ...], window: float | None, **given: Any) -> int:
    """Say which error rate a gate catches at your traffic, and how often it aborts a healthy release.

    Computed from the gate's own steps and conditions, as rendered; no platform is needed.

    Exit codes: 0 computed, 1 measured --points lie outside, 2 wrong usage or a gate that cannot be computed.
    """
    from harness.oc.query import Unreadable  # noqa: PLC0415 -- `--help` should not wait for scipy
    from harness.oc.reading import read_gate  # noqa: PLC0415
    from harness.oc.work import Asked  # noqa: PLC0415

    given["rates"] = given["rates"] or tuple(map(_share, RATES[given["axis"]].split(",")))
    asked = Asked(**given)
    if pause is not None and not weights:
        raise UsageError("--pause is for --weights: how long each of them lasts")
    if asked.plot is not None:
        if asked.plot.suffix not in (".svg", ".png"):
            raise UsageError(f"--plot {asked.plot}: name a file that ends in .svg or .png")
        refuse_unwritable(asked.plot, option="--plot", parents=False)
    if rollout is not None and weights:
        raise UsageError("--weights stand in for a Rollout, and --rollout names one: give one of the two")
    if rollout is not None and not rollout.strip():
        raise UsageError("--rollout: the name is empty")
    try:
        gate = read_gate(
            _documents(files, chart, values, settings), weights=weights, without=frozenset(without), rollout=rollout,
            scrape_interval=asked.scrape_interval, pause=pause or 0.0,
        )  # fmt: skip
        return _answer(gate.with_window(window) if window else gate, asked)
    except Unreadable as error:
        raise UsageError(f"the gate cannot be computed: {error}") from None


def _answer(gate: Gate, asked: Asked) -> int:
    from harness.oc import work  # noqa: PLC0415
    from harness.oc.report import plain, text  # noqa: PLC0415

    found, judged = work.compute(gate, asked)
    click.echo(json.dumps(plain(found), indent=2) if asked.output == "json" else text(found))
    if asked.plot is not None:
        work.picture(found, judged, asked.compare, asked.plot)
    return EXIT_OUTSIDE if any(not each.inside for each in judged) else EXIT_OK


def _documents(files: tuple[str, ...], chart: Path | None, values: tuple[Path, ...], settings: tuple[str, ...]) -> list[Any]:
    from harness.lint.files import read, render_chart  # noqa: PLC0415

    if files and chart is None and (values or settings):
        raise UsageError("--values and --set are for --chart")
    found = read(files)
    if not files or chart is not None:
        render_chart(found, chart or CHART, values, parse_set(settings), command="oc")
    if found.unreadable:
        raise UsageError(found.unreadable[0])
    return found.documents
