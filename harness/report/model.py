"""Everything that a report tells, computed once for all renderers. PURE: no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import starmap
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.observation import (
    FailedRequests,
    Share,
    abort_time,
    achieved_per_second,
    achieved_rate,
    failed_requests,
    share_at,
    time_to_detect,
    time_to_safe,
    weight_steps,
)
from harness.observation.gitops import moments
from harness.observation.measure import candidate_version, disturbances
from harness.report.blast import Exposure, StepFailures, exposure_of, failures_by_step
from harness.report.series import Series, series_of
from harness.verdict.decision import decided_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.observation import Observation
    from harness.scenario import Scenario
    from harness.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class PlatformFacts:
    """Where it ran: the platform's name, and the version of each of its parts."""

    name: str
    versions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """How to run it again: the command as it was given, and the digests of what it read besides the images.

    `command` is empty where no command line was involved.
    """

    command: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened, in seconds since the release was asked for (negative: before it)."""

    seconds: float
    what: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run, told. Durations are seconds since the release was asked for unless they are named otherwise."""

    scenario: Scenario
    observation: Observation
    verdict: Verdict
    platform: PlatformFacts
    timeline: tuple[Event, ...]
    shares: tuple[Share, ...]
    failures: FailedRequests
    failures_by_canary: int
    canary_requests: int
    decided_after: float | None
    detect_seconds: float | None
    safe_seconds: float | None
    achieved_rps: float
    per_second: tuple[int, ...]
    series: Series
    failures_by_step: tuple[StepFailures, ...]
    exposure: Exposure
    reproduction: Reproduction = Reproduction()


def build_report(
    scenario: Scenario, observation: Observation, verdict: Verdict, platform: PlatformFacts,
    reproduction: Reproduction = Reproduction(),
) -> Report:
    """Compute a report; what was not seen is None or empty."""
    start = observation.release_started_at
    end = observation.load.ended if observation.load else observation.ended_at
    decided = decided_at(observation)
    is_candidate = candidate_version(observation)
    answers = [each for each in observation.responses if is_candidate(each)]
    shares = (share_at(observation, index) for index in range(len(weight_steps(observation))))
    return Report(
        scenario=scenario,
        observation=observation,
        verdict=verdict,
        platform=platform,
        timeline=tuple(sorted(_events(scenario, observation), key=lambda event: event.seconds)),
        shares=tuple(share for share in shares if share is not None),
        failures=failed_requests(observation.responses),
        failures_by_canary=sum(each.failed for each in answers),
        canary_requests=len(answers),
        decided_after=None if decided is None else decided - start,
        detect_seconds=time_to_detect(observation),
        safe_seconds=time_to_safe(observation),
        achieved_rps=achieved_rate(observation.responses, start, end),
        per_second=achieved_per_second(observation.responses, start, end),
        series=series_of(observation),
        failures_by_step=failures_by_step(observation),
        exposure=exposure_of(observation),
        reproduction=reproduction,
    )


def _events(scenario: Scenario, observation: Observation) -> Iterator[Event]:
    start = observation.release_started_at

    def event(at: float, what: str) -> Event:
        return Event(seconds=round(at - start, 3), what=what)

    yield event(start, f"release of {scenario.candidate} asked for")
    phase = ""
    for state in observation.released_states:
        if state.phase != phase:
            phase = state.phase
            yield event(state.at, f"Rollout {phase}" + (f": {state.message}" if state.message else ""))
    for change in weight_steps(observation):
        yield event(change.at, f"weights {change.stable}/{change.canary}")
    for run in observation.step_analyses:
        if run.started_at is not None:
            yield event(run.started_at, f"analysis {run.name} began")
        if run.finished_at is not None:
            yield event(run.finished_at, f"analysis {run.name} {run.phase}")
    aborted = abort_time(observation)
    if aborted is not None:
        yield event(aborted, "release aborted")
    is_candidate = candidate_version(observation)
    answers = [each.at for each in observation.responses if is_candidate(each)]
    if answers:
        yield event(min(answers), f"first answer from {scenario.candidate}")
        yield event(max(answers), f"last answer from {scenario.candidate}")
    yield event(observation.ended_at, "observation ended")
    yield from starmap(event, moments(observation.gitops))
    yield from starmap(event, disturbances(observation))
