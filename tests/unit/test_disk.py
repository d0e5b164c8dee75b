"""A full disk is told as such, whatever else failed because of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from harness import disk


class Usage(NamedTuple):
    total: int
    used: int
    free: int



@pytest.mark.parametrize(("free", "told"), [(0, True), (disk.ROOM_BYTES - 1, True), (disk.ROOM_BYTES, False), (1 << 40, False)])
def test_a_disk_without_room_is_full(free: int, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 50, 0, free))
    found = disk.full(tmp_path, option="--run-dir")
    assert bool(found) is told
    assert not told or ("--run-dir" in found and str(tmp_path) in found)


def test_a_folder_that_is_not_there_is_not_full(tmp_path: Path) -> None:
    assert disk.full(tmp_path / "nowhere", option="--run-dir") == ""
