"""The commands of docs/dashboards.md, run as they stand there; and its list of panels against the dashboards'."""

from __future__ import annotations

import json
from pathlib import Path

from docs_support import DOCS, run_commands


def test_every_command_of_the_document_works(bin_dir: Path, tmp_path: Path) -> None:
    (told,) = run_commands("dashboards.md", tmp_path, links=("charts",), path=(bin_dir,))
    for name in ("slo.json True", "canary.json True", "gate.json True", "load.json True", "SUCCESS: 31 rules found"):
        assert name in told
    text = (DOCS / "dashboards.md").read_text()
    for path in tmp_path.glob("*.json"):
        board = json.loads(path.read_text())
        assert f"{board['title']} (`{path.name}`)" in text
    assert (DOCS / "dashboards-live.png").stat().st_size <= 200_000
