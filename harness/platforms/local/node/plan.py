"""PURE: desired pod and what was learnt about it → next state and actions.

The writes to the API are levels, not events: each step compares what the API should hold with what it is known to hold, and asks
for one write of a kind at a time. A failed write is asked for again after a pause, with what is right by then. So nothing is ever
lost, and nothing stale is ever sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.platforms.local.node import container as life
from harness.platforms.local.node.actions import (
    Action,
    Bind,
    DeletePod,
    DeleteWorkloadEntry,
    Event,
    GiveAddress,
    PatchStatus,
    PutWorkloadEntry,
)
from harness.platforms.local.node.facts import AddressGiven, Fact, Op, OpDone
from harness.platforms.local.node.spec import Pod
from harness.platforms.local.node.state import OpState, PodState
from harness.platforms.local.node.status import conditions, pod_status, summarize, workload_entry

LONGEST_RETRY = 5.0
FIRST_RETRY = 0.2
ADDRESS_RETRY = 30.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """The outcome of one step. `wake_at`: when the next is due without news (None: never). `finished`: forget the pod."""

    state: PodState
    actions: tuple[Action, ...]
    wake_at: float | None = None
    finished: bool = False


def step(pod: Pod, state: PodState, facts: Sequence[Fact], *, host_ip: str, now: float) -> Step:
    """One step of a pod's life: take in the facts, do what is due at `now`."""
    if not pod.node_name and not state.gone:
        return _bind(pod, _take_op_facts(state, facts, now), now)
    actions: list[Action] = []
    state = _take_op_facts(state, facts, now)
    state, acts = _take_container_facts(pod, state, facts, now)
    actions += acts
    state = _begin_stops(pod, state, now)
    for advance in (_refuse, _address, _advance_containers):
        state, acts = advance(pod, state, now)
        actions += acts
    state = replace(state, conditions=conditions(pod, state, now))
    for write in (_entry, _status, _delete):
        state, acts = write(pod, state, host_ip, now)
        actions += acts
    finished = stopped(state) and (state.gone or state.deleted)
    return Step(state=state, actions=tuple(actions), wake_at=_wake(pod, state, now), finished=finished)


def _op(state: PodState, op: Op) -> OpState:
    return state.ops.get(op, OpState())


def _free(state: PodState, op: Op, now: float) -> bool:
    return not _op(state, op).in_flight and now >= _op(state, op).retry_at


def _send(state: PodState, op: Op) -> PodState:
    return replace(state, ops={**state.ops, op: replace(_op(state, op), in_flight=True)})


def _bind(pod: Pod, state: PodState, now: float) -> Step:
    if pod.gated or pod.deleted_at is not None or _op(state, Op.BIND).in_flight or state.bound:
        return Step(state=state, actions=())
    if now < _op(state, Op.BIND).retry_at:
        return Step(state=state, actions=(), wake_at=_op(state, Op.BIND).retry_at)
    return Step(state=_send(state, Op.BIND), actions=(Bind(),))


def _take_op_facts(state: PodState, facts: Sequence[Fact], now: float) -> PodState:
    for fact in facts:
        if isinstance(fact, OpDone):
            state = _take_op(state, fact, now)
        elif isinstance(fact, AddressGiven):
            retry = now + ADDRESS_RETRY if fact.address is None else 0.0
            state = replace(state, address=fact.address, address_asked=False, address_retry_at=retry)
    return state


def _take_op(state: PodState, fact: OpDone, now: float) -> PodState:
    done = fact.ok or fact.gone
    failures = 0 if done else _op(state, fact.op).failures + 1
    pause = 0.0 if done else min(FIRST_RETRY * 2 ** (failures - 1), LONGEST_RETRY)
    state = replace(state, ops={**state.ops, fact.op: OpState(failures=failures, retry_at=now + pause if pause else 0.0)})
    if fact.op is Op.STATUS and done:
        return replace(state, written=state.sent_status)
    if fact.op is Op.ENTRY:
        # A write that failed may have arrived all the same.
        return replace(state, entry=state.sent_entry, entry_sure=True) if fact.ok else replace(state, entry_sure=False)
    if fact.op is Op.BIND and done:
        return replace(state, bound=True)
    if fact.op is Op.DELETE and done:
        return replace(state, deleted=True)
    return state


def _context(pod: Pod, state: PodState, now: float) -> life.Context:
    ending = pod.deleted_at is not None or state.gone or state.stop_by is not None
    entry = state.entry is not None or not state.entry_sure
    # One failed attempt is enough waiting: an API server that is away must not keep a pod alive.
    hold = (entry or _op(state, Op.ENTRY).in_flight) and _op(state, Op.ENTRY).failures == 0
    return life.Context(pod=pod, address=state.address, now=now, wanted=not ending and not state.refused, hold=hold)


def _take_container_facts(pod: Pod, state: PodState, facts: Sequence[Fact], now: float) -> tuple[PodState, list[Action]]:
    actions: list[Action] = []
    declared = {c.name: c for c in pod.all_containers}
    inits = {c.name for c in pod.init_containers}
    for fact in facts:
        if isinstance(fact, OpDone | AddressGiven) or fact.container not in declared:
            continue
        ctx = replace(_context(pod, state, now), init=fact.container in inits)
        new, acts = life.on_fact(declared[fact.container], state.containers[fact.container], fact, ctx)
        state = replace(state, containers={**state.containers, fact.container: new})
        actions += acts
    return state, actions


def stop_deadline(pod: Pod, state: PodState, now: float) -> float | None:
    """When the pod must be gone, or None. The grace period counts from the deletion, whose time the API cuts to whole seconds."""
    deadlines = [] if state.stop_by is None else [state.stop_by]
    if state.gone:
        deadlines.append(now)
    if pod.deleted_at is not None:
        # deletionTimestamp is the request's time plus the grace period; + 1 s makes up for the cut.
        deadlines.append(pod.deleted_at + (1.0 if pod.deletion_grace else 0.0))
    return min(deadlines, default=None)


def _begin_stops(pod: Pod, state: PodState, now: float) -> PodState:
    deadline = stop_deadline(pod, state, now)
    if deadline is None:
        return state
    skip = state.gone or state.stop_by is not None
    return replace(state, containers={n: life.begin_stop(c, deadline, skip) for n, c in state.containers.items()})


def _refuse(pod: Pod, state: PodState, now: float) -> tuple[PodState, list[Action]]:
    del now
    sidecars = [c.name for c in pod.init_containers if c.sidecar]
    if not sidecars or state.refused:
        return state, []
    message = (
        f"the local node agent does not run sidecars (initContainers with restartPolicy Always): {', '.join(sidecars)}; "
        "make it a plain container, or use the kind platform"
    )
    waiting = {n: replace(c, reason="SidecarNotSupported", message=message) for n, c in state.containers.items()}
    return replace(state, refused=True, containers=waiting), [Event(reason="Failed", message=message, warning=True)]


def _address(pod: Pod, state: PodState, now: float) -> tuple[PodState, list[Action]]:
    unwanted = not _context(pod, state, now).wanted or summarize(pod, state).phase in {"Succeeded", "Failed"}
    if state.address or state.address_asked or now < state.address_retry_at or unwanted:
        return state, []
    return replace(state, address_asked=True), [GiveAddress()]


def _advance_containers(pod: Pod, state: PodState, now: float) -> tuple[PodState, list[Action]]:
    ctx = _context(pod, state, now)
    actions: list[Action] = []
    blocked = False
    for c in pod.all_containers:
        init = c in pod.init_containers
        new, acts = life.advance(c, state.containers[c.name], replace(ctx, init=init, wanted=ctx.wanted and not blocked))
        state = replace(state, containers={**state.containers, c.name: new})
        actions += acts
        # Each init container waits for the one before it, and the others for all of them.
        blocked = blocked or (init and not life.is_ready(c, new, init=True))
    return state, actions


def _entry(pod: Pod, state: PodState, host_ip: str, now: float) -> tuple[PodState, list[Action]]:
    del host_ip
    ready = summarize(pod, state).ready and state.address is not None
    wanted = workload_entry(pod, state.address or "") if ready else None
    if (wanted == state.entry and state.entry_sure) or not _free(state, Op.ENTRY, now):
        return state, []
    state = replace(_send(state, Op.ENTRY), sent_entry=wanted)
    return state, [DeleteWorkloadEntry() if wanted is None else PutWorkloadEntry(manifest=wanted)]


def _status(pod: Pod, state: PodState, host_ip: str, now: float) -> tuple[PodState, list[Action]]:
    wanted = pod_status(pod, state, host_ip)
    if state.gone or state.deleted or wanted == state.written or not _free(state, Op.STATUS, now):
        return state, []
    if _awaits_entry(pod, state):
        return state, []
    return replace(_send(state, Op.STATUS), sent_status=wanted), [PatchStatus(status=wanted)]


def _awaits_entry(pod: Pod, state: PodState) -> bool:
    """Whether the pod becomes ready, and the mesh cannot find it yet: whoever acts on its readiness sends users to it at once.

    A write that fails is not waited for again: whatever keeps the entry from being written, the pod is ready.
    """
    if not summarize(pod, state).ready or state.address is None or _op(state, Op.ENTRY).failures:
        return False
    told = (state.written or {}).get("conditions", ())
    if any(each["type"] == "Ready" and each["status"] == "True" for each in told):
        return False
    return not state.entry_sure or state.entry != workload_entry(pod, state.address)


def _delete(pod: Pod, state: PodState, host_ip: str, now: float) -> tuple[PodState, list[Action]]:
    alive = any(c.alive for c in state.containers.values())
    told = pod_status(pod, state, host_ip) == state.written
    clear = state.entry is None and state.entry_sure
    over = pod.deleted_at is not None and told and clear and not alive
    if not over or state.gone or state.deleted or not _free(state, Op.DELETE, now):
        return state, []
    return _send(state, Op.DELETE), [DeletePod()]


def _wake(pod: Pod, state: PodState, now: float) -> float | None:
    times = [o.retry_at for o in state.ops.values() if not o.in_flight and o.failures]
    if state.address_retry_at and not state.address:
        times.append(state.address_retry_at)
    ctx = _context(pod, state, now)
    blocked = False
    for c in pod.all_containers:
        init = c in pod.init_containers
        container_ctx = replace(ctx, init=init, wanted=ctx.wanted and not blocked)
        times += life.wake_times(c, state.containers[c.name], container_ctx)
        blocked = blocked or (init and not life.is_ready(c, state.containers[c.name], init=True))
    # What is due now has been done in this step: a time in the past only ever means "waiting for news".
    return min((t for t in times if t > now), default=None)


def stopped(state: PodState) -> bool:
    """Whether no process of the pod runs, and the API holds no WorkloadEntry of it."""
    return state.entry is None and state.entry_sure and not any(c.alive for c in state.containers.values())
