"""The commands of docs/oc.md, run as they stand there, and the figures of its table."""

from __future__ import annotations

from pathlib import Path

from docs_support import run_commands


def test_every_command_of_the_document_works(bin_dir: Path, tmp_path: Path) -> None:
    told = run_commands("oc.md", tmp_path, links=("charts",), path=(bin_dir,))
    assert "0.5 % errors: 0.252" in told[0]
    assert "a window of 344 s or more" in told[0]
    assert (tmp_path / "oc.svg").is_file()
