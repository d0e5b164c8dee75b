"""Checks of the analyses: each step's AnalysisRun, the metric that decided, and what its query asked. PURE: no I/O."""

from __future__ import annotations

from dataclasses import replace

from harness.observation import MetricResult, Observation, StepAnalysis, weight_steps
from harness.observation.facts import TIMESTAMP_RESOLUTION_SECONDS, WATCH_LAG_SECONDS
from harness.scenario import REQUESTS_METRIC, Decision, Scenario
from harness.verdict.model import Check
from harness.verdict.queries import accepts, scope_problem
from harness.verdict.release import decision_check

FULL_TRAFFIC = 1_000.0
"""So many times what the first step expects is enough traffic for every gate."""


def step_analyses(scenario: Scenario, observation: Observation) -> tuple[Check, ...]:
    """One AnalysisRun for each expected step: Successful at every step, or Failed at the first and none after it."""
    by_step: dict[int, list[StepAnalysis]] = {}
    for run in observation.step_analyses:
        by_step.setdefault(run.step_index or 0, []).append(run)
    groups = list(by_step.values())  # in the order of step_index: the observation sorts them
    count = len(scenario.steps) if scenario.expect is Decision.PROMOTE else 1
    return tuple(_step_analysis(scenario, observation, groups, index) for index in range(count))


def _step_analysis(scenario: Scenario, observation: Observation, groups: list[list[StepAnalysis]], index: int) -> Check:
    promote = scenario.expect is Decision.PROMOTE
    phase = "Successful" if promote else "Failed"
    name = f"analysis at step {index + 1}"
    expected = f"exactly one AnalysisRun, {phase}, " + ("every metric met" if promote else "and none at a later step")
    runs = groups[index] if index < len(groups) else []
    if len(runs) != 1:
        return decision_check(name, False, expected, f"{len(runs)} AnalysisRuns: {', '.join(run.name for run in runs) or 'none'}")
    run = runs[0]
    problems = [] if run.phase == phase else [f"phase {run.phase or 'none'}"]
    if promote:
        problems += _unmet(scenario, run)
    elif len(groups) > 1:
        problems.append(f"{len(groups) - 1} later steps were analysed too")
    problems += _wrong_time(scenario, observation, run, index)
    return decision_check(name, not problems, expected, "; ".join(problems) or phase, _evidence(run))


def _unmet(scenario: Scenario, run: StepAnalysis) -> list[str]:
    """What keeps a Successful run from being a reason to promote."""
    problems = []
    names = [metric.name for metric in run.metrics]
    if set(names) != scenario.metric_names or len(names) != len(set(names)):
        problems.append(f"metrics are {', '.join(sorted(names)) or 'none'}")
    for metric in run.metrics:
        if metric.phase != "Successful" or metric.successful < 1 or metric.failed or metric.inconclusive:
            problems.append(f"{metric.name}: {metric.phase}, {metric.successful} successful and {metric.failed} failed")
        if metric.dry_run:
            problems.append(f"{metric.name} is a dry run: it decides nothing")
        if not metric.condition:
            problems.append(f"{metric.name} has no condition: it accepts every value")
        if metric.value is None:
            problems.append(f"{metric.name} measured no number: {metric.raw_value or 'nothing'}")
        elif not _met(scenario, metric.name, metric.value):
            problems.append(f"{metric.name} is {metric.value:g} and was accepted")
    return problems


def _met(scenario: Scenario, name: str, value: float) -> bool:
    if name == REQUESTS_METRIC:
        return value >= scenario.min_requests
    objective = scenario.objectives.get(name)
    return objective is not None and objective.met_by(value)


def _wrong_time(scenario: Scenario, observation: Observation, run: StepAnalysis, index: int) -> list[str]:
    """The analysis must have begun under its step's weight, and have watched it for a whole window."""
    changes = weight_steps(observation)
    if run.started_at is None or run.finished_at is None:
        return ["it has no start or no end"]
    problems = []
    begun = changes[index].at if index < len(changes) else None
    ended = changes[index + 1].at if index + 1 < len(changes) else None
    if begun is None or run.started_at + TIMESTAMP_RESOLUTION_SECONDS + WATCH_LAG_SECONDS < begun:
        problems.append("it began before its step's weight was in force")
    if ended is not None and run.finished_at > ended:
        problems.append("it ended after its step's weight had changed")
    if run.finished_at - run.started_at < scenario.window_seconds - TIMESTAMP_RESOLUTION_SECONDS:
        problems.append(f"it took {run.finished_at - run.started_at:.0f} s, less than one window")
    return problems


def deciding_metric(scenario: Scenario, observation: Observation) -> Check | None:
    """What aborted the release was a metric that the injected fault explains, with a number beyond its objective."""
    if scenario.expect is not Decision.ROLLBACK:
        return None
    allowed = ", ".join(sorted(scenario.deciding_metrics))
    expected = f"one of {allowed} Failed, with a value that breaks its objective"
    failed = [run for run in observation.step_analyses if run.phase == "Failed"]
    if not failed:
        return decision_check("deciding metric", False, expected, "no analysis failed")
    run = failed[0]
    blamed = [metric for metric in run.metrics if metric.phase == "Failed"]
    reasons = [metric for metric in blamed if _decides(scenario, metric)]
    requests = run.metric(REQUESTS_METRIC)
    enough = requests is not None and requests.value is not None and requests.value >= scenario.min_requests
    actual = ", ".join(f"{metric.name} {metric.phase} at {metric.raw_value or 'no value'}" for metric in blamed)
    measured = {metric.name for metric in run.metrics if metric.value is not None}
    # The controller ends the others once one has failed; only what was measured and accepted, or is not there at all, is wrong.
    blind = [
        f"{metric.name} accepted {metric.value:g}"
        for metric in run.metrics
        if metric.phase == "Successful" and metric.value is not None and not _met(scenario, metric.name, metric.value)
    ]
    blind += [f"{name} was not measured" for name in sorted(scenario.metric_names - measured)]
    if blind:
        actual += f"; but {', '.join(blind)}"
    if not enough:
        actual += f"; measured over {requests.raw_value if requests else 'an unknown number of'} requests"
    passed = bool(reasons) and enough and not blind
    return decision_check("deciding metric", passed, expected, actual or "no metric failed", _evidence(run))


def _decides(scenario: Scenario, metric: MetricResult) -> bool:
    if metric.name not in scenario.deciding_metrics or metric.dry_run or metric.failed < 1:
        return False
    return metric.value is not None and bool(metric.condition) and not scenario.objectives[metric.name].met_by(metric.value)


def gate_conditions(scenario: Scenario, observation: Observation) -> Check:
    """Every metric can decide both ways: its condition accepts what is perfect and refuses what is worst.

    The thresholds between are the user's to choose; a gate that can only say yes, or only no, is none.
    """
    problems, unread = [], []
    for run in observation.step_analyses:
        for metric in run.metrics:
            told = f"{metric.name} of {run.name}"
            if metric.forgiven:
                problems.append(f"{told} cannot fail: {metric.forgiven}")
            if metric.name in {*scenario.objectives, REQUESTS_METRIC}:
                found = _one_sided(scenario, metric)
                if found is None:
                    unread.append(f"{told}: whether it can decide both ways cannot be told of {metric.condition}")
                problems += [f"{told} {why}" for why in found or ()]
    check = decision_check(
        "gate conditions",
        not problems and bool(observation.step_analyses),
        "every metric has a success condition that can decide both ways",
        "; ".join([*problems, *unread]) or f"{sum(len(run.metrics) for run in observation.step_analyses)} conditions",
    )
    return replace(check, passed=None) if unread and not problems else check


def _one_sided(scenario: Scenario, metric: MetricResult) -> list[str] | None:
    """What keeps a condition from accepting the best value there is and refusing the worst one; None when that cannot be told."""
    objective = scenario.objectives.get(metric.name)
    best, worst = (0.0, 1.0) if objective is not None and objective.at_least is None else (1.0, 0.0)
    if metric.name == REQUESTS_METRIC:
        best = FULL_TRAFFIC * max(1.0, scenario.expected_requests(0))
    found = {value: accepts(metric.condition, value) for value in (best, worst)}
    if not metric.condition:
        return ["has no success condition"]
    if None in found.values():
        return None
    problems = [] if found[best] else [f"refuses even {best:g}: {metric.condition}"]
    return problems + ([f"accepts even {worst:g}: {metric.condition}"] if found[worst] else [])


def query_scope(_: Scenario, observation: Observation) -> Check:
    """Every resolved query asks for the candidate and nothing else: all traffic would water its faults down.

    By its revision, or, in the gateway's metrics, by the canary subset's cluster: that it holds the candidate's pods and no
    others is what the clients' shares and counts show.
    """
    problems = []
    for run in observation.step_analyses:
        for metric in run.metrics:
            why = scope_problem(metric.query, observation.candidate_hash, observation.stable_hash)
            if why:
                problems.append(f"{metric.name} of {run.name} {why}")
    queries = sum(len(run.metrics) for run in observation.step_analyses)
    return decision_check(
        "query scope",
        queries > 0 and not problems,
        f"every query is over {observation.candidate_hash}, or the canary subset's cluster, only",
        "; ".join(problems) or f"{queries} queries",
    )


def _evidence(run: StepAnalysis) -> tuple[str, ...]:
    head = f"{run.name} (uid {run.uid}): {run.phase} {run.message}".rstrip()
    return (head, *(f"{metric.name} = {metric.raw_value or 'no value'} {metric.phase}: {metric.query}" for metric in run.metrics))
