"""What a matrix file says, and what came of it. PURE: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from harness.errors import EXIT_INCONCLUSIVE, EXIT_OK, EXIT_OTHER_DECISION, HarnessError
from harness.faults import ANALYSIS_SOUND, MEASURED_OUTCOMES, Rig
from harness.scenario import Decision, Scenario
from harness.verdict import Check, Outcome, Verdict

AROUND_SECONDS = 35.0
"""What a release takes beyond its windows: install, baseline, a rest for Prometheus' discovery, the time after the decision."""
STEP_SECONDS = 4.0
"""What each further step takes beyond its window."""


EXPERIMENT_CHECKS = frozenset({
    "observation", "disturbances", "one release", "baseline", "offered load", "load after the abort", "version identity",
    "prometheus", "injected faults", "fault at work", "fault shown", ANALYSIS_SOUND, "measured traffic", MEASURED_OUTCOMES,
    "decided by the gate", "hands off", "same gate", "clock",
})  # fmt: skip
"""The verdict's checks that can make it inconclusive; the client's share has one for each weight, and is left out."""


class Expect(Enum):
    """What must come of a scenario."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    INCONCLUSIVE = "inconclusive"
    """The verdict is exit 3: the gate had no evidence, or a false one, and whatever it did then is no decision."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One scenario of the table. `values` are chart values; `because` names the metrics, or checks, that may be the reason."""

    key: str
    scenario: Scenario
    expect: Expect
    because: frozenset[str] = frozenset()
    values: Mapping[str, Any]
    alone: bool = False

    @property
    def name(self) -> str:
        """The scenario's name, unique in its table."""
        return self.scenario.name

    @property
    def seconds(self) -> float:
        """About how long it takes, to put the longest first."""
        scenario, fault = self.scenario, self.scenario.fault
        if scenario.decided_by_deadline:
            return AROUND_SECONDS + scenario.progress_deadline_seconds
        promoted = self.expect is Expect.PROMOTE or fault.rig is Rig.PROMETHEUS_WRONG
        windows = len(scenario.steps) if promoted else 1
        return AROUND_SECONDS + windows * (scenario.window_seconds + STEP_SECONDS)

    @property
    def images(self) -> tuple[object, ...]:
        """What its images are made from: entries with the same need no further build."""
        return (self.scenario.seed, *sorted(self.scenario.fault.settings.items()))


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """The longest first, so that no long one is left over when all others are done; of the same length, by their images."""
    return sorted(entries, key=lambda each: (-each.seconds, str(each.images)))


class Status(Enum):
    """How a scenario ended, set against what was expected."""

    AS_EXPECTED = "as expected"
    OTHERWISE = "decided otherwise"
    INCONCLUSIVE = "inconclusive"
    """Nothing can be said, although something was to be."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row of the outcome. `again` tells that a first attempt beside others was starved by the machine."""

    entry: Entry
    status: Status
    decision: str
    """What the gate did: promoted, rolled back or none."""
    summary: str
    failed: tuple[Check, ...] = ()
    seconds: float = 0.0
    again: bool = False
    report: str = ""


def assess(
    entry: Entry, verdict: Verdict | None, error: HarnessError | None, *, seconds: float, report: str = "", again: bool = False
) -> Result:
    """Set a verdict, or the error that stands for it, against what the entry expects."""
    if verdict is None:
        told = f"no verdict: {error}" if error else "no verdict"
        return Result(
            entry=entry, status=Status.INCONCLUSIVE, decision="none", summary=told, seconds=seconds, report=report, again=again
        )
    status, summary = _status(entry, verdict)
    return Result(
        entry=entry, status=status, decision=verdict.taken.value, summary=summary, failed=verdict.failures, seconds=seconds,
        report=report, again=again,
    )


def _status(entry: Entry, verdict: Verdict) -> tuple[Status, str]:
    if entry.expect is not Expect.INCONCLUSIVE:
        status = {
            Outcome.EXPECTED: Status.AS_EXPECTED, Outcome.OTHER_DECISION: Status.OTHERWISE,
            Outcome.INCONCLUSIVE: Status.INCONCLUSIVE,
        }[verdict.outcome]  # fmt: skip
        return status, verdict.summary
    if verdict.outcome is not Outcome.INCONCLUSIVE:
        return Status.OTHERWISE, f"The verdict was to be inconclusive, and it is not: {verdict.summary}"
    failed = {check.name for check in verdict.failures}
    if entry.because and not entry.because & failed:
        wanted = " or ".join(sorted(entry.because))
        return Status.INCONCLUSIVE, f"Inconclusive, but not by the check {wanted}. {verdict.summary}"
    return Status.AS_EXPECTED, verdict.summary


def exit_code(results: Iterable[Result]) -> int:
    """1 when any scenario was decided otherwise, else 3 when any told nothing, else 0."""
    found = {result.status for result in results}
    if Status.OTHERWISE in found:
        return EXIT_OTHER_DECISION
    return EXIT_INCONCLUSIVE if Status.INCONCLUSIVE in found else EXIT_OK


def default_expectation(scenario: Scenario, *, sized: bool) -> Expect:
    """What the catalogue of faults says; where the file sets the fault's size, whether that size breaks an objective."""
    fault = scenario.fault
    if sized and not fault.noticed_by and not scenario.decided_by_deadline and (scenario.error_rate_percent or _delays(scenario)):
        return Expect.ROLLBACK if scenario.breaks_an_objective else Expect.PROMOTE
    return Expect(fault.due)


def _delays(scenario: Scenario) -> bool:
    return any("latency" in name for name in scenario.fault.settings)


def decision_of(expect: Expect, scenario_due: bool) -> Decision:
    """The decision by which the verdict is judged; where it must be inconclusive, the one that would be right."""
    if expect is Expect.INCONCLUSIVE:
        return Decision.ROLLBACK if scenario_due else Decision.PROMOTE
    return Decision(expect.value)
