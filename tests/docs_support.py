"""The commands in our documents, so that a test can run each of them as it stands there.

A fenced block marked `sh` is for running, and some test runs it; one marked `console` or `text` only shows something.
"""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shell_blocks(document: str) -> list[str]:
    """The text of each `sh` block of docs/`document`, in order. Fails when there is none: then a test would run nothing."""
    blocks = _BLOCK.findall((DOCS / document).read_text(encoding="utf-8"))
    assert blocks, f"docs/{document} holds no block marked sh"
    return blocks
