"""PURE: what the rollouts controller makes of measurements: phases of metrics and of the whole AnalysisRun, and when it measures.

These are the rules of Argo Rollouts 1.10 (analysis/analysis.go), told in our own words; tests hold them against the controller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.lint.subject import ERROR, FAILED, INCONCLUSIVE, SUCCESSFUL, seconds, whole

RUNNING = "Running"
_WORSE = (SUCCESSFUL, RUNNING, INCONCLUSIVE, ERROR, FAILED)
_ENDS_THE_RUN = (FAILED, ERROR, INCONCLUSIVE)
RETRY_MS = 10_000
"""After a measurement that was an Error, whatever the interval is."""
DEFAULT_ERROR_LIMIT = 4
MOST_MEASUREMENTS = 10_000


class Invalid(ValueError):
    """The controller would refuse the metric: the run ends with an Error and measures nothing."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measurement: when (milliseconds), what it found, the value as the controller writes it, and why it is an Error."""

    at_ms: int
    phase: str
    value: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric with its arguments filled in. `count` None: for as long as the run lasts. Times in milliseconds."""

    name: str
    spec: dict[str, Any]
    dry_run: bool = False
    delay_ms: int = 0
    interval_ms: int | None = None
    count: int | None = 1
    failure_limit: int = 0
    inconclusive_limit: int = 0
    error_limit: int = DEFAULT_ERROR_LIMIT
    success_limit: int = 0


def metric_of(spec: dict[str, Any], *, dry_run: bool = False) -> Metric:
    """A metric as the controller reads it. Raises Invalid."""
    name = str(spec.get("name", ""))
    interval = _duration(spec, "interval", name)
    count = whole(spec.get("count")) or 0
    limits = {key: whole(spec.get(key)) or 0 for key in ("failureLimit", "inconclusiveLimit", "consecutiveSuccessLimit")}
    error_limit = whole(spec["consecutiveErrorLimit"]) if spec.get("consecutiveErrorLimit") is not None else DEFAULT_ERROR_LIMIT
    made = Metric(
        name=name, spec=spec, dry_run=dry_run, delay_ms=_duration(spec, "initialDelay", name) or 0, interval_ms=interval,
        count=count or (1 if interval is None else None), failure_limit=limits["failureLimit"],
        inconclusive_limit=limits["inconclusiveLimit"], error_limit=error_limit or 0,
        success_limit=limits["consecutiveSuccessLimit"],
    )
    _validate(made, count)
    return made


def _duration(spec: dict[str, Any], key: str, name: str) -> int | None:
    if not spec.get(key):
        return None
    found = seconds(spec[key])
    if found is None:
        raise Invalid(f"metric {name}: {key} {spec[key]!r} is no duration")
    return round(found * 1000)


def _validate(metric: Metric, count: int) -> None:
    failures, successes = metric.failure_limit, metric.success_limit
    wrong = {
        "consecutiveSuccessLimit is negative": successes < 0,
        "failureLimit is below -1": failures < -1,
        "failureLimit and consecutiveSuccessLimit are both switched off": successes == 0 and failures == -1,
        "inconclusiveLimit is negative": metric.inconclusive_limit < 0,
        "consecutiveErrorLimit is negative": metric.error_limit < 0,
        f"count {count} is less than the limits need": 0 < count < max(failures, 0) + successes,
        f"count {count} is less than inconclusiveLimit": 0 < count < metric.inconclusive_limit,
        f"count {count} needs an interval": count > 1 and metric.interval_ms is None,
        "it has no provider": not metric.spec.get("provider"),
        "it has several providers": len(metric.spec.get("provider") or ()) > 1,
    }
    for told, is_so in wrong.items():
        if is_so:
            raise Invalid(f"metric {metric.name}: {told}")


@dataclass(kw_only=True)
class Tally:
    """What was measured of one metric so far, counted as the controller counts."""

    metric: Metric
    measurements: list[Measurement] = field(default_factory=list)
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    errors_in_row: int = 0
    successes_in_row: int = 0
    phase: str = ""
    reason: str = ""

    @property
    def done(self) -> bool:
        """Whether the metric is decided."""
        return self.phase not in ("", RUNNING)

    @property
    def count(self) -> int:
        """Measurements that count; an Error does not."""
        return self.successful + self.failed + self.inconclusive

    def add(self, measured: Measurement) -> None:
        """Take one measurement more."""
        self.measurements.append(measured)
        phase = measured.phase
        self.successful += phase == SUCCESSFUL
        self.failed += phase == FAILED
        self.inconclusive += phase == INCONCLUSIVE
        self.error += phase == ERROR
        self.errors_in_row = self.errors_in_row + 1 if phase == ERROR else 0
        self.successes_in_row = self.successes_in_row + 1 if phase == SUCCESSFUL else 0

    def assess(self, *, terminating: bool = False) -> str:
        """The metric's phase; once decided it stays."""
        if not self.done:
            self.phase, self.reason = self._assess(terminating)
        return self.phase

    def _assess(self, terminating: bool) -> tuple[str, str]:  # noqa: PLR0911 -- one line for each rule, in the controller's order
        its = self.metric
        # The last of the three rules that holds is the one that counts.
        if self.errors_in_row > its.error_limit:
            return ERROR, f"{self.errors_in_row} errors in a row, more than consecutiveErrorLimit {its.error_limit}"
        if self.inconclusive > its.inconclusive_limit:
            return INCONCLUSIVE, f"{self.inconclusive} inconclusive, more than inconclusiveLimit {its.inconclusive_limit}"
        if self.failed > its.failure_limit >= 0:
            return FAILED, f"{self.failed} failed, more than failureLimit {its.failure_limit}"
        if 0 < its.success_limit <= self.successes_in_row:
            return SUCCESSFUL, f"{self.successes_in_row} successful in a row"
        if its.count is not None and self.count >= its.count:
            if its.success_limit > 0:
                phase = INCONCLUSIVE if its.failure_limit >= 0 else FAILED
                return phase, f"never {its.success_limit} successful in a row"
            return SUCCESSFUL, f"{self.count} measured"
        return (SUCCESSFUL, "the run was ended") if terminating else (RUNNING, "")


def assess_run(tallies: Sequence[Tally], *, terminating: bool) -> tuple[str, str]:
    """The run's phase, and what decided it."""
    worst, reason, complete = "", "", True
    for tally in tallies:
        if not tally.measurements:
            complete = False
            continue
        phase = tally.assess(terminating=terminating)
        if phase == RUNNING:
            complete = False
        elif tally.metric.dry_run:
            worst = worst or SUCCESSFUL
        elif not worst or _WORSE.index(phase) > _WORSE.index(worst):
            worst, reason = phase, f"{tally.metric.name}: {tally.reason}"
    if terminating:
        return worst or SUCCESSFUL, reason or "the run was ended"
    return (worst, reason) if complete and worst else (RUNNING, "")


def is_terminating(tallies: Sequence[Tally]) -> bool:
    """Whether a metric that counts has ended the run: nothing more is measured then."""
    return any(tally.phase in _ENDS_THE_RUN and not tally.metric.dry_run for tally in tallies)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an AnalysisRun ended, and when (milliseconds). `ended`: it ran for ever, and was ended with the series."""

    phase: str
    reason: str
    at_ms: int
    tallies: tuple[Tally, ...]
    ended: bool = False


Measure = Callable[[Metric, int], Measurement]


def play(metrics: Sequence[Metric], measure: Measure, *, start_ms: int, until_ms: int) -> Outcome:
    """A whole AnalysisRun that begins at `start_ms`, as if each measurement took no time.

    A metric that would be measured for ever is ended after `until_ms`, as the controller ends a background analysis with its
    release.
    """
    tallies = [Tally(metric=each) for each in metrics]
    now, taken = start_ms, 0
    while True:
        terminating = is_terminating(tallies)
        for tally in tallies if not terminating else ():
            if not tally.done and _next(tally, start_ms) <= now:
                tally.add(measure(tally.metric, now))
                taken += 1
        phase, reason = assess_run(tallies, terminating=terminating)
        if phase != RUNNING:
            return Outcome(phase=phase, reason=reason, at_ms=now, tallies=tuple(tallies))
        if is_terminating(tallies):
            continue  # the controller looks again at once, and then ends what still runs
        waiting = [tally for tally in tallies if not tally.done]
        bounded = any(tally.metric.count is not None for tally in waiting)
        following = min((_next(tally, start_ms) for tally in waiting), default=now)
        if taken >= MOST_MEASUREMENTS or (following > until_ms and not bounded) or following <= now:
            phase, reason = assess_run(tallies, terminating=True)
            return Outcome(phase=phase, reason=reason, at_ms=now, tallies=tuple(tallies), ended=True)
        now = following


def _next(tally: Tally, start_ms: int) -> int:
    """When the metric is measured next."""
    if not tally.measurements:
        return start_ms + tally.metric.delay_ms
    last, interval = tally.measurements[-1], tally.metric.interval_ms
    return last.at_ms + (RETRY_MS if last.phase == ERROR or interval is None else max(1, interval))
