"""What can be done to the platform in the middle of a release, and what must come of it. PURE: no I/O.

A gate is judged on a platform, and a platform breaks. A disturbance kills a part of it on purpose and starts it again, at a step
of the canary; each stands here once, with the verdict that is right then and why. None may ever be taken for the gate's decision.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from harness.errors import UsageError

EACH = "each"
"""In place of a weight: at every step that the release reaches."""
MOST_SECONDS = 600.0
MOST_AT_ONCE = 20
FORM = "NAME[@WEIGHT|@each][:SECONDS], such as argo-rollouts@each or istiod@10:20"
LOAD = "load"
"""Not a part of the platform: the process that stands for the users."""


class Due(Enum):
    """What must come of a release that is disturbed so."""

    SAME = "the same decision"
    EITHER = "the same decision, or inconclusive"
    """It depends on the moment and on how long the part is away."""
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of disturbance.

    `components` are names as `harness plan` shows them, in the order of their start. `seconds` is for how long they are away
    unless the user says otherwise. `unsettles` names the verdict's checks that it can make fail though the gate does nothing
    wrong: then they speak of the experiment. A name that ends in a space stands for all that begin so.
    """

    name: str
    components: tuple[str, ...]
    due: Due
    why: str
    seconds: float = 0.0
    delay_seconds: float = 0.0
    """How long the step's weight must have been there before: 0 is at once, while it is being changed."""
    empty: bool = False
    """Whether what it had stored is removed before it starts again."""
    users_fail: bool = False
    """Whether users' requests may fail meanwhile: those that no version answered are then its doing."""
    unsettles: frozenset[str] = frozenset()


WEIGHTS = frozenset({"client share ", "weight at step ", "weight sequence", "final weights"})
ROUTES = frozenset({"client share ", "time to safe", "served afterwards"})
_ALL = (
    Kind(
        name="argo-rollouts", components=("argo-rollouts",), due=Due.SAME,
        why="its state is in the API: the new process goes on with the same step and the same AnalysisRun",
    ),
    Kind(
        name="kube-controller-manager", components=("kube-controller-manager",), due=Due.SAME,
        why="it makes pods of ReplicaSets and takes them away; a canary that has its pods does not miss it",
    ),
    Kind(
        name="kube-apiserver", components=("kube-apiserver",), due=Due.EITHER, users_fail=True, unsettles=ROUTES,
        why="nothing changes while it is away, and the harness fetches what it missed; but istiod hears of no new pod and no new "
        "weight until then, and for about as long again",
    ),
    Kind(
        name="etcd", components=("etcd",), due=Due.EITHER, users_fail=True, unsettles=ROUTES,
        why="its data is there again afterwards; meanwhile it is as if the API were away",
    ),
    Kind(
        # At once, and the step's own weight would be lost with it every now and then: it waits 0.1 s before it tells the gateway.
        name="istiod", components=("istiod",), due=Due.EITHER, unsettles=ROUTES, delay_seconds=1.0,
        why="the gateway keeps its last weights: where a weight changes meanwhile, users do not get what the VirtualService says",
    ),
    Kind(
        name="gateway", components=("gateway",), due=Due.EITHER, users_fail=True, unsettles=WEIGHTS | ROUTES,
        why="users are refused until it is back with its configuration, and no version is to blame; if it is away for long, too "
        "few of them ask",
    ),
    Kind(
        name="node-agent", components=("node-agent",), due=Due.EITHER, users_fail=True, unsettles=WEIGHTS | ROUTES,
        why="every pod dies with it, and is started again under its own name; meanwhile nobody answers, and the canary loses the "
        "traffic that its analysis is about",
    ),
    Kind(
        name="prometheus", components=("prometheus",), due=Due.EITHER,
        why="nothing is scraped meanwhile: the gate counts less than there was, or cannot ask at all",
    ),
    Kind(
        name="prometheus-empty", components=("prometheus",), due=Due.EITHER, empty=True,
        why="it comes back without what it knew: a window that began before counts less than there was",
    ),
    Kind(
        name=LOAD, components=(), due=Due.INCONCLUSIVE,
        why="without users a canary proves nothing, whatever the gate then does",
    ),
)
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""Every kind by its name, in the order of the docs."""


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """One that was asked for. `weight` is the step's, in percent; None: at each step that the release reaches."""

    kind: Kind
    weight: int | None
    seconds: float
    """For how long it is away."""

    def __str__(self) -> str:
        """As the user would write it."""
        where = EACH if self.weight is None else f"{self.weight}"
        return f"{self.kind.name}@{where}:{self.seconds:g}"


def parse(text: str, steps: tuple[int, ...], *, option: str = "--disturb") -> Disturbance:
    """`istiod@10:20` as a disturbance of a release with these steps; without a weight, at the first.

    Raises UsageError in one line that begins with the option's name.
    """
    try:
        return _parsed(text, steps)
    except UsageError as error:
        raise UsageError(f"{option} {error}") from None


def _parsed(text: str, steps: tuple[int, ...]) -> Disturbance:
    match = re.fullmatch(r"([^@:]+)(?:@([^@:]+))?(?::([^@:]+))?", text)
    if not match:
        raise UsageError(f"{text}: give {FORM}")
    name, where, seconds = match.groups()
    kind = KINDS.get(name)
    if kind is None:
        raise UsageError(f"{text}: there is no {name} to disturb; there are {', '.join(KINDS)}")
    return Disturbance(kind=kind, weight=_weight(text, where, steps), seconds=_seconds(text, seconds, kind))


def parse_all(texts: Iterable[str], steps: tuple[int, ...], *, option: str = "--disturb") -> tuple[Disturbance, ...]:
    """All that were asked for, each once. Raises UsageError."""
    found = tuple(dict.fromkeys(parse(text, steps, option=option) for text in texts))
    if len(found) > MOST_AT_ONCE:
        raise UsageError(f"{option} was given {len(found)} times: give at most {MOST_AT_ONCE}")
    return found


def _weight(text: str, where: str | None, steps: tuple[int, ...]) -> int | None:
    if where == EACH:
        return None
    if where is None:
        return steps[0]
    if not re.fullmatch(r"[0-9]{1,3}", where) or int(where) not in steps:
        raise UsageError(f"{text}: {where} is no step; give one of {', '.join(map(str, steps))}, or {EACH}")
    return int(where)


def _seconds(text: str, given: str | None, kind: Kind) -> float:
    if given is None:
        return kind.seconds
    if not kind.components:
        raise UsageError(f"{text}: {kind.name} does not come back, so it takes no seconds")
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not re.fullmatch(r"[0-9.]+", given) or not 0 <= seconds <= MOST_SECONDS:
        raise UsageError(f"{text}: {given} is no number of seconds from 0 to {MOST_SECONDS:g}")
    return seconds
