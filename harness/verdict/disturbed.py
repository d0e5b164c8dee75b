"""What a disturbance of the platform means for a verdict: what it did to users, and what is no decision for it. PURE: no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.disturbances import KINDS, Due
from harness.observation import Disturbed, Observation, ResponseRecord
from harness.scenario import Scenario
from harness.verdict.experiment import experiment_check
from harness.verdict.model import Check, Kind

AFTERMATH_SECONDS = 8.0
"""After a part is ready again: pods that died with the node agent start anew, and the gateway hears of their addresses. And
whoever asks the API again and again waits ever longer between two tries: for about as long as it was away, so that is added."""


def as_disturbed(scenario: Scenario, observation: Observation) -> Check | None:
    """Each disturbance came about at its step, and what was killed came back. One that is due no decision is noticed here."""
    wanted = scenario.disturbances
    if not wanted and not observation.disturbed:
        return None
    problems = [each.told for each in observation.disturbed if each.down_at is None or each.up_at is None or each.problem]
    seen = {each.kind for each in observation.disturbed}
    problems += [f"{each} left no trace" for each in wanted if each.kind.name not in seen]
    problems += [f"{each.kind.name}: {each.kind.why}" for each in wanted if each.kind.due is Due.INCONCLUSIVE]
    return experiment_check(
        "disturbances",
        problems,
        expected=", ".join(map(str, wanted)) or "none",
        actual="; ".join(each.told for each in observation.disturbed),
        evidence=tuple(f"{each.kind.name}: {each.kind.why}" for each in wanted),
    )


def not_the_gates(scenario: Scenario, checks: Iterable[Check]) -> tuple[Check, ...]:
    """The same checks; one that failed, and that a disturbance of this release can make fail, speaks of the experiment."""
    unsettled = frozenset[str]().union(*(each.kind.unsettles for each in scenario.disturbances))

    def excused(check: Check) -> bool:
        return check.passed is False and any(
            check.name == name or (name.endswith(" ") and check.name.startswith(name)) for name in unsettled
        )

    return tuple(replace(check, kind=Kind.EXPERIMENT) if excused(check) else check for check in checks)


def by_disturbance(observation: Observation, response: ResponseRecord) -> bool:
    """Whether this request failed because a part on its way was away: no version answered it, and it was then."""
    unanswered = response.failed and response.pod is None and response.version is None
    return unanswered and any(_cut(each, response, observation.ended_at) for each in observation.disturbed)


def _cut(each: Disturbed, response: ResponseRecord, end: float) -> bool:
    if not KINDS[each.kind].users_fail or each.down_at is None:
        return False
    back = end if each.up_at is None else each.up_at + (each.up_at - each.down_at) + AFTERMATH_SECONDS
    return response.at >= each.down_at and response.started <= back
