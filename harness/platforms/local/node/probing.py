"""PURE: when a probe is due, and what its results add up to.

As kubelet: nothing before `initialDelaySeconds`; then every `periodSeconds`; a result counts once `successThreshold` or
`failureThreshold` of it came in a row; readiness and liveness begin when the startup probe has succeeded.

One thing is better than a literal copy. kubelet's first probe comes at once, usually before the process listens, and the second
a whole period later. Here the first probe of a port is sent the moment that the port accepts connections (the runner looks every
few milliseconds, which costs nothing on loopback), and at the latest one period after the initial delay, so that a process that
never listens fails its probe too. From then on periodSeconds alone decides: an app that answers 503 first is asked again at its
own period, no sooner than in a real cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.platforms.local.node.actions import Action, Event, RunProbe, WatchPort
from harness.platforms.local.node.facts import PortOpen, ProbeDone
from harness.platforms.local.node.spec import Container, HttpGet, Probe, ProbeKind, TcpSocket
from harness.platforms.local.node.state import ContainerState, ProbeState

# Until a threshold is reached: not started, not ready, but alive.
INITIAL = {ProbeKind.STARTUP: False, ProbeKind.READINESS: False, ProbeKind.LIVENESS: True}


def outcome(container: Container, state: ContainerState, kind: ProbeKind) -> bool:
    """What the probe says now; a probe that is not declared says yes."""
    if kind not in container.probes:
        return True
    result = state.probes.get(kind, ProbeState()).result
    return INITIAL[kind] if result is None else result


def count(probe: Probe, state: ProbeState, ok: bool) -> ProbeState:
    """The counters after one more result."""
    state = replace(state, in_flight=False, successes=state.successes + 1 if ok else 0, failures=0 if ok else state.failures + 1)
    if ok and state.successes >= probe.success_threshold:
        return replace(state, result=True)
    if not ok and state.failures >= probe.failure_threshold:
        return replace(state, result=False)
    return state


def active(container: Container, state: ContainerState) -> list[ProbeKind]:
    """The probes that run now: the startup probe alone, until it has succeeded."""
    if not outcome(container, state, ProbeKind.STARTUP):
        return [ProbeKind.STARTUP]
    return [k for k in (ProbeKind.READINESS, ProbeKind.LIVENESS) if k in container.probes]


def on_fact(
    container: Container, state: ContainerState, fact: PortOpen | ProbeDone, now: float
) -> tuple[ContainerState, list[Action]]:
    """Take in that a port opened or that a probe ended."""
    probe, old = container.probes[fact.kind], state.probes.get(fact.kind)
    if old is None:
        return state, []
    if isinstance(fact, PortOpen):
        due = max(now, (state.started_at or now) + probe.initial_delay)
        new = old if old.probed or old.due is None else replace(old, due=min(old.due, due))
        return replace(state, probes={**state.probes, fact.kind: new}), []
    actions: list[Action] = []
    if not fact.ok:
        actions.append(
            Event(reason="Unhealthy", message=f"{fact.kind} probe failed: {fact.message}", warning=True, container=container.name)
        )
    return replace(state, probes={**state.probes, fact.kind: count(probe, old, fact.ok)}), actions


def advance(container: Container, state: ContainerState, address: str, now: float) -> tuple[ContainerState, list[Action]]:
    """Begin the probes whose turn it is, and send those that are due."""
    actions: list[Action] = []
    probes = dict(state.probes)
    for kind in active(container, state):
        probe, ps = container.probes[kind], probes.get(kind, ProbeState())
        if ps.due is None:
            due = max(now, (state.started_at or now) + probe.initial_delay)
            # After a startup probe the port is known to be open: no need to wait for it.
            if isinstance(probe.check, HttpGet | TcpSocket) and ProbeKind.STARTUP not in set(container.probes) - {kind}:
                watch = WatchPort(container=state.name, attempt=state.attempt, kind=kind, check=probe.check, address=address)
                actions.append(watch)
                due += probe.period
            ps = replace(ps, due=due)
        if ps.due is not None and now >= ps.due and not ps.in_flight:
            actions.append(_run(state, kind, probe, address))
            ps = replace(ps, in_flight=True, probed=True, due=_next(ps.due, probe.period, now))
        probes[kind] = ps
    return replace(state, probes=probes), actions


def _run(state: ContainerState, kind: ProbeKind, probe: Probe, address: str) -> RunProbe:
    return RunProbe(
        container=state.name, attempt=state.attempt, kind=kind, check=probe.check, timeout=probe.timeout, address=address
    )


def wake_times(container: Container, state: ContainerState) -> Iterable[float]:
    """When the next probes are due; one that is under way wakes the plan by its result."""
    for kind in active(container, state):
        ps = state.probes.get(kind)
        if ps and ps.due is not None and not ps.in_flight:
            yield ps.due


def _next(due: float, period: float, now: float) -> float:
    """The first tick after now. Ticks that a slow probe used up are dropped, as a Go ticker drops them."""
    # A first probe that was brought forward sets the rhythm anew.
    return due + period * max(1, int((now - due) // period) + 1)
