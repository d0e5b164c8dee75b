"""The types of paths on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

MOST_BYTES, MOST_BYTES_OF_A_NAME = 4095, 255
"""What Linux takes for a path, and for each name in it."""


class Named(click.Path):
    """A path that can be one: neither empty, nor longer than the system takes, nor with a NUL in it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse what no file can be called, in one line, before anything is done with it."""
        raw = os.fsencode(value)
        if not raw.strip():
            self.fail("the path is empty: name one, or leave the option out", param, ctx)
        if len(raw) > MOST_BYTES or max(map(len, raw.split(b"/"))) > MOST_BYTES_OF_A_NAME or b"\0" in raw:
            self.fail(f"{str(value)[:60]!r} …: no file can have this name", param, ctx)
        return super().convert(value, param, ctx)


PATH = Named(path_type=Path)
FOLDER = Named(path_type=Path, file_okay=False)
OUTPUT = Named(path_type=Path, dir_okay=False)
