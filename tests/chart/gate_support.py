"""The gate as the rollouts controller sees it: metrics by name, queries with their arguments filled in, conditions decided."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from chart_support import Object

SCRAPE = 5  # seconds
GUARD = "len(result) > 0 && !isNaN(result[0]) && result[0] "


def metrics(objects: dict[tuple[str, str], Object]) -> dict[str, Object]:
    return {metric["name"]: metric for metric in objects["AnalysisTemplate", "webapp-slo"]["spec"]["metrics"]}


def queries(objects: dict[tuple[str, str], Object], canary: str = "new") -> dict[str, str]:
    """The queries with their arguments filled in, as the rollouts controller does it."""
    filled = {"{{args.canary-hash}}": canary, "{{args.namespace}}": "webapp"}
    return {
        name: re.sub(r"\{\{args\.[^}]*\}\}", lambda found: filled[found.group()], metric["provider"]["prometheus"]["query"])
        for name, metric in metrics(objects).items()
    }


Series = list[dict[str, str]]
Evaluate = Callable[[Series, dict[str, str], Mapping[str, float | None]], None]


def holds(condition: str, value: float | None) -> bool:
    """A condition of the gate's one form, over a result that has this one sample or (None) no sample."""
    found = re.fullmatch(re.escape(GUARD) + r"(>=|<) (\S+)", condition)
    assert found, condition
    if value is None or math.isnan(value):
        return False
    return value >= float(found[2]) if found[1] == ">=" else value < float(found[2])
