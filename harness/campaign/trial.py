"""One trial, from a verdict: is it valid, and what did the gate decide? And a campaign of them, in numbers. PURE: no I/O."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.observation import Observation, time_to_detect, time_to_safe
from harness.observation.measure import candidate_version
from harness.scenario import Scenario
from harness.verdict import Kind, Taken, Verdict
from harness.verdict.decision import decided_at

LUCK = frozenset({"fault shown"})
"""Checks that ask whether a sample happened to show what was injected. A single run that was unlucky proves nothing; of a
probability, the unlucky ones are a part, and to leave them out would make every gate look better than it is."""

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One independent release. Durations are seconds; `step` is the index of the step whose analysis rolled back."""

    index: int
    seed: int
    valid: bool
    why_invalid: str = ""
    rolled_back: bool = False
    step: int | None = None
    detect_seconds: float | None = None
    decided_seconds: float | None = None
    safe_seconds: float | None = None
    requests: int = 0
    canary_requests: int = 0
    failed_requests: int = 0
    seconds: float = 0.0


def invalid(index: int, seed: int, why: str, seconds: float) -> Trial:
    """A trial that proves nothing about the gate, and why."""
    return Trial(index=index, seed=seed, valid=False, why_invalid=why, seconds=seconds)


def trial_of(
    index: int, seed: int, scenario: Scenario, observation: Observation, verdict: Verdict, *, seconds: float
) -> Trial:
    """The trial that this verdict makes: valid when the experiment was sound and the gate decided, whichever way."""
    broken = [
        check for check in verdict.checks if check.kind is Kind.EXPERIMENT and not check.passed and check.name not in LUCK
    ]
    if broken or verdict.taken is Taken.NONE:
        why = "; ".join(f"{check.name}: {check.actual}" for check in broken) or "no decision was taken"
        return invalid(index, seed, why, seconds)
    rolled_back = verdict.taken is Taken.ROLLED_BACK
    decided, is_candidate = decided_at(observation), candidate_version(observation)
    failed = [run for run in observation.step_analyses if run.phase == "Failed"]
    return Trial(
        index=index, seed=seed, valid=True, rolled_back=rolled_back,
        step=_step(scenario, failed[0].step_index) if rolled_back and failed else None,
        detect_seconds=time_to_detect(observation) if rolled_back else None,
        decided_seconds=None if decided is None else decided - observation.release_started_at,
        safe_seconds=time_to_safe(observation) if rolled_back else None,
        requests=len(observation.responses),
        canary_requests=sum(map(is_candidate, observation.responses)),
        failed_requests=sum(each.failed for each in observation.responses),
        seconds=seconds,
    )  # fmt: skip


def _step(scenario: Scenario, index: int | None) -> int | None:
    """The step among the scenario's weights: the chart's strategy has a weight and an analysis for each."""
    return None if index is None else min(index // 2, len(scenario.steps) - 1)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A probability from independent trials, with its exact two-sided interval."""

    successes: int
    trials: int
    low: float
    high: float
    confidence: float = CONFIDENCE

    @property
    def share(self) -> float:
        """The point estimate; NaN without a trial."""
        return self.successes / self.trials if self.trials else float("nan")


def clopper_pearson(successes: int, trials: int, confidence: float = CONFIDENCE) -> Estimate:
    """The exact interval of Clopper and Pearson (Biometrika 26, 1934): it covers the truth at least as often as it says.

    20 of 20 has a lower bound of 0.83 only. Without a trial the interval is [0, 1].
    """
    if trials == 0:
        return Estimate(successes=0, trials=0, low=0.0, high=1.0, confidence=confidence)
    from scipy.stats import binomtest  # noqa: PLC0415  (it takes half a second to import)

    interval = binomtest(successes, trials).proportion_ci(confidence_level=confidence, method="exact")
    return Estimate(successes=successes, trials=trials, low=interval.low, high=interval.high, confidence=confidence)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A campaign in numbers; times are [median, 90th percentile, maximum] in seconds, None where nothing was rolled back."""

    rollback: Estimate
    invalid: int
    rollbacks_by_step: tuple[int, ...]
    detect_seconds: tuple[float, float, float] | None
    decided_seconds: tuple[float, float, float] | None
    safe_seconds: tuple[float, float, float] | None
    failed_requests: tuple[float, float, float] | None
    canary_requests: int


def summarize(trials: Iterable[Trial], steps: int) -> Summary:
    """The numbers of a campaign; invalid trials are counted, and count for nothing else."""
    every = list(trials)
    valid = [trial for trial in every if trial.valid]
    back = [trial for trial in valid if trial.rolled_back]
    return Summary(
        rollback=clopper_pearson(len(back), len(valid)),
        invalid=len(every) - len(valid),
        rollbacks_by_step=tuple(sum(trial.step == step for trial in back) for step in range(steps)),
        detect_seconds=_spread([trial.detect_seconds for trial in back]),
        decided_seconds=_spread([trial.decided_seconds for trial in valid]),
        safe_seconds=_spread([trial.safe_seconds for trial in back]),
        failed_requests=_spread([float(trial.failed_requests) for trial in valid]),
        canary_requests=sum(trial.canary_requests for trial in valid),
    )


def _spread(values: Sequence[float | None]) -> tuple[float, float, float] | None:
    """Median, nearest-rank 90th percentile and maximum."""
    ordered = sorted(value for value in values if value is not None)
    if not ordered:
        return None
    return statistics.median(ordered), ordered[-(-9 * len(ordered) // 10) - 1], ordered[-1]


def as_json(trial: Trial) -> dict[str, Any]:
    """A trial as a JSON object."""
    return asdict(trial)


def from_json(data: dict[str, Any]) -> Trial:
    """The trial that `as_json` wrote. Raises TypeError for anything else."""
    return Trial(**data)
