"""The command `trials`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.options import Common, common_options, fault_options, options_of
from harness.paths import FOLDER
from harness.platforms.catalog import make

if TYPE_CHECKING:
    from harness.campaign.lanes import LaneFacts
    from harness.campaign.trial import Summary
    from harness.campaign.trials import Campaign


@click.command()
@click.option("--count", "-n", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many valid trials.")
@click.option("--campaign", "folder", type=FOLDER, default=Path("campaign"),
              show_default=True, help="The campaign's folder: an interrupted one goes on in it.")
@click.option("--lanes", type=click.IntRange(1, 32), help="Releases at once (default: as many as the machine carries).")
@fault_options
@common_options
def trials(*, common: Common, count: int, folder: Path, lanes: int | None, injected: dict[str, Any]) -> int:
    """Release one variant many times, side by side, and say how probably the gate rolls it back.

    Without a fault the variant is healthy: the result is how often this gate aborts a good release. Exit codes: 0 the campaign is
    complete, whatever the gate decided; 3 too many trials proved nothing; otherwise as for a single run.
    """
    from harness.campaign.trials import Campaign, run_campaign, summary_json  # noqa: PLC0415
    from harness.scenario import failure, success  # noqa: PLC0415

    shape: dict[str, Any] = {"window_seconds": common.window, "rps": common.rps, "seed": common.seed}
    scenario = failure(**injected, **shape) if injected else success(**shape)
    campaign = Campaign(scenario=scenario.as_it_is_due(), count=count, folder=folder.absolute(), lanes=lanes)
    platform = make(common.platform)
    _, summary, facts = run_campaign(campaign, options_of(common), platform, _say)
    data = summary_json(campaign, summary, facts)
    (campaign.folder / "summary.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    (campaign.folder / "points.json").write_text(json.dumps(data["points"], indent=2) + "\n", encoding="utf-8")
    text = "\n".join(lines(campaign, summary, facts)) + "\n"
    (campaign.folder / "summary.txt").write_text(text, encoding="utf-8")
    click.echo(json.dumps(data, indent=2) if common.output == "json" else text, nl=common.output == "json")
    return 0


def lines(campaign: Campaign, summary: Summary, facts: LaneFacts | None) -> list[str]:
    """A campaign's result for people."""
    scenario, back = campaign.scenario, summary.rollback
    steps = ", ".join(f"{n} at {weight} %" for n, weight in zip(summary.rollbacks_by_step, scenario.steps, strict=True))
    told = [
        f"{scenario.name}: {scenario.fault.why}",
        (f"  gate                  {' -> '.join(f'{step} %' for step in scenario.steps)}, {scenario.window_seconds:g} s each, "
        f"{scenario.rps:g} requests/s"),
        (f"  rolled back           {back.successes} of {back.trials} ({100 * back.share:.1f} %), "
        f"{100 * back.confidence:.0f} % interval {100 * back.low:.1f} % to {100 * back.high:.1f} % (Clopper-Pearson)"),
        f"  at the steps          {steps}",
        f"  invalid trials        {summary.invalid}, which count for nothing",
        f"  time to detect        {_spread(summary.detect_seconds, 's')}",
        f"  time to decide        {_spread(summary.decided_seconds, 's')}",
        f"  time to safe          {_spread(summary.safe_seconds, 's')}",
        f"  failed user requests  {_spread(summary.failed_requests, 'a release', digits=0)}",
    ]  # fmt: skip
    if facts is not None:
        at_once = f"at most {facts.lanes_at_most}, bounded by {facts.bounded_by}"
        told.append(f"  side by side          {at_once}; {facts.seconds:.0f} s in all")
    return [*told, f"trials: {campaign.folder}"]


def _spread(values: tuple[float, float, float] | None, unit: str, *, digits: int = 1) -> str:
    if values is None:
        return "-"
    median, most, worst = (f"{value:.{digits}f}" for value in values)
    return f"{median} {unit} (90 % within {most}, at most {worst})"


def _say(line: str) -> None:
    click.echo(line, err=True)
