"""Progress for logs and pipes: one line per change of state, with the time since the release was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from harness.progress.state import LiveState, LoadNow, Revision

SHORT_LOAD = 0.95
"""Below this share of the offered load an experiment proves nothing, so it is worth a line."""


def clean(text: str) -> str:
    """One printable line: what the API says may hold line feeds and control characters."""
    return "".join(each if each.isprintable() else " " for each in text).strip()


def changes(before: LiveState | None, after: LiveState) -> tuple[str, ...]:
    """What is worth a line between two states; nothing when only clocks and rates moved. Pure."""
    told = _facts(before) if before else {}
    return tuple(clean(line) for key, line in _facts(after).items() if told.get(key) != line)


def _facts(state: LiveState) -> dict[str, str]:
    """Every fact by a key of its own; a line is due whenever the text under a key is a new one."""
    facts = {"phase": f"{state.name} {state.phase or 'unknown'}" + (f": {state.message}" if state.message else "")}
    if state.step is not None and state.steps:
        facts["step"] = (
            f"step {min(state.step + 1, state.steps)} of {state.steps}" if state.step < state.steps else "all steps done"
        )
    facts["weight"] = f"weight {state.canary_weight} % canary, {state.stable_weight} % stable"
    for revision in state.revisions:
        facts |= dict(_revision_facts(revision))
    if state.load is not None:
        facts |= dict(_load_facts(state.load))
    return facts


def _revision_facts(revision: Revision) -> Iterator[tuple[str, str]]:
    role = f" ({revision.role})" if revision.role else ""
    name = revision.replica_set
    yield name, f"revision {revision.number}{role} {name}: {revision.ready} of {revision.desired} pods ready"
    for analysis in revision.analyses:
        yield f"{analysis.name}/", f"analysis {analysis.name} {analysis.phase}"
        for metric in analysis.metrics:
            if metric.value:
                yield f"{analysis.name}/{metric.name}", f"analysis {analysis.name}: {metric.name} = {metric.value} {metric.phase}"


def _load_facts(load: LoadNow) -> Iterator[tuple[str, str]]:
    short = load.achieved_rps < SHORT_LOAD * load.offered_rps
    yield "load", f"load {'falls short of' if short else 'reaches'} {load.offered_rps:g}/s"
    for version, count in sorted(load.failed.items()):
        if count:
            yield f"failed/{version}", f"first failed requests from {version or 'the gateway'}"


class PlainProgress:
    """Writes lines to a stream, flushed one by one so that a log is never behind. No colour."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: LiveState | None = None

    def update(self, state: LiveState) -> None:
        """Tell what changed since the last state."""
        for line in changes(self._last, state):
            self._write(f"[{state.elapsed:6.1f}s] {line}")
        self._last = state

    def note(self, line: str) -> None:
        """Tell one thing now, with the time of the last state, if there was one."""
        prefix = f"[{self._last.elapsed:6.1f}s] " if self._last else ""
        self._write(prefix + clean(line))

    def close(self) -> None:
        """Nothing is left open."""

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
