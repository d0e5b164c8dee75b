"""Programs that only tests need, from pinned Go modules of theirs: built once into the user's cache, like the platform's."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

from harness.platforms.local import golang
from harness.platforms.local.paths import cache_root


def go(*arguments: str, module: Path, seconds: float) -> str:
    """What `go` prints for these arguments in a module's folder."""
    done = subprocess.run(
        [golang.go_program(), *arguments], cwd=module, env=golang.environment(), capture_output=True, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"go {arguments[0]}: {done.stderr[-2000:]}"
    return done.stdout


def tools(module: Path, *programs: str, seconds: float) -> Path:
    """The folder with a module's tools; built first where one of them is not there, by one of those who want it at once."""
    digest = hashlib.sha256(f"{golang.go_version()} {golang.FLAGS}".encode())
    for name in ("go.mod", "go.sum"):
        digest.update((module / name).read_bytes())
    folder = cache_root() / "toolchain" / f"{module.name}-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all(os.access(folder / program, os.X_OK) for program in programs):
            go("build", "-ldflags=-s -w", "-o", f"{folder}/", "tool", module=module, seconds=seconds)
    return folder
