"""Checks of the experiment that set the gate's measurements against what clients saw. A failure here is exit 3. PURE: no I/O.

They notice what a gate cannot notice about itself: metrics of an earlier run, foreign traffic, retries that hide errors,
a candidate that never got traffic, a fault that was never injected.
"""

from __future__ import annotations

from harness.faults import ANALYSIS_SOUND, MEASURED_OUTCOMES, Effect, Fault, Rig, delay_quantiles, share_over
from harness.observation import (
    ACCEPTED,
    Observation,
    PodFacts,
    ResponseRecord,
    StepAnalysis,
    acceptance_interval,
    metric_bounds,
    share_at,
)
from harness.observation.measure import candidate_version
from harness.scenario import LATENCY_OBJECTIVE_MS, REQUESTS_METRIC, Decision, Scenario
from harness.verdict.experiment import experiment_check, injected
from harness.verdict.model import Check, Kind

MIN_SLOW_SHARE = 0.99
"""The share of the candidate's good answers that must have taken at least the injected latency (clocks differ a little)."""

MAX_UNASKED_SLOW = 0.05
"""The share of the candidate's answers that may take longer than the objective although nothing was injected."""

SLOW_TOLERANCE_MS = 50.0
"""What the way to the client may add to an injected delay on a busy machine."""

BEYOND_THE_APP = frozenset({Effect.GATEWAY, Effect.OUTAGE})
"""Effects that the app itself cannot count. A gate that goes by the app's metrics is blind to them, and that is its own failing:
there, a measurement that misses some of what clients got speaks of the gate and not of the experiment."""

SLOW_SECONDS = LATENCY_OBJECTIVE_MS / 1000
"""The latency objective, as the latency metric counts it."""


def client_shares(scenario: Scenario, observation: Observation) -> tuple[Check, ...]:
    """At each expected step, clients must get the candidate as often as the weight says.

    A step that was never reached is no fault of the experiment: that row then says so as a failed decision.
    """
    last = len(scenario.steps) if scenario.expect is Decision.PROMOTE else 1
    return tuple(_client_share(scenario, observation, index) for index in range(last))


def share_as_asked(count: int, requests: int, weight: int) -> tuple[bool | None, str, str]:
    """Whether so many of the clients' requests going to the candidate agree with its weight, what would, and what was seen."""
    low, high = acceptance_interval(requests, weight / 100)
    return (
        low <= count <= high if requests else None,
        f"{low} to {high} of {requests} answers ({ACCEPTED} of a Binomial at {weight} %)", f"{count} of {requests} answers",
    )  # fmt: skip


def _client_share(scenario: Scenario, observation: Observation, index: int) -> Check:
    weight = scenario.steps[index]
    name, share = f"client share at {weight} %", share_at(observation, index)
    if share is None or share.weight != weight:
        seen = "not reached" if share is None else f"the weight was {share.weight} %"
        return Check(name=name, kind=Kind.DECISION, passed=False, expected=f"{weight} % of answers", actual=seen)
    passed, expected, actual = share_as_asked(share.canary_requests, share.requests, weight)
    return Check(
        name=name,
        kind=Kind.EXPERIMENT,
        passed=passed,
        expected=expected,
        actual=actual + (f" ({share.percent:.1f} %)" if share.percent is not None else ""),
        evidence=(f"requests started from {share.start:.3f} to {share.end:.3f}",),
    )


def faults_as_configured(scenario: Scenario, observation: Observation) -> Check:
    """Clients saw the candidate fail exactly as often, and as slowly, as the scenario says it does."""
    is_candidate = candidate_version(observation)
    answers = [each for each in observation.responses if is_candidate(each)]
    errors = sum(injected(scenario, each) for each in answers)
    low, high = acceptance_interval(len(answers), scenario.error_rate_percent / 100)
    if scenario.fault.effect is Effect.OUTAGE:
        # How many requests meet a closed door is for the platform to say. Where they must decide, some do.
        low, high = int(scenario.fault.rolled_back), len(answers)
    problems = _slowness(scenario, [each for each in answers if each.pod is not None])
    if not low <= errors <= high:
        problems.insert(0, f"{errors} of {len(answers)} answers were errors: retries hide them, or the fault is another one")
    injects = "some" if scenario.fault.effect is Effect.OUTAGE else f"{scenario.error_rate_percent:g} %"
    check = experiment_check(
        "injected faults",
        problems,
        expected=f"{injects} errors ({low} to {high} of {len(answers)}), {scenario.latency_ms:g} ms more",
        actual=f"{errors} errors in {len(answers)} answers of {scenario.candidate}",
    )
    if answers:
        return check
    return Check(
        name=check.name, kind=check.kind, passed=None, expected=check.expected, actual="the candidate never answered a client"
    )


def _slowness(scenario: Scenario, answers: list[ResponseRecord]) -> list[str]:
    """What is wrong with how long the candidate's own answers took."""
    problems = []
    # Errors are delayed as well, so all answers count.
    slow = sum(each.latency_seconds >= scenario.latency_ms / 1000 for each in answers)
    if scenario.latency_ms and slow < MIN_SLOW_SHARE * len(answers):
        problems.append(f"only {slow} of {len(answers)} answers took {scenario.latency_ms:g} ms or more")
    late = sum(each.latency_seconds > SLOW_SECONDS for each in answers)
    if scenario.slow_share == 0 and late > MAX_UNASKED_SLOW * len(answers):
        problems.append(f"{late} of {len(answers)} answers took over {SLOW_SECONDS:g} s, and nobody asked for that")
    elif 0 < scenario.slow_share < 1:
        low, _ = acceptance_interval(len(answers), scenario.slow_share)
        quantiles = delay_quantiles(scenario.fault.settings)
        _, high = acceptance_interval(len(answers), share_over(quantiles, LATENCY_OBJECTIVE_MS - SLOW_TOLERANCE_MS))
        if not low <= late <= high:
            problems.append(f"{late} of {len(answers)} answers took over {SLOW_SECONDS:g} s, not {low} to {high} of them")
    return problems


def fault_at_work(scenario: Scenario, observation: Observation) -> Check | None:
    """A fault that shows in no answer's status or duration must have been seen at work elsewhere: in pods, or their counts."""
    kind, pods, promise = scenario.fault.kind, observation.candidate_pods, ""
    if scenario.fault.effect is Effect.UNSEEN:
        count = observation.faults_injected.get(kind, 0.0)
        promise, seen, told = f"the candidate says that it injected {kind}", count > 0, f"{count:g} times"
    elif scenario.decided_by_deadline:
        promise, seen = _broken_start(scenario.fault, pods)
        told = f"{'ran' if pods.ran else 'never ran'}, {'ready' if pods.ever_ready else 'never ready'}"
        told += f", waited for {', '.join(sorted(pods.waiting))}" if pods.waiting else ""
        answered = sum(map(candidate_version(observation), observation.responses))
        seen, told = seen and answered == 0, f"{told}, {answered} answers"
    elif scenario.fault.effect is Effect.OUTAGE:
        promise, seen = "the candidate's pods restarted or stopped being ready", pods.restarts + pods.readiness_losses > 0
        told = f"{pods.restarts} restarts, ready no more {pods.readiness_losses} times"
    else:
        return None
    return experiment_check("fault at work", [] if seen else [told], expected=promise, actual=told)


def _broken_start(fault: Fault, pods: PodFacts) -> tuple[str, bool]:
    """What the pods of a candidate that is never ready must have shown, and whether they did."""
    if not fault.waiting:
        return "the candidate's pods ran, and none was ever ready", pods.ran and not pods.ever_ready
    # An image that cannot be had never runs. A process that exits at once did, whether or not it was caught at it.
    right = bool(pods.waiting & fault.waiting) and not pods.ever_ready and not (pods.ran and fault.rig is Rig.ABSENT_IMAGE)
    return f"the candidate's pods waited for {' or '.join(sorted(fault.waiting))}, and none was ever ready", right


def fault_shown(scenario: Scenario, observation: Observation) -> Check | None:
    """The first window held the fault. A gate that was shown no broken promise was right to go on: the sample was too small.

    A fault that is within the objectives is another matter: the gate must promote it, and the scenario is what is wrong. And
    where a gate may look in the wrong place, what clients got tells whether the fault was there.
    """
    if scenario.expect is not Decision.ROLLBACK or not scenario.breaks_an_objective or not observation.step_analyses:
        return None
    first = observation.step_analyses[0]
    values = _client_values(scenario, observation) if scenario.fault.effect in BEYOND_THE_APP else {
        name: metric.value
        for name in sorted(scenario.deciding_metrics)
        if (metric := first.metric(name)) is not None and metric.value is not None
    }  # fmt: skip
    kept = bool(values) and all(scenario.objectives[name].met_by(value) for name, value in values.items())
    told = ", ".join(f"{name} {value:g}" for name, value in values.items()) or "nothing was measured"
    problems = ["every promise was kept there, so the gate had no reason: raise --rps or --window, or try another --seed"]
    return experiment_check(
        "fault shown",
        problems if kept and first.phase == "Successful" else [],
        expected="the injected fault breaks an objective within the first window",
        actual=told,
        evidence=(told,),
    )


def _client_values(scenario: Scenario, observation: Observation) -> dict[str, float]:
    """The error metrics of the first step as clients saw them."""
    share, is_candidate = share_at(observation, 0), candidate_version(observation)
    if share is None or not share.canary_requests:
        return {}
    during = [each for each in observation.responses if share.start <= each.started < share.end]
    errors = sum(is_candidate(each) and injected(scenario, each) for each in during)
    rate = errors / share.canary_requests
    return {"error-rate": rate, "success-rate": 1 - rate}


def analysis_sound(_: Scenario, observation: Observation) -> Check:
    """No analysis ended in Error or Inconclusive, and none had too little traffic to measure."""
    problems = []
    for run in observation.step_analyses:
        if run.phase in {"Error", "Inconclusive"}:
            problems.append(
                f"{run.name} ended in phase {run.phase}: {run.message or 'no message'}; look at Prometheus and the queries"
            )
        problems += [
            f"metric {metric.name} of {run.name} ended in phase {metric.phase}: {metric.message}"
            for metric in run.metrics
            if metric.phase in {"Error", "Inconclusive"}
        ]
        requests = run.metric(REQUESTS_METRIC)
        if requests is not None and requests.phase == "Failed":
            problems.append(
                f"too little traffic: {run.name} measured {requests.raw_value or 'nothing'} canary requests "
                f"({requests.condition}); raise --rps or --window"
            )
    return experiment_check(
        ANALYSIS_SOUND,
        problems,
        expected="every analysis had the traffic and the metrics to decide",
        actual=f"{len(observation.step_analyses)} analyses, all measurable",
    )


def measured_traffic(scenario: Scenario, observation: Observation) -> Check:
    """The gate counted the requests that clients sent to the candidate, no others, and in this window."""
    is_candidate = candidate_version(observation)
    times = [each.at for each in observation.responses if is_candidate(each)]
    problems, evidence, blind = [], [], _may_be_blind(scenario)
    for run in observation.step_analyses:
        metric = run.metric(REQUESTS_METRIC)
        if metric is None or metric.value is None or metric.measured_at is None:
            continue
        bounds = metric_bounds(times, metric.measured_at, scenario.window_seconds, observation.scrape_interval_seconds)
        evidence.append(f"{run.name}: measured {metric.value:g}, clients counted {bounds.low:.0f} to {bounds.high:.0f}")
        if not bounds.hold(metric.value):
            problems.append(evidence[-1])
            blind = blind and metric.value < bounds.low
    return _measured(blind, "measured traffic", problems, evidence, "the requests metric agrees with what clients counted")


def measured_outcomes(scenario: Scenario, observation: Observation) -> Check:
    """The gate counted the errors that clients got, and called no answer slow that reached them fast."""
    is_candidate = candidate_version(observation)
    answers = [each for each in observation.responses if is_candidate(each)]
    errors = [each.at for each in answers if each.status >= 500]
    slow = [each.at for each in answers if each.latency_seconds > SLOW_SECONDS]
    problems, evidence, blind = [], [], _may_be_blind(scenario)
    for run in observation.step_analyses:
        for name, events in (("success-rate", errors), ("error-rate", errors), ("latency-p95", slow)):
            count, at = _events(run, name), _measured_at(run, name)
            if count is None or at is None:
                continue
            bounds = metric_bounds(events, at, scenario.window_seconds, observation.scrape_interval_seconds)
            evidence.append(f"{run.name} {name}: measured {count:.1f}, clients counted {bounds.low:.0f} to {bounds.high:.0f}")
            # Clients also wait for the gateway and for themselves: only the app may not have been slower than they saw.
            # With a latency beyond the objective the app itself is slow each time, and then the count is exact.
            exact = name != "latency-p95" or scenario.latency_ms > LATENCY_OBJECTIVE_MS
            if count > bounds.high or (exact and count < bounds.low):
                problems.append(evidence[-1])
                blind = blind and count < bounds.low
    return _measured(blind, MEASURED_OUTCOMES, problems, evidence, "measured errors and slow answers agree with the clients'")


def _events(run: StepAnalysis, name: str) -> float | None:
    """How many bad answers a ratio stands for: the ratio times the number of requests that it was taken over."""
    metric, requests = run.metric(name), run.metric(REQUESTS_METRIC)
    if metric is None or requests is None or metric.value is None or requests.value is None:
        return None
    return requests.value * (metric.value if name == "error-rate" else 1 - metric.value)


def _measured_at(run: StepAnalysis, name: str) -> float | None:
    metric = run.metric(name)
    return metric.measured_at if metric else None


def _may_be_blind(scenario: Scenario) -> bool:
    return scenario.fault.effect in BEYOND_THE_APP


def _measured(blind: bool, name: str, problems: list[str], evidence: list[str], expected: str) -> Check:
    return Check(
        name=name,
        kind=Kind.DECISION if blind else Kind.EXPERIMENT,
        passed=not problems if evidence else None,
        expected=expected,
        actual="; ".join(problems) or (f"{len(evidence)} measurements agree" if evidence else "nothing was measured"),
        evidence=tuple(evidence),
    )
