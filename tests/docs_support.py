"""The commands in our documents, so that a test can run each of them as it stands there.

A fenced block marked `sh` is for running, and some test runs it; one marked `console` or `text` only shows something. A `text`
block right below a command is what the command prints.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHOWN = re.compile(r"^```sh\n(?P<command>.*?)^```\n(?:\n^```text\n(?P<output>.*?)^```$)?", re.MULTILINE | re.DOTALL)


def shell_blocks(document: str) -> list[str]:
    """The text of each `sh` block of docs/`document`, in order. Fails when there is none: then a test would run nothing."""
    blocks = _BLOCK.findall((DOCS / document).read_text(encoding="utf-8"))
    assert blocks, f"docs/{document} holds no block marked sh"
    return blocks


def run_commands(document: str, folder: Path, *, links: tuple[str, ...], path: tuple[Path, ...] = ()) -> list[str]:
    """Run each command of docs/`document` in an empty folder that links to these of ours; returns what each printed.

    Fails when one of them fails, or prints something else than the document shows below it.
    """
    for name in links:
        (folder / name).symlink_to(ROOT / name)
    places = [Path(sys.executable).parent, *path, os.environ["PATH"]]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": ":".join(map(str, places))}
    found = list(_SHOWN.finditer((DOCS / document).read_text(encoding="utf-8")))
    assert [each["command"] for each in found] == shell_blocks(document)
    told = []
    for each in found:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", each["command"]], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        if each["output"]:
            assert done.stdout == each["output"]
        told.append(done.stdout)
    return told


def help_of(*command: str) -> str:
    """What `./run.sh COMMAND` prints where it only tells something."""
    done = subprocess.run(
        ["./run.sh", *command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
