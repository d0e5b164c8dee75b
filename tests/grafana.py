"""Grafana dashboards as data: their panels, their queries with the variables filled in, and what is wrong with them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

Object = dict[str, Any]
COLUMNS = 24
KINDS = {"row", "stat", "timeseries", "table", "state-timeline"}
BUILT_IN = {"$__rate_interval"}


def panels(dashboard: Object) -> list[Object]:
    """All panels but the rows' headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets(dashboard: Object) -> Iterator[tuple[str, Object]]:
    """Each query of a panel, with a name for people."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield f"{dashboard['uid']}: {panel['title']} {target['refId']}", target


def queries(dashboard: Object, variables: Mapping[str, str]) -> dict[str, str]:
    """The panels' queries by name, with the variables filled in (longest names first, as one may begin another)."""
    return {name: filled(target["expr"], variables) for name, target in targets(dashboard)}


def annotations(dashboard: Object, variables: Mapping[str, str]) -> dict[str, str]:
    """The annotations' queries by name."""
    return {each["name"]: filled(each["expr"], variables) for each in dashboard["annotations"]["list"]}


def filled(text: str, variables: Mapping[str, str]) -> str:
    for name in sorted(variables, key=len, reverse=True):
        text = text.replace(f"${name}", variables[name])
    return text


def faults(dashboard: Object) -> list[str]:
    """Everything that Grafana would stumble over, or show in a way that nobody can read; empty for a sound dashboard."""
    found = []
    named = re.fullmatch(r"[\w-]{1,40}", dashboard.get("uid", "")) and dashboard.get("title")
    if not named or dashboard.get("schemaVersion", 0) < 36:
        found.append("uid, title or schemaVersion")
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(set(ids)) != len(ids):
        found.append("two panels of one id")
    for one, other in itertools.combinations(dashboard["panels"], 2):
        if _overlap(one["gridPos"], other["gridPos"]):
            found.append(f"{one['title']} lies over {other['title']}")
    found += [f"{panel['title']}: {fault}" for panel in dashboard["panels"] for fault in _panel_faults(panel)]
    known = {f"${each['name']}" for each in dashboard["templating"]["list"]} | BUILT_IN
    used = {f"${name}" for name in re.findall(r"\$\{?(\w+)", str(dashboard))}
    found += [f"variable {name} is unknown" for name in sorted(used - known)]
    return found + [f"variable {name} is for nothing" for name in sorted(known - used - BUILT_IN)]


def _overlap(one: Object, other: Object) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (beside or below)


def _panel_faults(panel: Object) -> Iterator[str]:
    place = panel["gridPos"]
    if place["x"] < 0 or place["x"] + place["w"] > COLUMNS or min(place["w"], place["h"]) < 1:
        yield "outside of the grid"
    if panel["type"] not in KINDS or not panel["title"]:
        yield "its type or its title"
    if panel["type"] == "row":
        return
    if not panel.get("description") or not panel["fieldConfig"]["defaults"].get("unit"):
        yield "no description or no unit"
    refs = [target["refId"] for target in panel["targets"]]
    if not refs or len(set(refs)) != len(refs):
        yield "no query, or two of one name"
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    if any(source != {"type": "prometheus", "uid": "${datasource}"} for source in sources):
        yield "a data source of its own"
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    values = [step["value"] for step in steps]
    if values and (values[0] is not None or values[1:] != sorted(values[1:])):
        yield "thresholds out of order"
