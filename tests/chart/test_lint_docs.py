"""The commands of docs/lint.md, run as they stand there; what the document shows below a command is what it prints."""

from __future__ import annotations

from pathlib import Path

from docs_support import help_of, run_commands


def test_run_sh_has_the_command() -> None:
    assert "GP103" in help_of("lint", "--rules")


def test_every_command_of_the_document_works_and_prints_what_it_shows(bin_dir: Path, tmp_path: Path) -> None:
    assert run_commands("lint.md", tmp_path, links=("charts",))
