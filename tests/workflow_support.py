"""The checker of GitHub's workflows, from its Go module; built once into the cache, in a few seconds."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

from harness.platforms.local import golang
from harness.platforms.local.paths import cache_root

SOURCE = Path(__file__).parent / "process" / "toolchain" / "actionlint"
BUILD_SECONDS = 240


def checker() -> Path:
    """The program."""
    digest = hashlib.sha256(golang.go_version().encode())
    for name in ("go.mod", "go.sum"):
        digest.update((SOURCE / name).read_bytes())
    folder = cache_root() / "toolchain" / f"actionlint-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.access(folder / "actionlint", os.X_OK):
            argv = [str(golang.go_program()), "build", "-ldflags=-s -w", "-o", f"{folder}/", "tool"]
            done = subprocess.run(
                argv, cwd=SOURCE, env=golang.environment(), capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
            )
            assert done.returncode == 0, done.stderr[-2000:]
    return folder / "actionlint"


def complaints(actionlint: Path, text: str, folder: Path) -> list[str]:
    """What it finds wrong with a workflow, a line each."""
    file = folder / "workflow.yml"
    file.write_text(text)
    # Neither shellcheck nor pyflakes: whether they are installed is the machine's affair.
    argv = [str(actionlint), "-no-color", "-oneline", "-shellcheck=", "-pyflakes=", str(file)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=folder).stdout.splitlines()
