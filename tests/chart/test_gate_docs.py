"""The commands of docs/gate.md, run as they stand there; what the document shows below a command is what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from docs_support import DOCS, shell_blocks

ROOT = DOCS.parent
_SHOWN = re.compile(r"^```sh\n(?P<command>.*?)^```\n(?:\n^```text\n(?P<output>.*?)^```$)?", re.MULTILINE | re.DOTALL)


def test_run_sh_has_the_command() -> None:
    argv = ["./run.sh", "gate", "--help"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert "--series" in done.stdout


def test_every_command_of_the_document_works_and_prints_what_it_shows(bin_dir: Path, tmp_path: Path) -> None:
    for name in ("charts", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    found = list(_SHOWN.finditer((DOCS / "gate.md").read_text(encoding="utf-8")))
    assert [each["command"] for each in found] == shell_blocks("gate.md")
    for each in found:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", each["command"]], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
        )
        assert done.returncode == 0, done.stdout
        if each["output"]:
            assert done.stdout == each["output"]
