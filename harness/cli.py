"""The command line: parse, call, map errors to exit codes."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from typing import Any

import click

from harness.campaign.command import trials
from harness.dashboard.command import dashboards
from harness.errors import EXIT_PLATFORM, EXIT_USAGE, HarnessError, one_line
from harness.gitops.command import bump
from harness.lint.command import lint
from harness.matrix.command import matrix
from harness.oc.command import oc
from harness.options import (
    Common,
    common_options,
    disturb_option,
    fault_options,
    gitops_option,
    options_of,
    platform_options,
    ready_options,
)
from harness.platforms.catalog import PlatformOptions, make
from harness.platforms.cluster.command import role
from harness.platforms.local.binaries_command import binaries
from harness.replay.command import gate
from harness.secrecy import redacted, redacted_command

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


@click.group(context_settings=CONTEXT)
@click.version_option(package_name="gateproof", prog_name="harness")
def cli() -> None:
    """Prove on real parts that a canary gate promotes good releases and rolls back bad ones.

    Exit codes: 0 the expected decision for the expected reason, 1 another decision, 2 wrong usage, 3 the experiment is
    inconclusive, 4 the platform failed, 130 interrupted.
    """


@cli.command()
@disturb_option
@common_options
@gitops_option
def success(common: Common, disturb: tuple[str, ...]) -> int:
    """Release a healthy v1.1: the gate must promote it."""
    from harness.scenario import success as scenario  # noqa: PLC0415 -- `--help` should not wait for what only a run needs

    made = scenario(window_seconds=common.window, rps=common.rps, seed=common.seed)
    return _run(_disturbed(made, disturb), common)


@cli.command()
@fault_options
@disturb_option
@common_options
@gitops_option
def failure(common: Common, injected: dict[str, Any], disturb: tuple[str, ...]) -> int:
    """Release a faulty v1.1 (5 % errors, unless the options say otherwise): the gate must roll it back at the first step."""
    from harness.scenario import failure as scenario  # noqa: PLC0415

    made = scenario(**injected, window_seconds=common.window, rps=common.rps, seed=common.seed)
    return _run(_disturbed(made, disturb), common)


@cli.command()
@platform_options
@gitops_option
def up(platform: PlatformOptions) -> int:
    """Start the platform and leave it running."""
    started = time.monotonic()
    made = make(platform)
    made.up(_say)
    click.echo(made.describe())
    click.echo(f"up in {time.monotonic() - started:.1f} s")
    return 0


@cli.command()
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@platform_options
def status(platform: PlatformOptions, output: str) -> int:
    """Show what runs, where it can be reached, and how much memory it takes. Exit 4 when it is not up or a part has died."""
    made = make(platform)
    click.echo(json.dumps(made.status(), indent=2) if output == "json" else made.describe())
    return 0 if made.healthy() else EXIT_PLATFORM


@cli.command()
@platform_options
def down(platform: PlatformOptions) -> int:
    """Stop the platform of this folder."""
    stopped = make(platform).down()
    click.echo("stopped" if stopped else f"nothing was running in {platform.run_dir}")
    return 0


@cli.command()
@platform_options
@gitops_option
def plan(platform: PlatformOptions) -> int:
    """Print what `up` would start: every program with its arguments, ports and needs. Nothing is started."""
    click.echo(make(platform).plan())
    return 0


@cli.command()
@click.option("--dry-run", is_flag=True, help="Only print every command and manifest; the same as `plan`.")
@platform_options
@gitops_option
@ready_options
def setup(platform: PlatformOptions, dry_run: bool) -> int:
    """Build, unpack, download or make whatever the platform needs, so that later runs start at once."""
    if dry_run:
        click.echo(make(platform).plan())
        return 0
    make(platform).setup(_say)
    click.echo("everything is there")
    return 0


cli.add_command(dashboards)
cli.add_command(trials)
cli.add_command(lint)
cli.add_command(oc)
cli.add_command(bump)
cli.add_command(gate)
cli.add_command(matrix)
cli.add_command(role)
cli.add_command(binaries)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _disturbed(scenario: Any, disturb: tuple[str, ...]) -> Any:
    from harness.disturbances import parse_all  # noqa: PLC0415

    return replace(scenario, disturbances=parse_all(disturb, scenario.steps))


def _run(scenario: Any, common: Common) -> int:
    from harness.outcome import play  # noqa: PLC0415

    given = click.get_current_context().obj or ()
    platform, command = make(common.platform), ("python", "-m", "harness", *redacted_command(given))
    return play(scenario, common, options_of(common), platform, command=command)


def main(argv: list[str] | None = None) -> int:  # noqa: PLR0911 -- one line for each way to end
    """Run one command. Every failure is one line on standard error and one exit code. Raises KeyboardInterrupt as it comes."""
    try:
        given = sys.argv[1:] if argv is None else argv
        code = cli.main(args=given, prog_name="harness", standalone_mode=False, obj=tuple(given))
    except click.exceptions.Exit as done:
        return int(done.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), EXIT_USAGE)
    except click.Abort as error:
        # click's own word for a KeyboardInterrupt, which it keeps as the cause.
        raise error.__context__ or KeyboardInterrupt from None
    except HarnessError as error:
        return _fail(str(error), error.exit_code)
    except SystemExit as ended:
        # The reader of our output has gone (`| head`): no verdict, so not exit code 1.
        return EXIT_PLATFORM if ended.code == 1 else int(ended.code or 0)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}", EXIT_PLATFORM)
    except Exception as error:
        # A fault of our own is never a verdict.
        if os.environ.get("GATEPROOF_DEBUG"):
            raise
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        return _fail(f"a fault of the harness itself: {told} (GATEPROOF_DEBUG=1 shows where; please report it)", EXIT_PLATFORM)
    return int(code or 0)


def _fail(message: str, code: int) -> int:
    sys.stdout.flush()
    click.echo(f"error: {one_line(redacted(message))}", err=True)
    return code


__all__ = ["main"]
