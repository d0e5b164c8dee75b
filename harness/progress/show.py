"""Who shows the progress: a tree on a terminal that can draw one, plain lines everywhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol, TextIO

from harness.progress.plain import PlainProgress
from harness.progress.state import LiveState


class Progress(Protocol):
    """Told of every state and of notable moments; shows what a person needs. `close` may be called more than once."""

    def update(self, state: LiveState) -> None:
        """Take in a new state."""

    def note(self, line: str) -> None:
        """Show one line."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


def make_progress(stream: TextIO, *, no_color: bool = False, environ: Mapping[str, str] | None = None) -> Progress:
    """A tree when the stream is a terminal (and not TERM=dumb), else plain lines. A non-empty NO_COLOR means no colour."""
    environ = os.environ if environ is None else environ
    if not stream.isatty() or environ.get("TERM", "") in {"dumb", "unknown"}:
        return PlainProgress(stream)
    from rich.console import Console  # noqa: PLC0415 -- 0.08 s of imports that plain lines do without

    from harness.progress.tree import TreeProgress  # noqa: PLC0415

    colourless = no_color or bool(environ.get("NO_COLOR"))
    return TreeProgress(Console(file=stream, no_color=colourless, highlight=False))
