"""What Git and Argo CD did in one release. Times are epoch seconds by the harness' own clock. PURE: no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.observation.facts import ServedSample


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One commit of the harness' own, and when Argo CD could first read it."""

    sha: str
    subject: str
    at: float


@dataclass(frozen=True, kw_only=True)
class AppState:
    """An Application as it was seen at one moment; what Argo CD has not said yet is empty."""

    at: float
    sync: str = ""
    health: str = ""
    message: str = ""
    revision: str = ""
    """The commit that it was last compared with."""
    operation: str = ""
    """The phase of the last sync."""
    synced_revision: str = ""
    """The commit of the last sync."""

    def __str__(self) -> str:
        """As a person would tell it."""
        told = f"{self.sync or 'not compared'}, {self.health or 'health unknown'}, at {self.revision[:10] or 'no commit'}"
        return f"{told}: {self.message}" if self.message else told


@dataclass(frozen=True, kw_only=True)
class MiddleSync:
    """A sync of every object that was asked for while the candidate had its first weight."""

    commit: Commit
    requested_at: float
    finished_at: float | None = None
    phase: str = ""
    message: str = ""
    applied: tuple[str, ...] = ()
    """Each object that it applied, as Kind/name."""


@dataclass(frozen=True, kw_only=True)
class GitOpsFacts:
    """The release as a commit: what was committed, what Argo CD said, and what came of taking the commit back.

    `states` ends with the decision; `reverted` is the Application's last state after the revert, `samples` what the gateway
    served then.
    """

    release: Commit
    states: tuple[AppState, ...] = ()
    sync: MiddleSync | None = None
    decided: AppState | None = None
    revert: Commit | None = None
    reverted: AppState | None = None
    rollout_phase: str = ""
    """The Rollout's phase after the revert, if there was one."""
    rollout_hash: str = ""
    """The revision that is stable, and the only one, after the revert."""
    samples: tuple[ServedSample, ...] = ()


def moments(facts: GitOpsFacts | None) -> Iterator[tuple[float, str]]:
    """What a person would want to know of, with its time; in no order."""
    if facts is None:
        return
    for commit in filter(None, (facts.release, facts.sync.commit if facts.sync else None, facts.revert)):
        yield commit.at, f"commit {commit.sha[:10]}: {commit.subject}"
    if facts.sync and facts.sync.finished_at is not None:
        yield facts.sync.finished_at, f"sync of every object {facts.sync.phase}"
    told = ""
    for state in (*facts.states, *filter(None, (facts.decided, facts.reverted))):
        now = f"Argo CD {state.sync or 'not compared'}, {state.health or 'health unknown'}"
        if now != told:
            yield state.at, now
        told = now


def parse_application(app: Mapping[str, Any], at: float) -> AppState:
    """An Application of Argo CD 3 as seen at `at`."""
    status = app.get("status") or {}
    sync, health, operation = (status.get(name) or {} for name in ("sync", "health", "operationState"))
    told = [
        f"{each.get('kind')}/{each.get('name')} {each['health'].get('message', '')}".strip()
        for each in status.get("resources") or ()
        if (each.get("health") or {}).get("status") == "Degraded"
    ]
    told += [f"{each.get('type')}: {each.get('message', '')}" for each in status.get("conditions") or ()]
    return AppState(
        at=at,
        sync=str(sync.get("status", "")),
        health=str(health.get("status", "")),
        message=" | ".join(told or [str(health.get("message") or "")]),
        revision=str(sync.get("revision", "")),
        operation=str(operation.get("phase", "")),
        synced_revision=str((operation.get("syncResult") or {}).get("revision", "")),
    )


def applied(app: Mapping[str, Any]) -> tuple[str, ...]:
    """What the last sync applied, as Kind/name."""
    result = (((app.get("status") or {}).get("operationState") or {}).get("syncResult") or {}).get("resources") or ()
    return tuple(f"{each.get('kind')}/{each.get('name')}" for each in result if each.get("status") == "Synced")
