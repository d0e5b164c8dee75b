"""The faults that a candidate can have, and what the gate should do about each. PURE: no I/O.

Each stands here once: what is injected, where it can be seen, which decision is right, and why. Where a fault can be seen decides
which metrics a gate needs: an app cannot count the requests that it never answers.
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

    def with_settings(self, changes: Mapping[str, float]) -> Fault:
        """The same fault in another size. Raises UsageError for a setting that this fault does not have."""
        unknown = sorted(changes.keys() - self.settings.keys())
        if unknown:
            raise UsageError(f"--fault {self.kind} has no setting {', '.join(unknown)}: it has {', '.join(self.settings)}")
        return Fault(**{**vars(self), "settings": MappingProxyType({**self.settings, **changes})})

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


OUT = frozenset({503, 504})
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
        # With subsets the controller never looks at its deadline while the canary is not ready (argo-rollouts #4626).
        values=MappingProxyType({"rollout": {"trafficSplit": "services"}}),
        why="no pod is ready by rollout.progressDeadlineSeconds: the deadline rolls back, without any analysis or user traffic",
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
)
FAULTS: Mapping[str, Fault] = MappingProxyType({fault.kind: fault for fault in _ALL})
"""Every fault by its kind, in the order of the docs."""
