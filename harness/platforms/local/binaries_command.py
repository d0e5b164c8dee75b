"""`harness binaries`: the upstream programs as one file."""

from __future__ import annotations

from pathlib import Path

import click

from harness.files import refuse_unwritable


@click.group()
def binaries() -> None:
    """The upstream programs as one file, for machines that shall compile nothing."""


@binaries.command()
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write [default: by what is in it].")
@click.option("--gitops", is_flag=True, help="With Argo CD.")
def pack(output: Path | None, gitops: bool) -> None:
    """Write the programs that the cache holds, with their CRDs and roles, into one archive, and its checksum beside it."""
    from harness.platforms.local import binaries as programs  # noqa: PLC0415 -- `--help` should not wait for them
    from harness.platforms.local import gitops_programs  # noqa: PLC0415
    from harness.platforms.local.pack import archive_name  # noqa: PLC0415
    from harness.platforms.local.pack import pack as write  # noqa: PLC0415

    parts = (programs.part(), *((gitops_programs.part(),) if gitops else ()))
    target = (output or Path(archive_name(parts))).absolute()
    refuse_unwritable(target, option="--output", parents=False)
    checksum = write(parts, target, lambda line: click.echo(line, err=True))
    click.echo(f"{checksum}  {target}")
