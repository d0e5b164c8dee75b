"""docs/reliability.md says what its record says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


def row(look: dict[str, Any]) -> str:
    parts = [look["parts"][name]["memory_mib"] for name in ("kube-apiserver", "etcd", "prometheus")]
    whole = [look["memory_mib"], *parts, look["disk_mib"]]
    counted = [look[key] for key in ("processes", "threads", "open_files", "objects")]
    cells = [look.get("releases", 0), look.get("seconds", "-"), *(f"{each:.0f}" for each in whole), *counted]
    return f"| {' | '.join(map(str, cells))} |"


def test_the_table_is_the_record() -> None:
    record = json.loads((DOCS / "evidence" / "soak.json").read_text())
    text = (DOCS / "reliability.md").read_text()
    looks = [record["start"], *record["batches"]]
    rows = [line for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert rows == [row(look) for look in looks]


def test_every_release_of_the_record_was_decided_rightly() -> None:
    batches = json.loads((DOCS / "evidence" / "soak.json").read_text())["batches"]
    assert [each["valid"] for each in batches] == [20] * 10
    assert [each["rolled_back"] for each in batches] == [20, 0] * 5
