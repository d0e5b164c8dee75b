"""From API objects to facts, and from facts to numbers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import comb
from typing import Any

import pytest
import verdict_world as w
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import observation as obs
from harness.observation.measure import CONFIDENCE
from harness.observation.parse import parse_value


def answer(started: float, *, canary: bool = False, status: int = 200, seconds: float = 0.01) -> obs.ResponseRecord:
    pod_hash = w.CANDIDATE if canary else w.STABLE
    return obs.ResponseRecord(
        at=started + seconds,
        started=started,
        status=status,
        version="v1.1" if canary else "v1.0",
        pod=f"webapp-{pod_hash}-abcde",
        latency_seconds=seconds,
    )


def observe(**facts: Any) -> obs.Observation:
    """An observation that starts at 1000 and has only these facts."""
    base = replace(w.World(scenario=w.PROMOTED_SCENARIO).observation(), release_started_at=1000.0, ended_at=1100.0)
    return replace(base, **facts)


def change(at: float, canary: int) -> obs.WeightChange:
    return obs.WeightChange(at=at, stable=100 - canary, canary=canary)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[0.95]", 0.95), ("0.95", 0.95), ("[1e-05]", 1e-05), ("[0]", 0.0), (" [3] ", 3.0),
        ("[]", None), ("", None), ("[NaN]", None), ("NaN", None), ("[+Inf]", None), ("[-Inf]", None), ("[1,2]", None),
        ("x", None),
    ],
)  # fmt: skip
def test_values_of_measurements(text: str, value: float | None) -> None:
    assert parse_value(text) == value


def test_an_analysis_run_is_read_whole() -> None:
    run = obs.parse_analysis_run(w.good_rollback().runs[0])
    assert (run.name, run.namespace, run.owner_uid, run.step_index) == (f"webapp-{w.CANDIDATE}-2-1", "webapp", w.UID, 1)
    assert (run.pod_template_hash, run.revision, run.phase, run.terminated) == (w.CANDIDATE, "2", "Failed", False)
    assert run.message.startswith('Metric "success-rate" assessed Failed')
    assert run.started_at is not None
    assert run.finished_at == run.started_at + w.WINDOW
    metric = run.metric("success-rate")
    assert metric is not None
    assert (metric.phase, metric.value, metric.raw_value, metric.failed, metric.successful) == ("Failed", 0.95, "[0.95]", 1, 0)
    assert metric.condition == w.CONDITIONS["success-rate"]
    assert w.CANDIDATE in metric.query
    assert metric.measured_at == run.finished_at
    assert run.metric("nothing") is None


def test_the_last_measurement_counts() -> None:
    """An error is retried: what was measured last decided."""
    run = w.good_promote().runs[0]
    result = run["status"]["metricResults"][1]
    result["measurements"].insert(0, {"phase": "Error", "message": "connection refused"})
    metric = obs.parse_analysis_run(run).metric("success-rate")
    assert metric is not None
    assert metric.value == 1.0


def test_empty_objects_are_no_evidence() -> None:
    run = obs.parse_analysis_run({})
    assert (run.step_index, run.phase, run.metrics, run.owner_uid) == (None, "", (), "")
    state = obs.parse_rollout({}, 5.0)
    assert (state.phase, state.abort, state.stable_weight, state.image) == ("", False, None, "")
    assert obs.parse_weights({}, 5.0) is None
    assert obs.parse_time(None) is None


def test_an_owner_that_is_no_rollout_is_none() -> None:
    run = w.good_promote().runs[0]
    run["metadata"]["ownerReferences"][0]["kind"] = "Experiment"
    assert obs.parse_analysis_run(run).owner_uid == ""


def test_a_rollout_is_read_whole() -> None:
    state = obs.parse_rollout(w.rollout(phase="Degraded", message=w.ABORTED, weight=0, aborted=w.START), 7.0)
    assert (state.at, state.uid, state.generation, state.revision, state.phase) == (7.0, w.UID, 3, "2", "Degraded")
    assert (state.abort, state.aborted_at) == (True, w.START - 0.4)
    assert (state.stable_hash, state.current_hash, state.stable_weight, state.canary_weight) == (w.STABLE, w.CANDIDATE, 100, 0)
    assert state.image == w.IMAGES[w.CANDIDATE]


def test_weights_by_subset_and_by_service() -> None:
    by_subset = obs.parse_weights(w.virtual_service(30, 4), 7.0)
    assert by_subset == obs.WeightChange(at=7.0, stable=70, canary=30, generation=4, resource_version="1004")
    service = w.virtual_service(30)
    for destination, host in zip(service["spec"]["http"][0]["route"], ("webapp-stable", "webapp-canary"), strict=True):
        destination["destination"] = {"host": f"{host}.webapp.svc.cluster.local"}
    by_service = obs.parse_weights(service, 7.0)
    assert by_service is not None
    assert (by_service.stable, by_service.canary) == (70, 30)


def test_another_route_has_no_weights() -> None:
    assert obs.parse_weights(w.virtual_service(30), 7.0, route="other") is None


def test_the_release_is_the_newest_replica_set_of_its_image() -> None:
    old, new = w.replica_set(w.CANDIDATE, 2), w.replica_set(w.CANDIDATE, 4)
    new["metadata"]["labels"]["rollouts-pod-template-hash"] = "newer"
    foreign = w.replica_set(w.CANDIDATE, 9)
    foreign["metadata"]["ownerReferences"][0]["uid"] = "other"
    sets = [w.replica_set(w.STABLE, 1), new, old, foreign]
    assert obs.hash_of_release(sets, w.UID, w.IMAGES[w.CANDIDATE]) == "newer"
    assert obs.hash_of_release(sets, w.UID, "unknown") is None


def test_weight_steps_leave_out_repeats_and_what_was_before() -> None:
    changes = tuple(change(at, canary) for at, canary in ((900, 0), (1001, 0), (1002, 10), (1003, 10), (1010, 30), (1020, 0)))
    steps = obs.weight_steps(observe(weight_changes=changes))
    assert [(step.at, step.canary) for step in steps] == [(1002, 10), (1010, 30), (1020, 0)]


def test_share_counts_what_started_between_settling_and_the_next_change() -> None:
    responses = (
        answer(1010.0, canary=True),  # the change itself: not settled
        answer(1011.999, canary=True),
        answer(1012.0, canary=True),  # counted
        answer(1015.0),  # counted
        answer(1019.999, seconds=9),  # counted: it started inside
        answer(1020.0, canary=True),  # the next weight's
    )
    seen = observe(weight_changes=(change(1010, 10), change(1020, 30)), responses=responses, settle_seconds=2.0)
    share = obs.share_at(seen, 0)
    assert share == obs.Share(weight=10, start=1012.0, end=1020, requests=3, canary_requests=1)
    assert obs.share_at(seen, 2) is None


def test_a_change_sooner_than_settling_has_no_requests() -> None:
    seen = observe(weight_changes=(change(1010, 10), change(1011, 30)), responses=(answer(1010.5),))
    share = obs.share_at(seen, 0)
    assert share is not None
    assert (share.requests, share.percent, share.end) == (0, None, share.start)


def test_a_version_header_alone_does_not_make_a_candidate() -> None:
    impostor = replace(answer(1015.0), version="v1.1")
    share = obs.share_at(observe(weight_changes=(change(1010, 10),), responses=(impostor,)), 0)
    assert share is not None
    assert share.canary_requests == 0


@pytest.mark.parametrize("n", [0, 1, 20, 1000])
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certainties_accept_only_themselves(n: int, p: float) -> None:
    assert obs.acceptance_interval(n, p) == (n * p, n * p)


@pytest.mark.parametrize(("n", "p"), [(-1, 0.5), (10, -0.1), (10, 1.1), (10, float("nan"))])
def test_no_such_distribution(n: int, p: float) -> None:
    with pytest.raises(ValueError, match="no binomial distribution"):
        obs.acceptance_interval(n, p)


def mass(n: int, percent: int, counts: range) -> Fraction:
    """P(X in counts) for X ~ Binomial(n, percent/100), in exact arithmetic."""
    p = Fraction(percent, 100)
    return sum((comb(n, k) * p**k * (1 - p) ** (n - k) for k in counts), Fraction(0))


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 120), percent=st.integers(0, 100))
def test_a_true_share_is_flagged_no_more_often_than_stated(n: int, percent: int) -> None:
    low, high = obs.acceptance_interval(n, percent / 100)
    tail = (1 - Fraction(str(CONFIDENCE))) / 2
    slack = Fraction(1, 10**9)  # the interval is computed in floating point
    assert mass(n, percent, range(low)) <= tail + slack
    assert mass(n, percent, range(high + 1, n + 1)) <= tail + slack
    # And no wider than it must be: one count less on either side would flag too often.
    if low > 0 and percent < 100:
        assert mass(n, percent, range(low + 1)) > tail - slack
    if high < n and percent > 0:
        assert mass(n, percent, range(high, n + 1)) > tail - slack


def test_a_wrong_share_is_seen() -> None:
    """At the default load a canary that gets 5 or 17 % instead of 10 % is outside."""
    low, high = obs.acceptance_interval(3000, 0.10)
    assert low > 3000 * 0.05
    assert high < 3000 * 0.17


def test_failures_are_split_by_who_answered() -> None:
    nobody = replace(answer(1001.0, status=0), version=None, pod=None)
    seen = [
        answer(1001.0),
        answer(1001.0, status=302),
        answer(1001.0, status=404),
        answer(1001.0, canary=True, status=500),
        nobody,
    ]
    failed = obs.failed_requests(seen)
    assert (failed.of("v1.0"), failed.of("v1.1"), failed.of("v9"), failed.without_version, failed.total) == (1, 1, 0, 1, 3)


@pytest.mark.parametrize(
    ("seen_at", "aborted_at", "expected"),
    [
        (1050.4, 1050.0, 1050.4),  # the watch was quick
        (1053.0, 1050.0, 1051.0),  # the watch was late: the stamp says more
        (1049.9, 1050.0, 1050.0),  # clocks differ: never before the stamp
        (1050.4, None, 1050.4),
    ],
)
def test_abort_time_between_the_stamp_and_the_watch(seen_at: float, aborted_at: float | None, expected: float) -> None:
    state = replace(obs.parse_rollout(w.rollout(), seen_at), abort=True, aborted_at=aborted_at)
    assert obs.abort_time(observe(rollout_states=(state,))) == expected


def test_times_to_detect_and_to_be_safe() -> None:
    state = replace(obs.parse_rollout(w.rollout(), 1050.0), abort=True)
    responses = (answer(1010.0), answer(1020.0, canary=True), answer(1052.0, canary=True), answer(1060.0))
    seen = observe(rollout_states=(state,), responses=responses)
    assert obs.time_to_detect(seen) == pytest.approx(29.99)
    assert obs.time_to_safe(seen) == pytest.approx(2.0)
    assert obs.time_to_safe(replace(seen, responses=responses[:2])) == 0.0
    assert obs.time_to_safe(replace(seen, rollout_states=())) is None
    assert obs.time_to_detect(replace(seen, responses=responses[:1])) is None


def test_rates() -> None:
    responses = [answer(1000 + n / 10) for n in range(30)]
    assert obs.achieved_rate(responses, 1000, 1002) == pytest.approx(10)
    assert obs.achieved_rate(responses, 1002, 1002) == 0
    assert obs.achieved_per_second(responses, 1000, 1004.5) == (10, 10, 10, 0)


@settings(deadline=None)
@given(window=st.floats(5, 120), rps=st.floats(0.5, 100), offset=st.floats(0, 1), lag=st.floats(0, 1))
def test_a_correct_measurement_agrees_with_the_clients(window: float, rps: float, offset: float, lag: float) -> None:
    """Whatever the sub-second at which it was taken and the scrape's age, a true count lies inside the bounds."""
    times = [n / rps for n in range(int(300 * rps))]
    true_time = 200 + offset
    counted = sum(true_time - lag - window < at <= true_time - lag for at in times)
    assert obs.metric_bounds(times, 200.0, window, 1.0).hold(counted)


def test_another_window_does_not_agree() -> None:
    times = [n / 5 for n in range(1000)]
    assert not obs.metric_bounds(times, 150.0, 60.0, 1.0).hold(150)
    assert obs.metric_bounds(times, 150.0, 60.0, 1.0).hold(300)
    assert not obs.metric_bounds(times, 150.0, 60.0, 1.0).hold(400)


def test_only_analyses_of_this_release_are_its_own() -> None:
    world = w.good_promote()
    seen = world.observation()
    assert [run.step_index for run in seen.step_analyses] == [1, 3, 5]
    first = seen.step_analyses[0]
    strangers = (
        replace(first, namespace="other"),
        replace(first, owner_uid="other"),
        replace(first, pod_template_hash=w.STABLE),
        replace(first, step_index=None),
        replace(first, created_at=None),
        replace(first, created_at=w.START - 2),
    )
    assert replace(seen, analyses=strangers).step_analyses == ()


def test_a_spec_that_the_controller_writes_back_in_its_own_form_is_the_same_spec() -> None:
    helms, controllers = w.rollout(generation=3), w.rollout(generation=4)
    helms["spec"]["strategy"] = {"canary": {"dynamicStableScale": False, "steps": [{"setWeight": 10}], "rollbackWindow": None}}
    controllers["spec"]["strategy"] = {"canary": {"steps": [{"setWeight": 10}]}}
    controllers["spec"]["template"]["metadata"] = {"creationTimestamp": None}
    first, second = (obs.parse_rollout(each, 1.0).spec_digest for each in (helms, controllers))
    assert first == second
    controllers["spec"]["strategy"]["canary"]["steps"][0]["setWeight"] = 11
    assert obs.parse_rollout(controllers, 1.0).spec_digest != first
