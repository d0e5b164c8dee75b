"""PURE: the life of one container, as kubelet leads it.

Crash back-off, as kubelet's: the first restart comes at once; each one after that waits 10 s, 20 s … 300 s, counted from the end
of the run before; a run that lasts more than 600 s since the last restart begins anew. Image back-off has the same delays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.platforms.local.node import probing
from harness.platforms.local.node.actions import Action, Event, Exec, Kill, Pull, Signal, Start
from harness.platforms.local.node.facts import (
    ContainerFact,
    Exited,
    HookDone,
    PortOpen,
    ProbeDone,
    Pulled,
    PullFailed,
    Started,
    StartFailed,
)
from harness.platforms.local.node.spec import Container, Hook, Pod, ProbeKind, Sleep
from harness.platforms.local.node.state import ContainerState, HookStage, Stage, Stop, Termination

FIRST_DELAY = 10.0
LONGEST_DELAY = 300.0
RESET_AFTER = 600.0
RETRY_CONFIG = 10.0
# An error is shown for this long before its back-off is, so that a watcher sees both, as with kubelet.
SHOW_ERROR = 2.0
# The least time between SIGTERM and SIGKILL, also when preStop used up the grace period (kubelet's own minimum).
LEAST_GRACE = 2.0


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a container's step depends on beside its own state. `hold`: the WorkloadEntry is still there, so signal nobody."""

    pod: Pod
    address: str | None
    now: float
    wanted: bool
    hold: bool
    init: bool = False


Result = tuple[ContainerState, list[Action]]


def container_id(pod: Pod, state: ContainerState) -> str:
    """The identity of one run of a container, in the form type://id that the API asks for."""
    return f"process://{pod.uid}/{state.name}/{state.attempt}"


def is_ready(container: Container, state: ContainerState, init: bool = False) -> bool:
    """Whether traffic may reach it. An init container is ready once it succeeded."""
    if init:
        return state.current is not None and state.current.exit_code == 0
    probes = all(probing.outcome(container, state, kind) for kind in (ProbeKind.STARTUP, ProbeKind.READINESS))
    return state.stage is Stage.RUNNING and state.stop is None and probes


def may_restart(pod: Pod, state: ContainerState, init: bool = False) -> bool:
    """Whether the restart policy gives a container that is done another run."""
    failed = state.current is not None and state.current.exit_code != 0
    if init:
        return failed and pod.restart_policy != "Never"
    return pod.restart_policy == "Always" or (pod.restart_policy == "OnFailure" and failed)


def longer(delay: float) -> float:
    """The next back-off delay in seconds: 10, 20, 40 … 300."""
    return FIRST_DELAY if delay <= 0 else min(delay * 2, LONGEST_DELAY)


def on_fact(  # noqa: PLR0911 - one return for each kind of fact
    container: Container, state: ContainerState, fact: ContainerFact, ctx: Context
) -> Result:
    """Take in one fact; news of an earlier run is dropped."""
    if fact.attempt != state.attempt or state.stage is Stage.DONE:
        return state, []
    match fact:
        case Pulled() | PullFailed() if state.stage is Stage.PULLING:
            return _on_pull(container, state, fact, ctx)
        case Started():
            stage = Stage.POST_START if container.post_start else Stage.RUNNING
            state = replace(state, stage=stage, started_at=fact.at, pid=fact.pid, flip=None, message=None)
            actions: list[Action] = [Event(reason="Started", message=f"Started container {state.name}", container=state.name)]
            if isinstance(container.post_start, Sleep):
                return replace(state, next_at=ctx.now + container.post_start.seconds), actions
            if container.post_start:
                actions.append(_exec(state, ctx, "postStart", container.post_start, ctx.pod.grace))
            return state, actions
        case StartFailed():
            return _on_start_failed(state, fact, ctx)
        case Exited():
            return _on_exit(state, fact, ctx)
        case PortOpen() | ProbeDone() if state.stage is Stage.RUNNING and not state.stop:
            return probing.on_fact(container, state, fact, ctx.now)
        case HookDone():
            return _on_hook(state, fact, ctx)
    return state, []


def _on_pull(container: Container, state: ContainerState, fact: Pulled | PullFailed, ctx: Context) -> Result:
    if isinstance(fact, Pulled) and not ctx.wanted:
        return replace(state, stage=Stage.WAITING, flip=None), []
    if isinstance(fact, Pulled):
        start = Start(container=state.name, attempt=state.attempt, address=ctx.address or "", image_id=fact.image_id)
        event = Event(reason="Pulled", message=fact.message, container=state.name)
        return replace(state, stage=Stage.STARTING, image_id=fact.image_id, pull_delay=0.0, flip=None), [event, start]
    message = fact.message
    state = replace(state, stage=Stage.WAITING, reason=fact.reason, message=message, flip=None)
    text = f"Error: {fact.reason}: {message}"
    actions: list[Action] = [Event(reason="Failed", message=text, warning=True, container=state.name)]
    if fact.reason != "ErrImagePull":
        return replace(state, next_at=ctx.now + FIRST_DELAY), actions
    delay = longer(state.pull_delay)
    back_off = f'Back-off pulling image "{container.image}": ErrImagePull: {message}'
    flip = (ctx.now + SHOW_ERROR, "ImagePullBackOff", back_off)
    return replace(state, pull_delay=delay, next_at=ctx.now + delay, flip=flip), actions


def _on_start_failed(state: ContainerState, fact: StartFailed, ctx: Context) -> Result:
    event = Event(reason="Failed", message=f"Error: {fact.message}", warning=True, container=state.name)
    if fact.reason == "CreateContainerConfigError":
        waiting = replace(state, stage=Stage.WAITING, reason=fact.reason, message=fact.message, next_at=ctx.now + RETRY_CONFIG)
        return replace(waiting, flip=None), [event]
    done = Termination(
        exit_code=128,
        reason=fact.reason,
        finished_at=fact.at,
        message=fact.message,
        container_id=container_id(ctx.pod, state),
    )
    state, actions = _done(state, done, ctx)
    if state.flip:  # In back-off: the error itself is shown first, in kubelet's words.
        state = replace(state, reason="RunContainerError", message=fact.message)
    return state, [event, *actions]


def _on_exit(state: ContainerState, fact: Exited, ctx: Context) -> Result:
    done = Termination(
        exit_code=fact.exit_code,
        reason="Completed" if fact.exit_code == 0 else "Error",
        finished_at=fact.at,
        started_at=state.started_at or fact.at,
        message=fact.message,
        container_id=container_id(ctx.pod, state),
    )
    return _done(state, done, ctx)


def _done(state: ContainerState, end: Termination, ctx: Context) -> Result:
    """The run ended: settle when the next one may begin. advance() starts it, if one is wanted."""
    state = replace(state, stage=Stage.DONE, current=end, pid=None, stop=None, probes={}, flip=None, reason="", message=None)
    state = replace(state, next_at=end.finished_at)
    if not may_restart(ctx.pod, state, ctx.init) or not ctx.wanted:
        return state, []
    if state.crash_delay == 0 or end.finished_at - state.crash_since > RESET_AFTER:
        return replace(state, crash_delay=0.0), []
    delay = state.crash_delay
    where = f"{ctx.pod.name}_{ctx.pod.namespace}({ctx.pod.uid})"
    message = f"back-off {_go_duration(delay)} restarting failed container={state.name} pod={where}"
    # The end itself stays visible for a moment, then the back-off.
    state = replace(state, next_at=end.finished_at + delay, flip=(ctx.now + SHOW_ERROR, "CrashLoopBackOff", message))
    event = Event(
        reason="BackOff",
        message=f"Back-off restarting failed container {state.name} in pod {ctx.pod.name}_{ctx.pod.namespace}({ctx.pod.uid})",
        warning=True,
        container=state.name,
    )
    return state, [event]


def _go_duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _exec(state: ContainerState, ctx: Context, name: str, hook: Hook, timeout: float) -> Exec:
    return Exec(
        container=state.name,
        attempt=state.attempt,
        name=name,
        hook=hook,
        timeout=timeout,
        address=ctx.address or "",
    )


def _on_hook(state: ContainerState, fact: HookDone, ctx: Context) -> Result:
    actions: list[Action] = []
    if not fact.ok:
        reason = "FailedPostStartHook" if fact.name == "postStart" else "FailedPreStopHook"
        actions.append(Event(reason=reason, message=f"{reason[6:]} failed: {fact.message}", warning=True, container=state.name))
    if fact.name == "preStop" and state.stop:
        return replace(state, stop=replace(state.stop, hook=HookStage.OVER)), actions
    if fact.name == "postStart" and state.stage is Stage.POST_START:
        if fact.ok:
            return replace(state, stage=Stage.RUNNING), actions
        return begin_stop(state, ctx.now + ctx.pod.grace), actions
    return state, actions


def begin_stop(state: ContainerState, deadline: float, skip_hook: bool = False) -> ContainerState:
    """Take the container down by `deadline`. One that is on its way down keeps the earlier deadline."""
    if not state.alive:
        return state
    if state.stop:
        sooner = min(state.stop.deadline, deadline)
        return replace(state, stop=replace(state.stop, deadline=sooner, skip_hook=state.stop.skip_hook or skip_hook))
    return replace(state, stop=Stop(deadline=deadline, skip_hook=skip_hook))


def advance(container: Container, state: ContainerState, ctx: Context) -> Result:
    """Do what time, and not news, makes due."""
    if state.flip and ctx.now >= state.flip[0]:
        state = replace(state, reason=state.flip[1], message=state.flip[2], flip=None)
    if state.stop and state.stage in {Stage.RUNNING, Stage.POST_START}:
        return _advance_stop(container, state, ctx)
    if state.stage is Stage.POST_START and isinstance(container.post_start, Sleep) and ctx.now >= state.next_at:
        state = replace(state, stage=Stage.RUNNING)
    if state.stage is Stage.RUNNING:
        return _advance_running(container, state, ctx)
    if not ctx.wanted or ctx.address is None or ctx.now < state.next_at:
        return state, []
    if state.stage is Stage.DONE and may_restart(ctx.pod, state, ctx.init):
        state = replace(
            state,
            attempt=state.attempt + 1,
            stage=Stage.WAITING,
            last=state.current,
            current=None,
            started_at=None,
            crash_delay=longer(state.crash_delay),
            crash_since=ctx.now,
            reason=state.reason or "ContainerCreating",
        )
    if state.stage is Stage.WAITING:
        return replace(state, stage=Stage.PULLING, flip=None), [Pull(container=state.name, attempt=state.attempt)]
    return state, []


def _advance_running(container: Container, state: ContainerState, ctx: Context) -> Result:
    for kind in (ProbeKind.STARTUP, ProbeKind.LIVENESS):
        ps = state.probes.get(kind)
        if ps and ps.result is False:
            grace = container.probes[kind].grace
            state = begin_stop(state, ctx.now + (ctx.pod.grace if grace is None else grace))
            message = f"Container {state.name} failed {kind.value.lower()} probe, will be restarted"
            state, actions = _advance_stop(container, state, ctx)
            return state, [Event(reason="Killing", message=message, container=state.name), *actions]
    return probing.advance(container, state, ctx.address or "", ctx.now)


def _advance_stop(container: Container, state: ContainerState, ctx: Context) -> Result:
    """preStop, then SIGTERM, then SIGKILL at the deadline. Nothing at all before the pod's WorkloadEntry is gone."""
    stop, actions = state.stop, list[Action]()
    if stop is None or (ctx.hold and ctx.now < stop.deadline):
        return state, actions
    if stop.hook is HookStage.NOT_YET:
        left = stop.deadline - ctx.now
        if container.pre_stop is None or stop.skip_hook or left <= 0:
            stop = replace(stop, hook=HookStage.OVER)
        elif isinstance(container.pre_stop, Sleep):
            stop = replace(stop, hook=HookStage.UNDER_WAY, hook_until=ctx.now + container.pre_stop.seconds)
        else:
            stop = replace(stop, hook=HookStage.UNDER_WAY)
            actions.append(_exec(state, ctx, "preStop", container.pre_stop, left))
    if stop.hook is HookStage.UNDER_WAY:
        over = ctx.now >= (stop.deadline if stop.hook_until is None else min(stop.hook_until, stop.deadline))
        stop = replace(stop, hook=HookStage.OVER) if over or stop.skip_hook else stop
    if stop.hook is HookStage.OVER and stop.term_at is None:
        stop = replace(stop, term_at=ctx.now)
        actions.append(Signal(container=state.name, attempt=state.attempt))
    if stop.term_at is not None and not stop.killed and ctx.now >= _kill_at(stop):
        stop = replace(stop, killed=True)
        actions.append(Kill(container=state.name, attempt=state.attempt))
    return replace(state, stop=stop), actions


def _kill_at(stop: Stop) -> float:
    return stop.deadline if stop.term_at is None else max(stop.deadline, stop.term_at + LEAST_GRACE)


def wake_times(container: Container, state: ContainerState, ctx: Context) -> Iterable[float]:
    """When advance() has something to do next, news aside."""
    if state.flip:
        yield state.flip[0]
    if state.stop and state.stage in {Stage.RUNNING, Stage.POST_START}:
        if not state.stop.killed:
            yield _kill_at(state.stop)
            if state.stop.hook is HookStage.UNDER_WAY and state.stop.hook_until is not None:
                yield state.stop.hook_until
    elif state.stage is Stage.RUNNING:
        yield from probing.wake_times(container, state)
    elif _has_next(container, state, ctx):
        yield state.next_at


def _has_next(container: Container, state: ContainerState, ctx: Context) -> bool:
    if state.stage is Stage.POST_START:
        return isinstance(container.post_start, Sleep)
    if not ctx.wanted or not ctx.address:
        return False
    return state.stage is Stage.WAITING or (state.stage is Stage.DONE and may_restart(ctx.pod, state, ctx.init))
