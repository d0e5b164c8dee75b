"""The agent's loop: one thread that owns all state, takes news from a queue, asks the plan, and hands its actions on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from harness.platforms.local.node import node_object
from harness.platforms.local.node.addresses import Addresses
from harness.platforms.local.node.api import APPLY, ENTRIES, MANAGER, MERGE, Api
from harness.platforms.local.node.effects import Effects
from harness.platforms.local.node.facts import Fact
from harness.platforms.local.node.plan import step, stopped
from harness.platforms.local.node.spec import Json, Pod, parse_pod
from harness.platforms.local.node.state import PodState, adopted_state, new_state
from harness.platforms.local.node.status import NODE_ANNOTATION
from harness.platforms.local.node.watching import PodWatch
from harness.platforms.local.node.workers import run_logged

# Seconds that pods get to end when the agent is told to stop, and what the last writes to the API get after that.
STOP_GRACE = 5.0
LAST_WRITES = 2.0
RETRY = 1.0
FAULT_PAUSE = 5.0


@dataclass(frozen=True, kw_only=True)
class Listed:
    """All pods there are."""

    pods: list[Json]


@dataclass(frozen=True, kw_only=True)
class Changed:
    """One pod was added, modified or deleted."""

    kind: str
    pod: Json


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """A fact about a pod."""

    uid: str
    fact: Fact


@dataclass(frozen=True)
class Halt:
    """Stop all pods, and end."""


News = Listed | Changed | Learnt | Halt


@dataclass(kw_only=True)
class Tracked:
    """A pod of this node, or one that is about to be."""

    pod: Pod
    state: PodState
    facts: list[Fact] = field(default_factory=list)
    wake_at: float | None = None


class Agent:
    """One node. `run` returns when it was told to stop and all pods are down."""

    def __init__(self, *, node: str, api: Api, addresses: Addresses, cpu: int, memory: int, log: Callable[[str], None]) -> None:
        self._node, self._api, self._addresses, self._log = node, api, addresses, log
        self._cpu, self._memory = cpu, memory
        self._inbox: SimpleQueue[News] = SimpleQueue()
        self._pods: dict[str, Tracked] = {}
        self._finished: set[str] = set()
        self._named: set[str] = set()
        self._effects: Effects | None = None
        self._synced = False
        self._halt_by: float | None = None

    def tell(self, uid: str, fact: Fact) -> None:
        """A fact about a pod, from any thread."""
        self._inbox.put(Learnt(uid=uid, fact=fact))

    def halt(self) -> None:
        """Stop all pods and end; safe in a signal handler."""
        self._inbox.put(Halt())

    def run(self, effects: Effects) -> None:
        """Work until told to stop."""
        self._effects = effects
        if not self._register():
            return
        watch = PodWatch(
            self._api,
            listed=lambda pods: self._inbox.put(Listed(pods=pods)),
            changed=lambda kind, pod: self._inbox.put(Changed(kind=kind, pod=pod)),
            log=self._log,
        )
        watch.start()
        while not self._over():
            self._take(self._news())
            self._step_due()
        watch.stop()
        self._set_node_status(ready=False, timeout=1.0)

    # --- news ---------------------------------------------------------------------------------------------------------------

    def _news(self) -> list[News]:
        """Wait for news or for the next time that something is due; take all the news there is."""
        times = [t.wake_at for t in self._pods.values() if t.wake_at is not None]
        if self._halt_by is not None:
            times.append(self._halt_by)
        wait = max(0.0, min(times) - time.time()) if times else None
        news: list[News] = []
        try:
            news.append(self._inbox.get(timeout=wait))
            while True:
                news.append(self._inbox.get_nowait())
        except Empty:
            return news

    def _take(self, news: Iterable[News]) -> None:
        for item in news:
            match item:
                case Learnt():
                    if tracked := self._pods.get(item.uid):
                        tracked.facts.append(item.fact)
                        tracked.wake_at = 0.0
                case Changed(kind="DELETED"):
                    self._vanished(item.pod["metadata"]["uid"])
                case Changed():
                    run_logged(partial(self._seen, item.pod), self._log)
                case Listed():
                    self._relist(item.pods)
                case Halt():
                    self._begin_halt()

    def _relist(self, pods: list[Json]) -> None:
        present = {pod["metadata"]["uid"] for pod in pods}
        self._addresses.taken(ip for pod in pods if (ip := (pod.get("status") or {}).get("podIP")))
        for uid in (self._pods.keys() | self._finished) - present:
            self._vanished(uid)
        for pod in pods:
            run_logged(partial(self._seen, pod), self._log)
        if not self._synced:
            self._synced = True
            self._log(f"node agent ready: node {self._node}, {len(self._pods)} pods")

    def _seen(self, raw: Json) -> None:
        uid, node = raw["metadata"]["uid"], (raw.get("spec") or {}).get("nodeName") or ""
        if uid in self._finished or node not in ("", self._node):
            return
        pod = parse_pod(raw)
        tracked = self._pods.get(uid)
        if tracked:
            tracked.pod, tracked.wake_at = pod, 0.0
            return
        if self._halt_by is not None:
            return
        status, now = raw.get("status") or {}, time.time()
        ran_before = bool(node) and bool(status.get("podIP") or status.get("containerStatuses"))
        state = adopted_state(pod, status, now) if ran_before else new_state(pod, now)
        self._pods[uid] = Tracked(pod=pod, state=state, wake_at=0.0)
        if new := set(pod.not_honoured) - self._named:
            self._named |= new
            self._log(f"{pod.key}: without effect on this platform (told once): {', '.join(sorted(new))}")

    def _vanished(self, uid: str) -> None:
        self._finished.discard(uid)
        if tracked := self._pods.get(uid):
            tracked.state, tracked.wake_at = replace(tracked.state, gone=True), 0.0

    # --- steps --------------------------------------------------------------------------------------------------------------

    def _step_due(self) -> None:
        now = time.time()
        for uid, tracked in list(self._pods.items()):
            if tracked.wake_at is not None and tracked.wake_at <= now:
                # One pod that this program cannot handle must not take the others along: it is tried again later.
                tracked.wake_at = now + FAULT_PAUSE
                run_logged(partial(self._step, uid, tracked, now), self._log)

    def _step(self, uid: str, tracked: Tracked, now: float) -> None:
        assert self._effects is not None  # noqa: S101 - set before the first step
        facts, tracked.facts = tracked.facts, []
        result = step(tracked.pod, tracked.state, facts, host_ip=node_object.HOST_IP, now=now)
        tracked.state, tracked.wake_at = result.state, result.wake_at
        for action in result.actions:
            self._effects.carry_out(tracked.pod, action)
        if result.finished:
            self._effects.forget(tracked.pod)
            del self._pods[uid]
            if not result.state.gone:
                # Its last watch events may still be on the way: they must not bring it back.
                self._finished.add(uid)

    # --- the end ------------------------------------------------------------------------------------------------------------

    def _begin_halt(self) -> None:
        if self._halt_by is not None:
            return
        now = time.time()
        self._halt_by = now + STOP_GRACE + LAST_WRITES
        self._log(f"stopping {len(self._pods)} pods")
        for tracked in self._pods.values():
            tracked.state, tracked.wake_at = replace(tracked.state, stop_by=now + STOP_GRACE), 0.0

    def _over(self) -> bool:
        if self._halt_by is None:
            return False
        idle = all(stopped(t.state) and not any(o.in_flight for o in t.state.ops.values()) for t in self._pods.values())
        settled = all(not t.facts and t.wake_at != 0.0 for t in self._pods.values())
        return (idle and settled) or time.time() >= self._halt_by

    # --- the node -----------------------------------------------------------------------------------------------------------

    def _register(self) -> bool:
        """Make the Node object and clear away what an earlier agent left; False when told to stop before that worked."""
        told = ""
        while True:
            why = self._put_node() or self._clear_entries()
            if not why:
                return True
            if why != told:
                self._log(f"cannot register node {self._node} at {self._api.host}: {why}; trying again every {RETRY:g} s")
                told = why
            try:
                if isinstance(self._inbox.get(timeout=RETRY), Halt):
                    return False
            except Empty:
                continue

    def _put_node(self) -> str:
        answer = self._api.call(
            "PATCH",
            f"/api/v1/nodes/{self._node}",
            body=node_object.manifest(self._node),
            content_type=APPLY,
            fieldManager=MANAGER,
            force="true",
        )
        if not answer.ok:
            return answer.why
        # The admission controllers of the API server taint each new node "not ready", and nobody here would take that away.
        body = {"spec": {"taints": None}}
        answer = self._api.call("PATCH", f"/api/v1/nodes/{self._node}", body=body, content_type=MERGE)
        return self._set_node_status(ready=True) if answer.ok else answer.why

    def _set_node_status(self, *, ready: bool, timeout: float = 10.0) -> str:
        status = node_object.status(self._node, ready=ready, now=time.time(), cpu=self._cpu, memory=self._memory)
        path = f"/api/v1/nodes/{self._node}/status"
        answer = self._api.call("PATCH", path, body={"status": status}, content_type=MERGE, timeout=timeout)
        return "" if answer.ok else answer.why

    def _clear_entries(self) -> str:
        """Delete the WorkloadEntries of an earlier agent on this node: their processes died with it."""
        answer = self._api.call("GET", f"{ENTRIES}/workloadentries")
        if answer.status == 404:
            self._log("WorkloadEntry is no resource of this API server: pods will run, but istiod will not see them")
            return ""
        if not answer.ok:
            return answer.why
        entries: list[Mapping[str, Any]] = answer.body.get("items") or []
        self._addresses.taken(e["spec"]["address"] for e in entries if e.get("spec", {}).get("address"))
        for entry in entries:
            meta = entry["metadata"]
            if (meta.get("annotations") or {}).get(NODE_ANNOTATION) != self._node:
                continue
            path = f"{ENTRIES}/namespaces/{meta['namespace']}/workloadentries/{meta['name']}"
            answer = self._api.call("DELETE", path)
            if not answer.ok and answer.status != 404:
                return answer.why
            self._log(f"{meta['namespace']}/{meta['name']}: WorkloadEntry of an earlier agent deleted")
        return ""


def machine() -> tuple[int, int]:
    """CPUs and bytes of memory of this machine."""
    return os.cpu_count() or 1, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
