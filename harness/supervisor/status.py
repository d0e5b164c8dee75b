"""What the supervisor tells about its components."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a component stands."""

    WAITING = "waiting"  # for what it needs
    STARTING = "starting"  # it runs, and its probe has not succeeded yet; or a task that has not ended
    READY = "ready"
    DONE = "done"  # a task that exited with 0
    FAILED = "failed"  # it did not become ready
    DIED = "died"  # it had been ready, and ended although nobody asked it to
    KILLED = "killed"  # on purpose, without warning, and to be started again
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class Event:
    """A component's change of state; ``seconds`` since the supervisor was made."""

    component: str
    state: State
    detail: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ComponentStatus:
    """A component now. ``rss_bytes`` counts it and all its descendants; both are None when nothing of it runs."""

    name: str
    pid: int | None
    state: State
    ready_after_seconds: float | None
    rss_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class StopReport:
    """What a stop did: who was stopped, in order; who had to be killed; and what went wrong on the way."""

    stopped: tuple[str, ...] = ()
    killed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
