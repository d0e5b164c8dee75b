"""From scenario and observation to a verdict: run every check, then apply the precedence. PURE: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.observation import Observation
from harness.scenario import Scenario
from harness.verdict import gitops
from harness.verdict.analyses import deciding_metric, gate_conditions, query_scope, step_analyses
from harness.verdict.decision import decided_by_gate, decision_taken
from harness.verdict.disturbed import as_disturbed, not_the_gates
from harness.verdict.experiment import (
    baseline,
    kept_asking,
    observation_complete,
    offered_load,
    one_release,
    prometheus_reachable,
    version_identity,
)
from harness.verdict.measured import (
    analysis_sound,
    client_shares,
    fault_at_work,
    fault_shown,
    faults_as_configured,
    measured_outcomes,
    measured_traffic,
)
from harness.verdict.model import Check, Kind, Outcome, Taken, Verdict
from harness.verdict.release import (
    decision,
    final_weights,
    rollout_phase,
    safe_in_time,
    served_afterwards,
    stable_revision,
    user_requests,
    weight_at_steps,
    weight_sequence,
)
from harness.verdict.trust import hands_off, same_gate, steady_clock

CheckFunction = Callable[[Scenario, Observation], Check | tuple[Check, ...] | None]

CHECKS: tuple[CheckFunction, ...] = (
    observation_complete,
    as_disturbed,
    one_release,
    baseline,
    offered_load,
    kept_asking,
    version_identity,
    prometheus_reachable,
    client_shares,
    faults_as_configured,
    fault_at_work,
    fault_shown,
    analysis_sound,
    measured_traffic,
    measured_outcomes,
    decided_by_gate,
    hands_off,
    same_gate,
    steady_clock,
    decision,
    rollout_phase,
    weight_at_steps,
    weight_sequence,
    step_analyses,
    deciding_metric,
    gate_conditions,
    query_scope,
    final_weights,
    stable_revision,
    served_afterwards,
    user_requests,
    safe_in_time,
    *gitops.CHECKS,
)
"""In the order of the report: first what the experiment must be, then what the gate did."""

OF_ANALYSES = frozenset({
    client_shares, faults_as_configured, fault_shown, measured_traffic, measured_outcomes, weight_at_steps, step_analyses,
    deciding_metric, gate_conditions, query_scope, same_gate, *gitops.OF_ANALYSES,
})  # fmt: skip
"""Checks that have nothing to look at where the progress deadline decides: there is no analysis, and no traffic."""


def judge(scenario: Scenario, observation: Observation) -> Verdict:
    """Judge one release. The precedence is explained in `harness.verdict`."""
    checks = not_the_gates(scenario, _run(scenario, observation))
    taken = decision_taken(observation)
    broken = [check for check in checks if check.passed is None or (check.kind is Kind.EXPERIMENT and not check.passed)]
    wrong = [check for check in checks if check.passed is False and check.kind is Kind.DECISION]
    if broken:
        outcome, because = Outcome.INCONCLUSIVE, broken
    elif wrong:
        outcome, because = Outcome.OTHER_DECISION, wrong
    else:
        outcome, because = Outcome.EXPECTED, []
    return Verdict(outcome=outcome, taken=taken, checks=checks, summary=_summary(scenario, outcome, taken, because))


def _run(scenario: Scenario, observation: Observation) -> Iterator[Check]:
    for function in CHECKS:
        if scenario.decided_by_deadline and function in OF_ANALYSES:
            continue
        result = function(scenario, observation)
        if isinstance(result, tuple):
            yield from result
        elif result is not None:
            yield result


def _summary(scenario: Scenario, outcome: Outcome, taken: Taken, because: list[Check]) -> str:
    happened = "no decision was taken" if taken is Taken.NONE else f"{scenario.candidate} was {taken.value}"
    if outcome is Outcome.EXPECTED:
        return f"{happened}, as expected and for the expected reason."
    first = f"{because[0].name}: {because[0].actual}".rstrip(".")
    more = f" (and {len(because) - 1} more)" if len(because) > 1 else ""
    if outcome is Outcome.INCONCLUSIVE:
        return f"Inconclusive: {happened}, but this proves nothing about the gate; {first}{more}."
    return f"{happened}, but a {scenario.expect.value} for the expected reason was due; {first}{more}."
