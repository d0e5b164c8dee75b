"""The table of values in docs/chart.md, made from values.yaml and the comments in it. Run this file to write it anew."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "charts" / "webapp"
DOCUMENT = Path(__file__).parents[2] / "docs" / "chart.md"
BEGIN, END = "<!-- values: made by tests/chart/values_table.py -->", "<!-- end of values -->"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
# Maps whose keys are the user's.
OPEN = {
    "nodeSelector", "affinity", "podAnnotations", "podLabels", "notifications", "resources.requests", "resources.limits",
    "gateway.selector", "destinationRule.trafficPolicy", "rollout.annotations", "autoscaling.behavior",
    "analysis.envoy.matchLabels", "serviceAccount.annotations", "podMonitor.labels", "serviceMonitor.labels",
    "callers.prometheusLabels", "dashboards.labels", "dashboards.annotations", "rules.labels",
}  # fmt: skip


def groups(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every group of values: "" and the dotted paths below it."""
    yield path
    for key, value in values.items():
        below = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and below not in OPEN:
            yield from groups(value, below)


def rows() -> Iterator[tuple[str, str, str]]:
    """Path, default and explanation of each value, in the file's order."""
    parents = set(groups(VALUES))
    comment: list[str] = []
    place: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        if found := re.match(r" *# ?(.*)", line):
            comment.append(found[1])
            continue
        if found := re.match(r"( *)([A-Za-z]+):", line):
            place = [*place[: len(found[1]) // 2], found[2]]
            path = ".".join(place)
            above = ".".join(place[:-1])
            if path not in parents and above in parents:
                yield path, json.dumps(value(path), ensure_ascii=False), " ".join(comment)
        comment = []


def value(path: str) -> Any:
    """The default at a dotted path."""
    found: Any = VALUES
    for key in path.split("."):
        found = found[key]
    return found


def current() -> str:
    """The table as it should be."""
    lines = ["| value | default | |", "| --- | --- | --- |"]
    for path, default, words in rows():
        lines.append(f"| `{path}` | `{default}` | {words.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def written() -> str:
    """The table as the document has it."""
    return DOCUMENT.read_text().split(BEGIN)[1].split(END)[0].strip()


if __name__ == "__main__":
    before, after = DOCUMENT.read_text().split(BEGIN)[0], DOCUMENT.read_text().split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{current()}\n{END}{after}")
