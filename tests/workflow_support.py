"""The checker of GitHub's workflows, from its Go module; built once into the cache, in a few seconds."""

from __future__ import annotations

import subprocess
from pathlib import Path

from go_tools import tools

SOURCE = Path(__file__).parent / "process" / "toolchain" / "actionlint"
BUILD_SECONDS = 240


def checker() -> Path:
    """The program."""
    return tools(SOURCE, "actionlint", seconds=BUILD_SECONDS) / "actionlint"


def complaints(actionlint: Path, text: str, folder: Path) -> list[str]:
    """What it finds wrong with a workflow, a line each."""
    file = folder / "workflow.yml"
    file.write_text(text)
    # Neither shellcheck nor pyflakes: whether they are installed is the machine's affair.
    argv = [str(actionlint), "-no-color", "-oneline", "-shellcheck=", "-pyflakes=", str(file)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=folder).stdout.splitlines()
