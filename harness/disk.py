"""Whether a disk is full: what else went wrong is then only what came of it."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOM_BYTES = 256 * 1024
"""Less than this is as good as none: whatever is written next fails."""


def full(folder: Path, *, option: str) -> str:
    """One line for a folder whose disk is full, which names the option that chooses another; empty where it is not."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return ""
    return told(folder, option=option) if free < ROOM_BYTES else ""


def told(folder: Path, *, option: str) -> str:
    """That line."""
    return f"the disk of {folder} is full: make room, or choose another folder with {option}"
