"""PURE: what the agent learnt about one pod since the last step.

`attempt` names the run of a container that a fact is about, so that news of an earlier run cannot touch the present one.
All times are seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.platforms.local.node.spec import ProbeKind


class Op(StrEnum):
    """The writes to the API. Of each pod, one of a kind is under way at a time."""

    BIND = "bind"
    STATUS = "status"
    ENTRY = "WorkloadEntry"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True)
class AddressGiven:
    """The pod's own address, never used before; None when the range is used up."""

    address: str | None


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """The image is unpacked; `image_id` is its reference by digest."""

    container: str
    attempt: int
    image_id: str
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class PullFailed:
    """The image cannot be had. `reason` as kubelet names it: ErrImagePull, ErrImageNeverPull, InvalidImageName."""

    container: str
    attempt: int
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Started:
    """The container's process runs."""

    container: str
    attempt: int
    pid: int
    at: float


@dataclass(frozen=True, kw_only=True)
class StartFailed:
    """No process came to be. `reason`: CreateContainerConfigError (nothing was created) or StartError (exit code 128)."""

    container: str
    attempt: int
    reason: str
    message: str
    at: float


@dataclass(frozen=True, kw_only=True)
class Exited:
    """The container's process ended, and its process group with it. `exit_code` is 128 + n for signal n."""

    container: str
    attempt: int
    exit_code: int
    at: float
    message: str | None = None


@dataclass(frozen=True, kw_only=True)
class PortOpen:
    """The port of this probe accepts connections for the first time."""

    container: str
    attempt: int
    kind: ProbeKind


@dataclass(frozen=True, kw_only=True)
class ProbeDone:
    """One probe's result; `message` says why it failed."""

    container: str
    attempt: int
    kind: ProbeKind
    ok: bool
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class HookDone:
    """A postStart or preStop hook (by `name`) ended."""

    container: str
    attempt: int
    name: str
    ok: bool
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class OpDone:
    """A write to the API ended. `gone`: the API no longer knows the pod, so trying again is pointless."""

    op: Op
    ok: bool
    gone: bool = False


Fact = AddressGiven | Pulled | PullFailed | Started | StartFailed | Exited | PortOpen | ProbeDone | HookDone | OpDone
ContainerFact = Pulled | PullFailed | Started | StartFailed | Exited | PortOpen | ProbeDone | HookDone
