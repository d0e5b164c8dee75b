"""Whom a release hurt: failures by step, and what they mean for people who ask more than once. PURE: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.observation import weight_steps
from harness.report.series import answered_by

if TYPE_CHECKING:
    from harness.observation import Observation

REQUESTS_PER_USER = (1, 10, 100)


@dataclass(frozen=True, kw_only=True)
class StepFailures:
    """The requests started while one weight was asked for, and how many failed, by who answered. Seconds since the release."""

    weight: int
    start: float
    end: float
    requests: int
    by_candidate: int
    by_stable: int
    by_nobody: int


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """All users' requests from the candidate's first answer to its last, and those that failed because of it."""

    requests: int
    failed: int

    def affected_share(self, requests_per_user: int) -> float | None:
        """The expected share of users with at least one failed request, of those who sent so many meanwhile.

        1 - (1 - p)^k, with p the share of failed requests: the gateway draws anew for each request, so who asks often is hit by
        the candidate sooner or later, however small its weight. None when nobody was exposed.
        """
        if not self.requests:
            return None
        return float(1 - (1 - self.failed / self.requests) ** requests_per_user)


def failures_by_step(observation: Observation) -> tuple[StepFailures, ...]:
    """One row for each weight, beginning with the 0 % before the first."""
    released = observation.release_started_at
    edges = [(released, 0), *((change.at, change.canary) for change in weight_steps(observation))]
    ends = [*(at for at, _ in edges[1:]), max(observation.ended_at, edges[-1][0])]
    answerer = answered_by(observation)
    rows = []
    for (start, weight), end in zip(edges, ends, strict=True):
        inside = [each for each in observation.responses if start <= each.started < end]
        failed = [answerer(each) for each in inside if each.failed]
        rows.append(StepFailures(
            weight=weight, start=start - released, end=end - released, requests=len(inside),
            by_candidate=failed.count("candidate"), by_stable=failed.count("stable"), by_nobody=failed.count("nobody"),
        ))  # fmt: skip
    return tuple(rows)


def exposure_of(observation: Observation) -> Exposure:
    """How many requests were at risk, and how many of them the candidate failed."""
    answerer = answered_by(observation)
    its = [each for each in observation.responses if answerer(each) == "candidate"]
    if not its:
        return Exposure(requests=0, failed=0)
    first, last = min(each.started for each in its), max(each.started for each in its)
    at_risk = sum(first <= each.started <= last for each in observation.responses)
    return Exposure(requests=at_risk, failed=sum(each.failed for each in its))
