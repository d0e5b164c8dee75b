"""What is released, what is expected, and what would count as the right reason. PURE: no I/O.

The objectives stand here and not only in the chart on purpose: the verdict judges the gate by the numbers that were
promised, so a gate that was given other numbers (or none) does not get to grade itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.faults import (
    ERROR_METRICS,
    FAULTS,
    GATEWAY_TIMEOUT_SECONDS,
    HEALTHY,
    LATENCY_METRICS,
    Effect,
    Fault,
    delay_quantiles,
    share_over,
)
from harness.thin import LEAST_ANSWERED, fewest_of_an_outage, fewest_requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.disturbances import Disturbance

DEFAULT_ERROR_RATE_PERCENT = 5.0
"""What `failure` injects when neither an error rate nor a latency is asked for."""

MIN_WINDOW_SECONDS = 5.0
"""`increase()` wants at least four scrape intervals in its window; at one scrape per second that is five samples."""

MAX_LATENCY_MS = 9_000.0
"""Gateway and clients give up after 10 s; from there on, what is injected is no longer what is measured."""

MIN_RPS, MAX_RPS = 0.1, 5_000.0
"""Below, even an hour holds too few canary requests to tell anything; above, one machine does not send them."""

SAFE_SECONDS = 5.0
"""Within which users must be safe from a bad version once it is aborted."""

OUTAGE_SAFE_SECONDS = 15.0
"""Within which users must be safe from a candidate whose pods come and go. With subsets the controller cannot abort while none is
ready (argo-rollouts #4626), so it takes up to the kubelet's first back-off of 10 s longer."""

DEADLINE_BEYOND_WINDOW_SECONDS = 15
"""How much longer than one analysis the progress deadline is where it is the deadline that must decide."""

REQUESTS_METRIC = "requests"


class Decision(Enum):
    """What a gate can do with a release."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One promise about a metric: its value must be `at_least` or `below` a limit (exactly one of them is set)."""

    at_least: float | None = None
    below: float | None = None

    def met_by(self, value: float) -> bool:
        """Whether the value keeps the promise; NaN keeps none."""
        if math.isnan(value):
            return False
        if self.at_least is not None:
            return value >= self.at_least
        return self.below is not None and value < self.below

    def __str__(self) -> str:
        """The promise as a person would write it."""
        return f">= {self.at_least:g}" if self.at_least is not None else f"< {self.below:g}"


LATENCY_OBJECTIVE_MS = 300.0
"""What 95 % of the answers may take at most."""

OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {
        "success-rate": Objective(at_least=0.99),
        "error-rate": Objective(below=0.01),
        # "P95 <= 300 ms" stated exactly: the share of requests answered within 0.3 s is at least 0.95.
        # Interpolating a quantile inside a histogram bucket would only guess it.
        "latency-p95": Objective(at_least=0.95),
    }
)
"""The service level objectives of the architecture, by the name of the metric that measures each."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One release to put before the gate. Rates are percent, times seconds (latency: milliseconds), load requests/s."""

    name: str
    expect: Decision
    stable: str = "v1.0"
    candidate: str = "v1.1"
    fault: Fault = HEALTHY
    deciding_metrics: frozenset[str] = frozenset()
    steps: tuple[int, ...] = (10, 30, 60)
    window_seconds: float = 60.0
    rps: float = 50.0
    seed: int = 0
    safe_within_seconds: float = SAFE_SECONDS
    objectives: Mapping[str, Objective] = field(default_factory=lambda: OBJECTIVES)
    disturbances: tuple[Disturbance, ...] = ()
    """What is done to the platform meanwhile."""

    def __post_init__(self) -> None:
        """Refuse what cannot be released, in one line each."""
        _require_fault(self.fault)
        _require_number("window", self.window_seconds, low=MIN_WINDOW_SECONDS, high=86_400, unit="seconds")
        _require_number("safe-within limit", self.safe_within_seconds, low=0, high=3_600, unit="seconds")
        _require_number("rps", self.rps, low=MIN_RPS, high=MAX_RPS, unit="requests per second")
        if self.stable == self.candidate:
            raise UsageError(f"stable and candidate are both {self.stable!r}: answers could not be told apart")
        ascending = all(before < after for before, after in zip(self.steps, self.steps[1:], strict=False))
        if not self.steps or not ascending or self.steps[0] <= 0 or self.steps[-1] >= 100:
            raise UsageError(f"steps are {list(self.steps)}: give ascending percentages between 1 and 99")
        if self.expect is Decision.ROLLBACK and not self.deciding_metrics and not self.decided_by_deadline:
            raise UsageError(f"scenario {self.name!r} expects a rollback but names no metric that may decide it")
        unknown = sorted(self.deciding_metrics - set(self.objectives))
        if unknown:
            raise UsageError(f"scenario {self.name!r} lets unknown metrics decide: {', '.join(unknown)}")

    @property
    def metric_names(self) -> frozenset[str]:
        """Every metric that each analysis must have measured."""
        return frozenset(self.objectives) | {REQUESTS_METRIC}

    @property
    def error_rate_percent(self) -> float:
        """Percent of the candidate's requests that must fail."""
        return self.fault.failing_percent

    @property
    def latency_ms(self) -> float:
        """Milliseconds that each of the candidate's answers must take longer, at the least."""
        return self.fault.least_latency_ms

    @property
    def worst_latency_seconds(self) -> float:
        """Seconds that a request may take, for the number of users that the load needs: twice what is injected, at least 1."""
        delay = delay_quantiles(self.fault.settings)[-1][1] / 1000
        never = GATEWAY_TIMEOUT_SECONDS if self.fault.effect is Effect.GATEWAY else 0.0
        return max(1.0, 2 * delay, never)

    @property
    def slow_share(self) -> float:
        """The share of the candidate's answers whose injected delay alone is beyond the latency objective."""
        return share_over(delay_quantiles(self.fault.settings), LATENCY_OBJECTIVE_MS)

    @property
    def decided_by_deadline(self) -> bool:
        """Whether the progress deadline must decide, as no analysis can: the candidate never gets any traffic."""
        return self.fault.effect is Effect.NEVER_READY

    @property
    def progress_deadline_seconds(self) -> int:
        """The progress deadline that decides where `decided_by_deadline`."""
        return math.ceil(self.window_seconds) + DEADLINE_BEYOND_WINDOW_SECONDS

    @property
    def breaks_an_objective(self) -> bool:
        """Whether what is injected goes beyond an objective: a gate that lets this pass has failed, or was shown too little."""
        error, latency = self.objectives.get("error-rate"), self.objectives.get("latency-p95")
        too_many = error is not None and not error.met_by(self.error_rate_percent / 100)
        too_slow = latency is not None and not latency.met_by(1 - self.slow_share)
        return too_many or too_slow or (self.fault.effect is Effect.OUTAGE and self.fault.rolled_back)

    def as_it_is_due(self) -> Scenario:
        """The same release with the decision that its objectives call for: a promotion when nothing injected breaks one."""
        if self.expect is Decision.ROLLBACK and not self.breaks_an_objective and not self.decided_by_deadline:
            return replace(self, expect=Decision.PROMOTE, deciding_metrics=frozenset())
        return self

    @property
    def min_requests(self) -> int:
        """The fewest canary requests in a window that a decision may rest on; one value, as the chart has one template."""
        expected = self.expected_requests(0)
        if self.fault.effect is Effect.OUTAGE:
            return fewest_of_an_outage(expected)
        if self.fault.effect is Effect.GATEWAY:  # a gate that asks the app counts what the app itself answered
            expected *= max(LEAST_ANSWERED, 1 - self.error_rate_percent / 100)
        return fewest_requests(expected, self.window_seconds, answer_seconds=self.latency_ms / 1000)

    def expected_requests(self, step: int) -> float:
        """Canary requests expected in one window of the step with this index (0 is the first)."""
        return self.rps * self.window_seconds * self.steps[step] / 100

    @property
    def promise(self) -> str:
        """The decision that is right, and why, for people."""
        check = self.fault.noticed_by
        what = f"no decision that counts (exit 3 by the check {check!r})" if check else self.expect.value
        return f"{what}, because {self.fault.why}"

    @property
    def final_version(self) -> str:
        """The version that users must get once the expected decision has been taken."""
        return self.candidate if self.expect is Decision.PROMOTE else self.stable


def success(*, window_seconds: float = 60.0, rps: float = 50.0, seed: int = 0, steps: tuple[int, ...] = (10, 30, 60)) -> Scenario:
    """A healthy release, which the gate must promote."""
    return Scenario(name="success", expect=Decision.PROMOTE, window_seconds=window_seconds, rps=rps, seed=seed, steps=steps)


def failure(
    *,
    error_rate: float | None = None,
    latency_ms: float | None = None,
    fault: str | None = None,
    settings: Mapping[str, float] | None = None,
    window_seconds: float = 60.0,
    rps: float = 50.0,
    seed: int = 0,
    steps: tuple[int, ...] = (10, 30, 60),
) -> Scenario:
    """A faulty release, with the decision that is right for its fault: a rollback, but for faults that no objective is about.

    `fault` is a kind of `harness.faults.FAULTS`, `settings` change its size. Without one, `error_rate` and `latency_ms` make it,
    and with neither, 5 % of the answers are errors. `error_rate=0` is allowed and still expects a rollback: a gate that
    promotes that release makes the harness exit 1, which proves that the check can fail. Raises UsageError.
    """
    if fault is None:
        chosen = _errors_and_latency(error_rate, latency_ms)
        if settings:
            raise UsageError("--fault-setting goes with --fault KIND: name the kind of fault that it changes")
    elif error_rate is not None or latency_ms is not None:
        raise UsageError("--fault goes without --error-rate and --latency-ms: its size is set by --fault-setting KEY=VALUE")
    elif fault not in FAULTS:
        raise UsageError(f"--fault {fault}: there is no such kind; choose one of {', '.join(FAULTS)}")
    else:
        chosen = FAULTS[fault].with_settings(settings or {})
    return Scenario(
        name="failure" if fault is None else f"failure by {fault}",
        expect=Decision.ROLLBACK if chosen.rolled_back else Decision.PROMOTE,
        fault=chosen,
        deciding_metrics=chosen.deciding_metrics,
        safe_within_seconds=OUTAGE_SAFE_SECONDS if chosen.effect is Effect.OUTAGE else SAFE_SECONDS,
        window_seconds=window_seconds,
        rps=rps,
        seed=seed,
        steps=steps,
    )


def _errors_and_latency(error_rate: float | None, latency_ms: float | None) -> Fault:
    if error_rate is None and latency_ms is None:
        error_rate = DEFAULT_ERROR_RATE_PERCENT
    deciding: frozenset[str] = frozenset()
    settings = {}
    if error_rate is not None:
        deciding, settings["error_rate"] = deciding | ERROR_METRICS, error_rate
    if latency_ms is not None:
        deciding, settings["latency_ms"] = deciding | LATENCY_METRICS, latency_ms
    return Fault(
        kind="error" if error_rate is not None else "latency", effect=Effect.ANSWERS, settings=settings, rolled_back=True,
        deciding_metrics=deciding, why=_why(settings),
    )


def _why(settings: Mapping[str, float]) -> str:
    """What is injected beside what the objectives allow."""
    told = []
    if "error_rate" in settings:
        told.append(f"{settings['error_rate']:g} % of its answers are errors, and less than 1 % may be")
    if "latency_ms" in settings:
        late = f"every answer takes {settings['latency_ms']:g} ms longer"
        told.append(f"{late}, and 95 % must come within {LATENCY_OBJECTIVE_MS:g} ms")
    return "; ".join(told)


def _require_fault(fault: Fault) -> None:
    """Refuse a size that cannot be injected, or that gateway and clients would not bear."""
    for name, value in fault.settings.items():
        if name.endswith("_rate"):
            _require_number(name.replace("_", " "), value, low=0, high=100, unit="percent")
        elif "latency" in name:
            what = "latency" if name == "latency_ms" else name.removesuffix("_ms").replace("_", " ")
            _require_number(what, value, low=0, high=MAX_LATENCY_MS, unit="milliseconds")
        else:
            _require_number(name.replace("_", " "), value, low=0, high=1e6, unit=name.rsplit("_", 1)[-1])
    if fault.failing_percent > 100:
        raise UsageError(f"the rates add up to {fault.failing_percent:g} %: give at most 100")
    corners = [at for _, at in delay_quantiles(fault.settings)]
    if corners != sorted(corners) or corners[0] < 0:
        raise UsageError("the latency goes below zero or its percentiles fall: give jitter <= latency and P50 <= P90 <= P99")


def _require_number(what: str, value: float, *, low: float, high: float, unit: str) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise UsageError(f"{what} is {value:g}: give a number of {unit} from {low:g} to {high:g}")
