"""A pod's life in memory: time is a number, the API answers at once unless told otherwise, and nothing runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.platforms.local.node import actions as act
from harness.platforms.local.node.facts import (
    AddressGiven,
    Exited,
    Fact,
    HookDone,
    Op,
    OpDone,
    PortOpen,
    ProbeDone,
    Pulled,
    Started,
)
from harness.platforms.local.node.plan import step
from harness.platforms.local.node.spec import ProbeKind, parse_pod
from harness.platforms.local.node.state import PodState, new_state

T0 = 1_000_000.0
HOST = "127.0.0.1"
READY = {"readinessProbe": {"httpGet": {"path": "/", "port": 80}}}
WRITES = {
    act.Bind: Op.BIND,
    act.PatchStatus: Op.STATUS,
    act.PutWorkloadEntry: Op.ENTRY,
    act.DeleteWorkloadEntry: Op.ENTRY,
    act.DeletePod: Op.DELETE,
}


def pod_dict(*containers: Mapping[str, Any], node: str = "n", **spec: Any) -> dict[str, Any]:
    """A Pod as the API gives it, with one container `app` unless others are named."""
    made = [{"name": "app", "image": "r:1/app:v1", **c} for c in containers or ({},)]
    meta = {"name": "p", "namespace": "ns", "uid": "u1", "labels": {"app": "p"}}
    return {"metadata": meta, "spec": {"nodeName": node, "containers": made, **spec}}


class Sim:
    """Steps the plan. `does` collects actions by name; `api_up` False makes every write fail; `auto` answers pulls and starts."""

    def __init__(self, pod: Mapping[str, Any], *, state: PodState | None = None, auto: bool = True) -> None:
        self.raw = pod
        self.pod = parse_pod(pod)
        self.now = T0
        self.state = state or new_state(self.pod, T0)
        self.wake_at: float | None = None
        self.finished = False
        self.actions: list[tuple[float, act.Action]] = []
        self.auto = auto
        self.api_up = True
        self.refused: set[type] = set()
        self.unanswered: set[type] = set()
        self.status: Mapping[str, Any] = {}
        self.entry: Mapping[str, Any] | None = None
        self.deleted = False

    def news(self, *facts: Fact) -> Sim:
        """One step with these facts, and what follows from the answers."""
        pending = list(facts)
        while True:
            result = step(self.pod, self.state, pending, host_ip=HOST, now=self.now)
            self.state, self.wake_at, self.finished = result.state, result.wake_at, self.finished or result.finished
            self.actions += [(self.now, a) for a in result.actions]
            pending = [f for a in result.actions for f in self._answer(a)]
            if not pending:
                return self

    def _answer(self, action: act.Action) -> list[Fact]:
        if type(action) in self.unanswered:
            return []
        if type(action) in WRITES:
            return [self._write(action)]
        match action:
            case act.GiveAddress():
                return [AddressGiven(address=f"127.77.0.{sum(isinstance(a, act.GiveAddress) for _, a in self.actions)}")]
            case act.Pull() if self.auto:
                return [Pulled(container=action.container, attempt=action.attempt, image_id="r:1/app@sha256:1")]
            case act.Start() if self.auto:
                return [Started(container=action.container, attempt=action.attempt, pid=7, at=self.now)]
        return []

    def _write(self, action: act.Action) -> OpDone:
        ok = self.api_up and type(action) not in self.refused
        if ok:
            match action:
                case act.PatchStatus():
                    self.status = action.status
                case act.PutWorkloadEntry():
                    self.entry = action.manifest
                case act.DeleteWorkloadEntry():
                    self.entry = None
                case act.DeletePod():
                    self.deleted = True
        return OpDone(op=WRITES[type(action)], ok=ok)

    def run(self, seconds: float) -> Sim:
        """Let time pass, stepping whenever the plan asked to be woken."""
        end = self.now + seconds
        while self.wake_at is not None and self.wake_at <= end:
            self.now = max(self.now, self.wake_at)
            self.news()
        self.now = end
        return self

    def change(self, **pod: Any) -> Sim:
        """Another version of the pod arrives by the watch."""
        self.raw = {**self.raw, **pod}
        self.pod = parse_pod(self.raw)
        return self.news()

    def delete(self, grace: int = 30) -> Sim:
        """The pod is deleted by a user."""
        stamp = {"deletionTimestamp": iso(self.now + grace), "deletionGracePeriodSeconds": grace}
        return self.change(metadata={**self.raw["metadata"], **stamp})

    def exit(self, code: int, container: str = "app") -> Sim:
        """The container's process ends."""
        attempt = self.state.containers[container].attempt
        return self.news(Exited(container=container, attempt=attempt, exit_code=code, at=self.now))

    def probe(self, ok: bool, kind: ProbeKind = ProbeKind.READINESS, container: str = "app") -> Sim:
        """A probe that is under way ends."""
        attempt = self.state.containers[container].attempt
        return self.news(ProbeDone(container=container, attempt=attempt, kind=kind, ok=ok, message="no"))

    def port(self, kind: ProbeKind = ProbeKind.READINESS, container: str = "app") -> Sim:
        """A port opens."""
        return self.news(PortOpen(container=container, attempt=self.state.containers[container].attempt, kind=kind))

    def hook(self, name: str, ok: bool = True) -> Sim:
        """A hook ends."""
        return self.news(HookDone(container="app", attempt=self.state.containers["app"].attempt, name=name, ok=ok, message="no"))

    def did(self, kind: type, since: float = T0) -> list[tuple[float, Any]]:
        """The actions of a kind: seconds since T0, and the action."""
        return [(at - T0, a) for at, a in self.actions if isinstance(a, kind) and at >= since]

    def names(self) -> list[str]:
        """All actions by name, in order."""
        return [type(a).__name__ for _, a in self.actions]

    def events(self) -> list[tuple[str, str]]:
        """Reason and message of each event."""
        return [(a.reason, a.message) for _, a in self.did(act.Event)]

    def container(self, name: str = "app") -> Any:
        """The container's status as it was last written."""
        both = [*self.status.get("containerStatuses", ()), *self.status.get("initContainerStatuses", ())]
        return next(c for c in both if c["name"] == name)

    def waiting(self, name: str = "app") -> tuple[str, str] | None:
        """Waiting reason and message as last written."""
        state = self.container(name)["state"].get("waiting")
        return (state["reason"], state.get("message", "")) if state else None

    def condition(self, name: str) -> Any:
        """A condition as last written."""
        return next(c for c in self.status["conditions"] if c["type"] == name)

    @property
    def ready(self) -> bool:
        """The Ready condition as last written."""
        return bool(self.condition("Ready")["status"] == "True")


def iso(seconds: float) -> str:
    """A time as the API writes it."""
    from harness.platforms.local.node.status import rfc3339  # noqa: PLC0415

    return rfc3339(seconds)
