"""The faults that a candidate, a release or the gate itself can have, and what is right about each. PURE: no I/O.

Each stands here once: what is injected, where it can be seen, which decision is right, and why. Where a fault can be seen decides
which metrics a gate needs: an app cannot count the requests that it never answers. A gate that is itself broken cannot decide
anything: whatever happens then, the verdict must be inconclusive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from harness.errors import UsageError

ERROR_METRICS = frozenset({"success-rate", "error-rate"})
LATENCY_METRICS = frozenset({"latency-p95"})
ANALYSIS_SOUND, MEASURED_OUTCOMES = "analysis sound", "measured outcomes"
"""Names of the verdict's checks that notice a gate which could not measure, or was told what is not so."""
GATEWAY_TIMEOUT_SECONDS = 2
"""The route's time-out where answers never come: far over the latency objective, and short enough to fit into a window."""


class Effect(Enum):
    """How a fault reaches users, and so where it can be counted."""

    ANSWERS = "answers"
    """In the app's own answers: their status, or how long they take."""
    GATEWAY = "gateway"
    """The app gives no answer, and the gateway does in its stead: 504 after its time-out, 503 for a broken connection."""
    OUTAGE = "outage"
    """Pods come and go. Meanwhile the gateway answers in their stead, and the controller takes the traffic away."""
    UNSEEN = "unseen"
    """In no answer at all."""
    NEVER_READY = "never ready"
    """The candidate never gets traffic."""
    GATE = "gate"
    """In none: the candidate is sound, and it is the gate that has nothing to go by."""


class Rig(Enum):
    """What is done to the release or to the gate from outside, where a setting of the image or of the chart does not do it."""

    ABSENT_IMAGE = "absent image"
    """The candidate's digest is one that no registry has."""
    PROMETHEUS_DOWN = "prometheus down"
    """The gate is sent to a loopback port that refuses every connection."""
    PROMETHEUS_SLOW = "prometheus slow"
    """The gate is sent to a proxy of ours before Prometheus that answers later than the gate waits."""
    PROMETHEUS_WRONG = "prometheus wrong"
    """… to one that rounds each share to a whole number, so that 95 % success becomes 100 %, and 5 % errors none."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault. `settings` are fields of `harness.variants.Faults`, `values` are chart values that it needs."""

    kind: str
    effect: Effect
    settings: Mapping[str, float]
    rolled_back: bool
    why: str
    deciding_metrics: frozenset[str] = frozenset()
    source: str = "app"
    """Whose metrics the gate must use to see it: a value of the chart's `analysis.source`."""
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    gateway_statuses: frozenset[int] = frozenset()
    """What the gateway answers in the app's stead."""
    rig: Rig | None = None
    waiting: frozenset[str] = frozenset()
    """Of these reasons, as the kubelet names them, the candidate's pods must have waited for one: proof of a broken start."""
    noticed_by: str = ""
    """The check of the verdict that must notice it: whatever the gate did then is no decision, and the verdict is exit 3."""

    def with_settings(self, changes: Mapping[str, float]) -> Fault:
        """The same fault in another size. Raises UsageError for a setting that this fault does not have."""
        unknown = sorted(changes.keys() - self.settings.keys())
        if unknown:
            raise UsageError(f"--fault {self.kind} has no setting {', '.join(unknown)}: it has {', '.join(self.settings)}")
        return Fault(**{**vars(self), "settings": MappingProxyType({**self.settings, **changes})})

    @property
    def due(self) -> str:
        """What is right about it in one word: promote, rollback, or inconclusive."""
        if self.noticed_by:
            return "inconclusive"
        return "rollback" if self.rolled_back else "promote"

    @property
    def failing_percent(self) -> float:
        """Percent of the candidate's requests that fail, where the fault sets one."""
        return sum(self.settings.get(name, 0.0) for name in ("error_rate", "hang_rate", "reset_rate"))

    @property
    def least_latency_ms(self) -> float:
        """Milliseconds that every answer takes longer at the least."""
        return delay_quantiles(self.settings)[0][1]


def delay_quantiles(settings: Mapping[str, float]) -> tuple[tuple[float, float], ...]:
    """The injected delay's quantile function as corners (probability, milliseconds), straight between them.

    Fixed ± jitter is uniform; P50, P90 and P99 are joined by straight lines from 0, the last slope going on to 1 (as in
    webapp/faults.py, written anew here so that a verdict does not trust what it judges).
    """
    if "latency_p50_ms" in settings:
        p50, p90, p99 = (settings[f"latency_p{percent}_ms"] for percent in (50, 90, 99))
        return ((0.0, 0.0), (0.5, p50), (0.9, p90), (0.99, p99), (1.0, p99 + (p99 - p90) / 9))
    fixed, jitter = settings.get("latency_ms", 0.0), settings.get("latency_jitter_ms", 0.0)
    return ((0.0, fixed - jitter), (1.0, fixed + jitter))


def share_over(quantiles: tuple[tuple[float, float], ...], limit_ms: float) -> float:
    """The share of requests whose injected delay is longer than this many milliseconds.

    >>> share_over(((0.0, 0.0), (1.0, 400.0)), 300.0)
    0.25
    """
    if limit_ms < quantiles[0][1]:
        return 1.0
    for (low, at_low), (high, at_high) in pairwise(quantiles):
        if at_low <= limit_ms < at_high:
            return 1 - (low + (high - low) * (limit_ms - at_low) / (at_high - at_low))
    return 0.0


def _settings(**values: float) -> Mapping[str, float]:
    return MappingProxyType(values)


def _never_answered(kind: str, status: int, why: str, values: Mapping[str, Any]) -> Fault:
    return Fault(
        kind=kind, effect=Effect.GATEWAY, settings=_settings(**{f"{kind}_rate": 5.0}), rolled_back=True, source="envoy",
        deciding_metrics=ERROR_METRICS, gateway_statuses=frozenset({status}), values=values, why=why,
    )


def _tree(**values: Any) -> Mapping[str, Any]:
    return MappingProxyType(values)


OUT = frozenset({503, 504})
# With subsets the controller never looks at its deadline while the canary is not ready (argo-rollouts #4626).
BY_SERVICES = _tree(rollout={"trafficSplit": "services"})
REFUSED_STATUS = 999.0
"""A FAULT_STATUS_CODE that the web app takes for a mistake: it says so and exits."""
PROMETHEUS_TIMEOUT_SECONDS = 2
"""How long the gate waits for an answer where Prometheus is slow."""
NO_RETRY = _tree(analysis={"consecutiveErrorLimit": 0, "prometheus": {"timeoutSeconds": PROMETHEUS_TIMEOUT_SECONDS}})
"""By default four more queries, ten seconds apart, would be made before the analysis errs."""
HEALTHY = Fault(
    kind="none", effect=Effect.ANSWERS, settings=_settings(), rolled_back=False, why="nothing is wrong with it",
)
_ALL = (
    Fault(
        kind="error", effect=Effect.ANSWERS, settings=_settings(error_rate=5.0), rolled_back=True,
        deciding_metrics=ERROR_METRICS, why="more than 1 % of the answers are errors",
    ),
    Fault(
        kind="latency", effect=Effect.ANSWERS, settings=_settings(latency_ms=500.0), rolled_back=True,
        deciding_metrics=LATENCY_METRICS, why="no answer comes within 300 ms",
    ),
    Fault(
        kind="jitter", effect=Effect.ANSWERS, settings=_settings(latency_ms=200.0, latency_jitter_ms=190.0), rolled_back=True,
        deciding_metrics=LATENCY_METRICS, why="200 ms on average, but 24 % of the answers take over 300 ms",
    ),
    Fault(
        kind="percentiles", effect=Effect.ANSWERS, rolled_back=True, deciding_metrics=LATENCY_METRICS,
        settings=_settings(latency_p50_ms=50.0, latency_p90_ms=400.0, latency_p99_ms=900.0),
        why="half of the answers come within 50 ms, but the 95th percentile is 678 ms: an average would not have told",
    ),
    Fault(
        kind="slow-start", effect=Effect.NEVER_READY, settings=_settings(slow_start_seconds=600.0), rolled_back=True,
        values=BY_SERVICES,
        why="no pod is ready by rollout.progressDeadlineSeconds: the deadline rolls back, without any analysis or user traffic",
    ),
    Fault(
        kind="bad-image", effect=Effect.NEVER_READY, settings=_settings(), rolled_back=True, values=BY_SERVICES,
        rig=Rig.ABSENT_IMAGE, waiting=frozenset({"ErrImagePull", "ImagePullBackOff"}),
        why="no registry has the image's digest, so no pod ever runs, and the progress deadline rolls back",
    ),
    Fault(
        kind="crash-loop", effect=Effect.NEVER_READY, settings=_settings(status_code=REFUSED_STATUS), rolled_back=True,
        values=BY_SERVICES, waiting=frozenset({"CrashLoopBackOff"}),
        why="the process exits at its start, again and again: no pod is ever ready, and the progress deadline rolls back",
    ),
    _never_answered(
        "hang", 504, "the gateway gives up on 5 % of the requests; the app itself counts only what it answers, so a gate "
        "with analysis.source=app promotes this release", {"virtualService": {"timeout": f"{GATEWAY_TIMEOUT_SECONDS}s"}},
    ),
    _never_answered(
        "reset", 503, "5 % of the connections break; the app itself counts only what it answers, so a gate with "
        "analysis.source=app promotes this release", MappingProxyType({}),
    ),
    Fault(
        kind="crash", effect=Effect.OUTAGE, settings=_settings(crash_after_requests=20.0), rolled_back=True, source="envoy",
        deciding_metrics=ERROR_METRICS, gateway_statuses=OUT, why="each crash fails the request that caused it and those under "
        "way, one in twenty at the least; the app's own counters die with it, so a gate with analysis.source=app sees no error",
    ),
    Fault(
        kind="readiness", effect=Effect.OUTAGE, settings=_settings(readiness_flap_seconds=4.0), rolled_back=False,
        gateway_statuses=OUT, why="while no canary pod is ready the controller takes the weight back, so the analysis sees the "
        "good moments only; once it is promoted nothing does, and users get 503",
    ),
    Fault(
        kind="memory", effect=Effect.UNSEEN, settings=_settings(memory_kib_per_request=256.0, memory_cap_mib=64.0),
        rolled_back=False, why="no objective of this gate is about memory, and below its limit a leak costs users nothing",
    ),
    Fault(
        kind="no-traffic", effect=Effect.GATE, settings=_settings(), rolled_back=False, noticed_by=ANALYSIS_SOUND,
        values=_tree(analysis={"minRequests": 1_000_000}),
        why="the canary gets traffic, but far less than analysis.minRequests: the gate rolls back for want of evidence",
    ),
    Fault(
        kind="prometheus-down", effect=Effect.GATE, settings=_settings(), rolled_back=False, noticed_by=ANALYSIS_SOUND,
        rig=Rig.PROMETHEUS_DOWN, values=NO_RETRY,
        why="nobody answers the gate's queries: the analysis ends in Error, which rolls a good release back",
    ),
    Fault(
        kind="prometheus-slow", effect=Effect.GATE, settings=_settings(), rolled_back=False, noticed_by=ANALYSIS_SOUND,
        rig=Rig.PROMETHEUS_SLOW, values=NO_RETRY,
        why="answers come later than analysis.prometheus.timeoutSeconds: the analysis ends in Error, as if nobody answered",
    ),
    Fault(
        kind="prometheus-blind", effect=Effect.GATE, settings=_settings(), rolled_back=False, noticed_by=ANALYSIS_SOUND,
        values=_tree(metrics={"path": "/no-metrics-here"}),
        why="every scrape of a pod is answered with 404: the gate rolls back for want of any data",
    ),
    Fault(
        kind="clock", effect=Effect.GATE, settings=_settings(clock_behind_seconds=600.0), rolled_back=False,
        noticed_by=ANALYSIS_SOUND, why="the app says when each sample was taken, by a clock that is ten minutes late: nothing is "
        "in the window, and the gate rolls back for want of data",
    ),
    Fault(
        kind="prometheus-wrong", effect=Effect.ANSWERS, settings=_settings(error_rate=5.0), rolled_back=True,
        deciding_metrics=ERROR_METRICS, noticed_by=MEASURED_OUTCOMES, rig=Rig.PROMETHEUS_WRONG,
        why="shares arrive rounded to whole numbers, so the gate promotes 5 % errors; what clients got shows that it was misled",
    ),
)
FAULTS: Mapping[str, Fault] = MappingProxyType({fault.kind: fault for fault in _ALL})
"""Every fault by its kind, in the order of the docs."""
