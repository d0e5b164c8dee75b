"""The commands of docs/chart.md, run as they stand there, with the pinned helm on PATH."""

from __future__ import annotations

import subprocess
from pathlib import Path

from chart_support import CHART
from docs_support import shell_blocks


def test_every_command_of_the_document_works(bin_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "charts").symlink_to(CHART.parent)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "helm").symlink_to(bin_dir / "helm")
    env = {"HOME": str(tmp_path), "PATH": f"{tools}:/usr/bin:/bin"}
    for block in shell_blocks("chart.md"):
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        assert done.stdout, f"it says nothing:\n{block}"
