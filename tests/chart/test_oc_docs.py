"""The commands of docs/oc.md, run as they stand there, and the figures of its table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from docs_support import DOCS, shell_blocks

ROOT = DOCS.parent


def test_every_command_of_the_document_works(bin_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    path = f"{Path(sys.executable).parent}:{bin_dir}:{os.environ['PATH']}"
    told = []
    for each in shell_blocks("oc.md"):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", each], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": path},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        told.append(done.stdout)
    assert "0.5 % errors: 0.252" in told[0]
    assert "a window of 344 s or more" in told[0]
    assert (tmp_path / "oc.svg").is_file()
