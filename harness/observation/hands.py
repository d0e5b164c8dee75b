"""Who wrote: the field managers of a release's objects, to tell a hand in the works from the controller's own. PURE: no I/O.

The API server notes for every field which program wrote it last (`metadata.managedFields`), by a name that the program does not
have to give: it is taken from its User-Agent. Whoever means harm can take another's name, but nobody takes it by accident.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.observation.facts import Hand

DECIDING = frozenset({"Rollout", "AnalysisRun"})
"""Kinds whose status decides. Of the others only the spec counts, and labels and annotations of none: a mesh may well note in the
status of its objects that it has seen them."""
SCALE = "scale"
"""The subresource by which an autoscaler sets the number of pods, when it has reason to."""

Object = Mapping[str, Any]


def writers(found: Object) -> Iterator[tuple[str, str]]:
    """(manager, part of the object) of everything that counts in one object."""
    for entry in found.get("metadata", {}).get("managedFields") or ():
        if entry.get("subresource") == SCALE:
            continue
        for part in ("spec", "status") if found.get("kind") in DECIDING else ("spec",):
            if f"f:{part}" in (entry.get("fieldsV1") or ()):
                yield str(entry.get("manager", "")), part


def foreign_hands(history: Iterable[tuple[float, Object]], since: float) -> tuple[Hand, ...]:
    """Who has written into these objects since the release, and into none of them before it.

    `history` has every version of each object that was seen, with the moment (epoch seconds). Those who installed the stable
    version and looked after it are known by then: helm or Argo CD, and the rollouts controller.
    """
    versions = sorted(history, key=lambda each: each[0])
    known = {manager for at, found in versions if at < since for manager, _ in writers(found)}
    hands: dict[tuple[str, str, str, str], Hand] = {}
    for at, found in versions:
        if at < since:
            continue
        kind, name = str(found.get("kind") or "object"), str(found.get("metadata", {}).get("name", ""))
        for manager, part in writers(found):
            if manager not in known:
                hands.setdefault((kind, name, part, manager), Hand(at=at, kind=kind, name=name, part=part, manager=manager))
    return tuple(hands.values())
