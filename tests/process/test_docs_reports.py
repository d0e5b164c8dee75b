"""The commands of docs/reports.md, run as they stand there on the report of a made-up release."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from docs_support import DOCS, shell_blocks

from harness.report import render_json
from harness.report_folder import REPORTS

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from report_worlds import report

BLOCKS = shell_blocks("reports.md")


def test_what_a_script_asks_for_first(tmp_path: Path) -> None:
    [block] = BLOCKS
    file = tmp_path / "report.json"
    file.write_text(json.dumps(render_json(report("lingering"))))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        env={"PATH": os.environ["PATH"], "REPORT": str(file)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("other_decision rolled_back ")
    assert lines[1] == "failed: 5 of 2130"
    assert lines[2].startswith("not passed: served afterwards - ")
    assert sum(line.endswith(" failed") for line in lines) == 5


def test_every_file_is_explained() -> None:
    text = (DOCS / "reports.md").read_text()
    for name in REPORTS:
        assert f"| `{name}` | " in text
