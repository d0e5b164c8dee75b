"""The last lines of a log, as plain text: what programs write is not to be trusted, and may be large."""

from __future__ import annotations

import re
from pathlib import Path

TAIL_BYTES = 64 * 1024
TAIL_LINES = 300
LINE_CHARACTERS = 2000
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def tail(path: Path) -> list[str]:
    """At most TAIL_LINES lines of the file's last TAIL_BYTES, without escape sequences and control characters. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        text = file.read(TAIL_BYTES).decode(errors="replace")
    found = text.splitlines()
    if size > TAIL_BYTES:
        found = found[1:]  # the first is only a part of one
    return [plain(line) for line in found[-TAIL_LINES:]]


def plain(line: str) -> str:
    """One line without anything that is not to be read, and not endless."""
    kept = "".join(each for each in _ESCAPES.sub("", line) if each.isprintable() or each == "\t")
    return kept if len(kept) <= LINE_CHARACTERS else f"{kept[:LINE_CHARACTERS]} …"
