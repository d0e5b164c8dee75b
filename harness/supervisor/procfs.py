"""Which processes there are, read in one pass over ``/proc``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A process: ``start`` is its start time in clock ticks since boot, which tells it from a later one with its id."""

    pid: int
    parent: int
    group: int
    session: int
    start: int
    dead: bool


Snapshot = Mapping[int, Entry]


def snapshot() -> Snapshot:
    """Every process that can be seen now, zombies included (``dead``)."""
    entries = (_entry(int(folder.name)) for folder in PROC.iterdir() if folder.name.isdigit())
    return {entry.pid: entry for entry in entries if entry is not None}


def _entry(pid: int) -> Entry | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None  # it ended while we looked
    # The second field is the program's name in brackets, and may itself hold blanks and brackets.
    state, parent, group, session, *rest = text[text.rindex(")") + 2 :].split()
    return Entry(pid=pid, parent=int(parent), group=int(group), session=int(session), start=int(rest[15]), dead=state in "ZX")


def family(leader: int, seen: Snapshot, also: Iterable[Entry] = ()) -> tuple[Entry, ...]:
    """What is alive of a process that leads a session: itself, its session and group, and every descendant.

    ``also`` holds entries of an earlier look that still count, even if their parent is gone by now.
    """
    members = {entry.pid for entry in seen.values() if leader in {entry.pid, entry.session, entry.group}}
    members.update(entry.pid for entry in also if entry.pid in seen and seen[entry.pid].start == entry.start)
    grown = True
    while grown:
        children = {entry.pid for entry in seen.values() if entry.parent in members} - members
        members |= children
        grown = bool(children)
    return tuple(seen[pid] for pid in sorted(members) if not seen[pid].dead)
