"""PURE: what the plan asks the runner to do. Each comes back as a fact (facts.py), except Signal, Kill, Event and Log."""

from __future__ import annotations

from dataclasses import dataclass

from harness.platforms.local.node.spec import Check, Hook, Json, ProbeKind


@dataclass(frozen=True, kw_only=True)
class GiveAddress:
    """Take a new address from the range."""


@dataclass(frozen=True, kw_only=True)
class Bind:
    """POST the binding of the pod to this node."""


@dataclass(frozen=True, kw_only=True)
class Pull:
    """Make the container's image present, by its pull policy."""

    container: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Start:
    """Gather the environment and start the process."""

    container: str
    attempt: int
    address: str
    image_id: str


@dataclass(frozen=True, kw_only=True)
class WatchPort:
    """Tell (PortOpen) as soon as this probe's port accepts connections."""

    container: str
    attempt: int
    kind: ProbeKind
    check: Check
    address: str


@dataclass(frozen=True, kw_only=True)
class RunProbe:
    """Run one probe. `timeout` in seconds."""

    container: str
    attempt: int
    kind: ProbeKind
    check: Check
    timeout: float
    address: str


@dataclass(frozen=True, kw_only=True)
class Exec:
    """Run a hook named `name` (postStart, preStop). `timeout` in seconds."""

    container: str
    attempt: int
    name: str
    hook: Hook
    timeout: float
    address: str


@dataclass(frozen=True, kw_only=True)
class Signal:
    """Send SIGTERM to the container's first process, as a container runtime does."""

    container: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Kill:
    """Send SIGKILL to the container's whole process group."""

    container: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class PatchStatus:
    """PATCH the pod's status subresource (strategic merge)."""

    status: Json


@dataclass(frozen=True, kw_only=True)
class PutWorkloadEntry:
    """Apply the pod's WorkloadEntry."""

    manifest: Json


@dataclass(frozen=True, kw_only=True)
class DeleteWorkloadEntry:
    """Delete the pod's WorkloadEntry."""


@dataclass(frozen=True, kw_only=True)
class DeletePod:
    """DELETE the pod with gracePeriodSeconds 0: its processes are gone."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """An Event object about the pod (best effort), and a line in the agent's log."""

    reason: str
    message: str
    warning: bool = False
    container: str = ""


Action = (
    GiveAddress | Bind | Pull | Start | WatchPort | RunProbe | Exec | Signal | Kill
    | PatchStatus | PutWorkloadEntry | DeleteWorkloadEntry | DeletePod | Event
)  # fmt: skip
