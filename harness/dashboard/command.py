"""`harness dashboards`: where everything can be looked at, and a live page until Ctrl-C."""

from __future__ import annotations

import click

from harness.errors import EXIT_PLATFORM
from harness.options import platform_options
from harness.platforms.catalog import PlatformOptions, make


@click.command()
@click.option("--once", "--no-serve", "once", is_flag=True, help="Print the addresses, serve no page, and end.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the live page on 127.0.0.1 (default: a free one).")
@platform_options
def dashboards(platform: PlatformOptions, once: bool, port: int) -> int:
    """Ask every part of the running platform whether it answers, print where each can be looked at, and serve a live page.

    The page shows the release as it goes: revisions, pods, weights, each version's promises, analyses, logs. It changes nothing,
    and ends with Ctrl-C. Exit code 4 when a part is not well (with --once), or when no platform is up.
    """
    made = make(platform)
    lines, healthy = made.dashboards()
    for line in lines:
        click.echo(line)
    from harness.dashboard.source import Source, Watchable  # noqa: PLC0415 -- `--help` should not wait for what a page needs

    # A platform that brings dashboards of its own needs no page of ours.
    if once or not isinstance(made, Watchable):
        return 0 if healthy else EXIT_PLATFORM
    from harness.dashboard.server import serve  # noqa: PLC0415 -- nor `--once`

    source = Source(made)
    source.start()
    try:
        serve(source, port, tell=lambda url: click.echo(f"{'live page':<24} {url}  (until Ctrl-C)"))
    finally:
        source.stop()
    click.echo("the page has ended; the platform goes on (./run.sh down stops it)")
    return 0
