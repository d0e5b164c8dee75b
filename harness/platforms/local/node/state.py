"""PURE: what the agent remembers of a pod between two steps. Times are seconds since the epoch, durations seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from harness.platforms.local.node.facts import Op
from harness.platforms.local.node.spec import Json, Pod, ProbeKind, parse_time

KILLED_WITH_AGENT = "The node agent that ran this container ended, and the container with it"


class Stage(StrEnum):
    """Where a container stands."""

    WAITING = "waiting"
    PULLING = "pulling"
    STARTING = "starting"
    POST_START = "post-start"
    RUNNING = "running"
    DONE = "done"


class HookStage(StrEnum):
    """Where the preStop hook of a container that is being stopped stands."""

    NOT_YET = "not yet"
    UNDER_WAY = "under way"
    OVER = "over"


@dataclass(frozen=True, kw_only=True)
class Termination:
    """The end of one run of a container."""

    exit_code: int
    reason: str
    finished_at: float
    started_at: float = 0.0
    message: str | None = None
    container_id: str = ""


@dataclass(frozen=True, kw_only=True)
class ProbeState:
    """Counters of one probe. `due` None: not begun. `result` None: no threshold reached yet."""

    due: float | None = None
    in_flight: bool = False
    probed: bool = False
    successes: int = 0
    failures: int = 0
    result: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A container on its way down: preStop, SIGTERM, and SIGKILL at `deadline`."""

    deadline: float
    skip_hook: bool = False
    hook: HookStage = HookStage.NOT_YET
    hook_until: float | None = None
    term_at: float | None = None
    killed: bool = False


@dataclass(frozen=True, kw_only=True)
class ContainerState:
    """One container. `attempt` is its restartCount. `next_at`: when it goes on. `flip`: the next wording and its time."""

    name: str
    stage: Stage = Stage.WAITING
    reason: str = "ContainerCreating"
    message: str | None = None
    next_at: float = 0.0
    flip: tuple[float, str, str] | None = None
    attempt: int = 0
    image_id: str = ""
    pid: int | None = None
    started_at: float | None = None
    current: Termination | None = None
    last: Termination | None = None
    crash_delay: float = 0.0
    crash_since: float = 0.0
    pull_delay: float = 0.0
    probes: Mapping[ProbeKind, ProbeState] = field(default_factory=dict)
    stop: Stop | None = None

    @property
    def alive(self) -> bool:
        """Whether a process runs, or may be about to."""
        return self.stage in {Stage.STARTING, Stage.POST_START, Stage.RUNNING}


@dataclass(frozen=True, kw_only=True)
class OpState:
    """A write under way, or the pause after it failed."""

    in_flight: bool = False
    failures: int = 0
    retry_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A pod condition and since when it has this status."""

    status: bool
    since: float
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True)
class PodState:
    """All that is remembered. `written`, `entry`: what the API is known to hold; `sent_*`: what a write under way carries."""

    containers: Mapping[str, ContainerState]
    started_at: float
    address: str | None = None
    address_asked: bool = False
    address_retry_at: float = 0.0
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    ops: Mapping[Op, OpState] = field(default_factory=dict)
    written: Json | None = None
    sent_status: Json | None = None
    entry: Json | None = None
    entry_sure: bool = True
    sent_entry: Json | None = None
    stop_by: float | None = None
    gone: bool = False
    refused: bool = False
    bound: bool = False
    deleted: bool = False


def new_state(pod: Pod, now: float) -> PodState:
    """The state of a pod that never ran."""
    waiting = "PodInitializing" if pod.init_containers else "ContainerCreating"
    return PodState(
        containers={
            c.name: ContainerState(name=c.name, reason="ContainerCreating" if c in pod.init_containers else waiting)
            for c in pod.all_containers
        },
        started_at=now,
    )


def adopted_state(pod: Pod, status: Json, now: float) -> PodState:
    """The state of a pod that an earlier agent ran: its processes died with that agent, so what ran counts as killed (137)."""
    state = new_state(pod, now)
    old = {s["name"]: s for s in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))}
    finished = status.get("phase") in {"Succeeded", "Failed"}
    containers = {name: _adopt(c, old[name], now) if name in old else c for name, c in state.containers.items()}
    if not finished:
        # A new address is a new sandbox, for which kubelet runs the init containers again.
        containers |= {c.name: _again(containers[c.name]) for c in pod.init_containers}
    return PodState(
        containers=containers,
        started_at=parse_time(status.get("startTime")) or now,
        address=status.get("podIP") if finished else None,
        conditions={
            c["type"]: Condition(status=c["status"] == "True", since=parse_time(c.get("lastTransitionTime")) or now)
            for c in status.get("conditions") or ()
        },
    )


def _adopt(c: ContainerState, old: Json, now: float) -> ContainerState:
    state, count = old.get("state") or {}, int(old.get("restartCount") or 0)
    current, last = _termination(state.get("terminated")), _termination((old.get("lastState") or {}).get("terminated"))
    if "running" in state:
        begun = parse_time(state["running"].get("startedAt")) or 0.0
        current = Termination(
            exit_code=137,
            reason="Error",
            finished_at=now,
            started_at=begun,
            message=KILLED_WITH_AGENT,
            container_id=old.get("containerID") or "",
        )
    if "waiting" in state and last:  # it waited for its next run (CrashLoopBackOff)
        current, last = last, None
    if current:
        return replace(c, attempt=count, image_id=old.get("imageID") or "", stage=Stage.DONE, current=current, last=last)
    return replace(c, attempt=count, image_id=old.get("imageID") or "")


def _again(c: ContainerState) -> ContainerState:
    if not c.current:
        return c
    return replace(c, stage=Stage.WAITING, attempt=c.attempt + 1, current=None, last=c.current)


def _termination(value: Json | None) -> Termination | None:
    if not value:
        return None
    return Termination(
        exit_code=int(value.get("exitCode") or 0),
        reason=value.get("reason") or "Error",
        finished_at=parse_time(value.get("finishedAt")) or 0.0,
        started_at=parse_time(value.get("startedAt")) or 0.0,
        message=value.get("message"),
        container_id=value.get("containerID") or "",
    )
