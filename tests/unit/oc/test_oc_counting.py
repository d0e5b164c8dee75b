"""Gates that bear failures, and analyses in the background: against enumeration, the controller's rules, and the simulation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from oc_cases import (
    ENOUGH,
    ERROR_RATE,
    ERRORS,
    LATENCY,
    REQUESTS,
    SPEC,
    SUCCESS_RATE,
    analysis,
    as_documents,
    gate,
    metric,
    rollout,
    template,
)
from scipy import stats

from harness.oc import advice, counting
from harness.oc.exact import characteristic, prepare
from harness.oc.gate import ERROR, FAILS, INCONCLUSIVE, PASSES, Cause, Gate, Limits
from harness.oc.looks import looks
from harness.oc.reading import read_gate
from harness.oc.result import Characteristic
from harness.oc.simulate import Chain, simulate
from harness.oc.timeline import DONE, LOST, START, Tally, count
from harness.replay.analysis import Measurement, Metric, metric_of, play

SHARE = f"{ERRORS} / {REQUESTS}"
IDEAL = {"scrape_interval": 0.5, "settle": 0.0, "late": 0.0, "react": 0.0, "lead": 2.0}
SURE = 0.9999


def at(made: Gate, rates: list[float], *, rps: float, slow: float = 0.0, kind: str = "split") -> Characteristic:
    return characteristic(prepare(made, rps=rps, kind=kind), np.array(rates), slow)


def stepwise(*metrics: dict[str, Any], weights: tuple[int, ...] = (50,), **spec: Any) -> Gate:
    steps = [step for weight in weights for step in ({"setWeight": weight}, analysis())]
    return read_gate(as_documents(rollout(steps, **spec), template(metrics)))


def beside(steps: list[dict[str, Any]], *metrics: dict[str, Any], **more: Any) -> Gate:
    """A gate with an analysis in the background."""
    made = rollout(steps)
    made["spec"]["strategy"]["canary"]["analysis"] = {**analysis("slo")["analysis"], **more}
    return read_gate(as_documents(made, template(metrics)))


def test_both_ways_to_compute_agree_where_nothing_is_borne() -> None:
    made, p, s = gate(*SPEC), np.array([0, 0.004, 0.01, 0.5, 1]), np.array([0.02, 0.05, 0, 0, 0.1])
    one = characteristic(prepare(made, rps=5), p, s)
    other = counting.characteristic(made, 5, counting.courses(made, 5, "split"), p, s)
    for field in ("rollback", "by_step", "seconds", "failed"):
        assert getattr(one, field) == pytest.approx(getattr(other, field), rel=1e-12, abs=1e-13)
    for cause in Cause:
        assert one.by_cause[cause] == pytest.approx(other.by_cause[cause], abs=1e-13)


LETTERS = {PASSES: "Successful", INCONCLUSIVE: "Inconclusive", FAILS: "Failed", ERROR: "Error"}


def rules(limits: Limits, times: int) -> Metric:
    spec = {
        "name": "m", "provider": {"prometheus": {}}, "interval": "10s", "count": times, "failureLimit": limits.failures,
        "inconclusiveLimit": limits.inconclusive, "consecutiveSuccessLimit": limits.successes, "consecutiveErrorLimit": 0,
    }  # fmt: skip
    return metric_of(spec)


@pytest.mark.parametrize("limits", [
    Limits(), Limits(failures=1), Limits(failures=2, inconclusive=1), Limits(failures=-1, successes=2),
    Limits(failures=1, successes=3), Limits(failures=1, inconclusive=1, successes=2),
], ids=str)  # fmt: skip
def test_a_metric_is_counted_as_the_controller_counts(limits: Limits) -> None:
    for outcomes in itertools.product(LETTERS, repeat=5):
        tally: Tally = START
        for number, outcome in enumerate(outcomes):
            tally = count(limits, tally, outcome, last=number == 4)
        told = iter(outcomes)
        wanted = play([rules(limits, 5)], lambda _, now, told=told: Measurement(at_ms=now, phase=LETTERS[next(told)]),
                      start_ms=0, until_ms=10**6)  # fmt: skip
        assert tally == (DONE if wanted.phase == "Successful" else LOST), (outcomes, wanted)


def falls(total: int, w: Fraction, p: Fraction) -> Iterator[tuple[int, int, Fraction]]:
    """(requests, errors, probability) of every way that the requests of a window can fall."""
    for n in range(total + 1):
        for x in range(n + 1):
            chance = math.comb(total, n) * w**n * (1 - w) ** (total - n) * math.comb(n, x) * p**x * (1 - p) ** (n - x)
            yield n, x, chance


def enumerated(specs: list[dict[str, Any]], total: int, w: Fraction, p: Fraction, times: int) -> tuple[Fraction, Fraction]:
    """P(not promoted) and the expected seconds: all that can be measured, decided by the rules of harness.replay."""
    classes: dict[tuple[str, ...], Fraction] = {}
    for n, x, chance in falls(total, w, p):
        found = tuple(spec["judge"](n, x) for spec in specs)
        classes[found] = classes.get(found, Fraction(0)) + chance
    metrics = [metric_of({**spec["spec"], "provider": {"prometheus": {}}}) for spec in specs]
    lost, seconds = Fraction(0), Fraction(0)
    for seen in itertools.product(classes, repeat=times):
        chance = math.prod((classes[each] for each in seen), start=Fraction(1))

        def measure(its: Metric, now: int, seen: tuple[tuple[str, ...], ...] = seen) -> Measurement:
            return Measurement(at_ms=now, phase=seen[now // 60_000 - 1][[each.name for each in metrics].index(its.name)])

        outcome = play(metrics, measure, start_ms=0, until_ms=10**7)
        lost += chance * (outcome.phase != "Successful")
        seconds += chance * Fraction(outcome.at_ms, 1000)
    return lost, seconds


def phase(good: bool, *, gap: bool = False) -> str:
    return "Successful" if good else "Inconclusive" if gap else "Failed"


def spec_of(made: dict[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in made.items() if key != "provider"}


STRICT = metric("strict", f"round({SHARE}, 1e-8)", "result[0] < 0.2", interval="60s", count=4, failureLimit=2)
LOOSE = metric("loose", f"round({SHARE}, 1e-8)", "result[0] <= 0.5", interval="60s", count=3, failureLimit=1)
MANY = metric("many", f"round({REQUESTS})", "result[0] >= 2", interval="60s", count=4, failureLimit=1)
GAP = {**metric("gap", f"round({SHARE}, 1e-8)", "result[0] < 0.2", interval="60s", count=4, failureLimit=1, inconclusiveLimit=1),
       "failureCondition": "result[0] > 0.6"}  # fmt: skip
ROW = metric("row", STRICT["provider"]["prometheus"]["query"], "result[0] < 0.2", interval="60s", count=3, failureLimit=1,
             consecutiveSuccessLimit=2)  # fmt: skip
OPEN = {**ROW, "name": "open", "count": None}
JUDGES = {
    "strict": lambda n, x: phase(n > 0 and 5 * x < n), "loose": lambda n, x: phase(n > 0 and 2 * x <= n),
    "many": lambda n, _: phase(n >= 2), "row": lambda n, x: phase(n > 0 and 5 * x < n),
    # No requests are NaN, which is neither below the one limit nor above the other.
    "gap": lambda n, x: phase(n > 0 and 5 * x < n, gap=n == 0 or 5 * x <= 3 * n),
}  # fmt: skip
JUDGES["open"] = JUDGES["row"]


@pytest.mark.parametrize("p", [0.0, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("chosen", [[STRICT], [STRICT, LOOSE], [STRICT, LOOSE, MANY], [GAP], [GAP, LOOSE], [ROW], [OPEN],
                                    [ROW, LOOSE]], ids=lambda those: "+".join(each["name"] for each in those))  # fmt: skip
def test_against_enumeration(chosen: list[dict[str, Any]], p: float) -> None:
    total = 4
    found = at(stepwise(*chosen), [p], rps=total / 60)
    specs = [{"spec": spec_of(each), "judge": JUDGES[each["name"]]} for each in chosen]
    lost, seconds = enumerated(specs, total, Fraction(1, 2), Fraction(p), 4)
    assert found.rollback[0] == pytest.approx(float(lost), abs=1e-12)
    assert found.seconds[0] == pytest.approx(float(seconds), abs=1e-9)
    assert sum(each[0] for each in found.by_cause.values()) == pytest.approx(float(lost), abs=1e-12)
    assert found.failed[0] == pytest.approx(float(seconds) * total / 60 * 0.5 * p)


def test_two_steps_count_anew() -> None:
    one, two = at(stepwise(STRICT), [0.1], rps=1), at(stepwise(STRICT, weights=(50, 50)), [0.1], rps=1)
    assert two.rollback[0] == pytest.approx(1 - (1 - one.rollback[0]) ** 2)
    assert two.by_step[:, 0] == pytest.approx([one.rollback[0], (1 - one.rollback[0]) * one.rollback[0]])


def test_as_many_failures_as_measurements_stop_nothing() -> None:
    never = metric("never", SHARE, "result[0] < 0.2", interval="60s", count=3, failureLimit=3)
    made = stepwise(never)
    assert at(made, [1.0], rps=10).rollback[0] == 0
    assert made.notes[0] == "metric never stops nothing by failing: it bears 3, and is measured 3 x"
    assert "it bears 5, and is measured 5 x" in beside(STEPS, {**PACE, "failureLimit": 5}).notes[-1]
    assert advice.threshold(made, "errors") is None
    assert advice.threshold(stepwise({**never, "failureLimit": 2}), "errors") == pytest.approx(0.2, abs=1e-5)


PACE = metric("pace", SHARE, "result[0] < 0.02", interval="60s", count=None, failureLimit=1)
STEPS = [{"setWeight": 10}, {"pause": {"duration": "1m"}}, {"setWeight": 30}, {"pause": {"duration": "3m"}}, {"setWeight": 60},
         {"pause": {"duration": "90s"}}]  # fmt: skip


def lost_of(chances: list[float], borne: int) -> float:
    """P(more than so many of these fail), by enumeration."""
    found = 0.0
    for fails in itertools.product((False, True), repeat=len(chances)):
        if sum(fails) > borne:
            found += math.prod(q if each else 1 - q for each, q in zip(fails, chances, strict=True))
    return found


def failing(requests: float, p: float) -> float:
    """P(a window fails), when 2 % errors or more fail it."""
    return float(stats.binom.sf(math.ceil(0.02 * requests) - 1, requests, p))


@pytest.mark.parametrize(("starting", "windows"), [
    # (at, requests): 10 a second; 60 s at 10 %, 180 s at 30 %, 90 s at 60 %; the window at 300 s sees 60 s of the last.
    (None, [60, 180, 180, 180, 360]), (2, [180, 180, 180, 360]), (4, [360]),
])  # fmt: skip
def test_a_background_without_a_count_is_measured_until_the_steps_end(starting: int | None, windows: list[float]) -> None:
    more = {} if starting is None else {"startingStep": starting}
    made = beside(STEPS, PACE, **more)
    for p in (0.0, 0.01, 0.02, 0.05):
        found = at(made, [p], rps=10, kind="fixed")
        assert found.rollback[0] == pytest.approx(lost_of([failing(n, p) for n in windows], 1), abs=1e-12)
    assert at(made, [0.0], rps=10).seconds[0] == pytest.approx(330)


def test_a_background_with_a_count_ends_by_itself() -> None:
    made = beside(STEPS, {**PACE, "count": 2})
    assert at(made, [0.02], rps=10, kind="fixed").rollback[0] == pytest.approx(failing(60, 0.02) * failing(180, 0.02))


def test_a_window_of_the_background_sees_two_weights() -> None:
    steps = [{"setWeight": 10}, {"pause": {"duration": "80s"}}, {"setWeight": 50}, {"pause": {"duration": "50s"}}]
    (first, second) = looks(beside(steps, PACE), 10, "fixed")
    assert [look.numbers.tolist() for look in (*first, *second)] == [[60], [20 + 200]]


def test_a_background_and_a_step_that_look_at_the_same_requests_do_not_fail_apart() -> None:
    step, background = template([metric(*ERROR_RATE)], "step"), template([{**PACE, "failureLimit": 0}], "slo")
    made = rollout([{"setWeight": 10}, analysis("step"), {"pause": {"duration": "30s"}}])
    alone = read_gate(as_documents(made, step))
    made["spec"]["strategy"]["canary"]["analysis"] = analysis("slo")["analysis"]
    both = read_gate(as_documents(made, step, background))
    # 1 % and 2 % of the same window: who fails the second fails the first.
    assert at(both, [0.01], rps=20).rollback[0] == pytest.approx(at(alone, [0.01], rps=20).rollback[0], abs=1e-12)


def agrees(made: Gate, p: float, *, rps: float, runs: int = 1500, slow: float = 0.0) -> Characteristic:
    found = at(made, [p], rps=rps, slow=slow)
    played = simulate(made, Chain(rps=rps, **IDEAL), error_rate=p, slow_share=slow, runs=runs, seed=2)  # type: ignore[arg-type]
    low, high = played.interval(SURE)
    assert low <= found.rollback[0] <= high, (low, found.rollback[0], high)
    assert 0.02 < found.rollback[0] < 0.98
    assert played.seconds / runs == pytest.approx(found.seconds[0], rel=0.03)
    assert played.failed / runs == pytest.approx(found.failed[0], rel=0.06)
    for index in range(len(made.steps)):
        assert played.by_step.get(index, 0) / runs == pytest.approx(found.by_step[index][0], abs=0.06)
    for cause in Cause:
        assert played.by_cause[cause] / runs == pytest.approx(found.by_cause[cause][0], abs=0.06)
    return found


@pytest.mark.parametrize("name", ["failures", "row", "open row", "gap", "several", "background", "both"])
def test_the_simulation_agrees_where_no_windows_overlap(name: str) -> None:
    two = metric(*SUCCESS_RATE, interval="60s", count=4, failureLimit=2)
    row = metric(*SUCCESS_RATE, interval="60s", count=4, failureLimit=1, consecutiveSuccessLimit=3)
    gap = {**metric("gap", SHARE, "result[0] < 0.01", interval="60s", count=3, inconclusiveLimit=1),
           "failureCondition": "result[0] > 0.03"}  # fmt: skip
    several = [two, metric(*ERROR_RATE, interval="120s", count=2), metric(*LATENCY, interval="60s", count=3, failureLimit=1),
               metric(*ENOUGH, interval="60s", count=4, failureLimit=1)]  # fmt: skip
    if name in ("background", "both"):
        steps = [*STEPS[:3], analysis("slo"), *STEPS[3:]] if name == "both" else STEPS
        agrees(beside(steps, {**PACE, **({"count": 3} if name == "both" else {})}), 0.012, rps=20)
        return
    made = {"failures": [two], "row": [row], "open row": [{**row, "count": None}], "gap": [gap], "several": several}[name]
    agrees(stepwise(*made, weights=(10, 40)), 0.009, rps=10, slow=0.03 if name == "several" else 0.0)


@pytest.mark.parametrize(("delays", "wanted"), [({"settle": 1.0, "late": 0.5}, 0), ({"react": 1.0}, 100)])
def test_what_the_background_would_measure_after_the_end_is_not_taken(delays: dict[str, float], wanted: int) -> None:
    # The fifth failure is due at the very moment when the steps end: it comes before the end only when the steps lose time.
    made = beside([*STEPS[:5], {"pause": {"duration": "60s"}}], {**PACE, "failureLimit": 4})
    played = simulate(made, Chain(rps=10, **{**IDEAL, **delays}), error_rate=1.0, runs=100, seed=1)  # type: ignore[arg-type]
    assert played.rollbacks == wanted
    assert at(made, [1.0], rps=10).rollback[0] == 0


def test_overlapping_measurements_fail_together() -> None:
    # Five looks at nearly the same minute: what computes them as independent finds three failures less often than they come.
    many = metric(*SUCCESS_RATE, interval="2s", count=5, failureLimit=3)
    made = stepwise(many, weights=(100,))
    assert any("overlap" in note for note in made.notes)
    played = simulate(made, Chain(rps=10, **IDEAL), error_rate=0.008, runs=1500, seed=1)  # type: ignore[arg-type]
    assert played.interval(SURE)[0] > at(made, [0.008], rps=10).rollback[0] + 0.05


def test_a_look_before_the_first_request_is_an_error_and_taken_again() -> None:
    hasty = metric("hasty", SHARE, "result[0] < 0.02", interval="60s", count=2, initialDelay=None)
    made = stepwise(hasty, weights=(50, 60))
    assert [each.at for each in made.steps[0].measurements] == [10, 70]
    assert [each.at for each in made.steps[1].measurements] == [0, 60]
    assert "metric hasty is first measured before the canary had a request, which is an Error" in made.notes[0]
    assert at(made, [0.0], rps=20).rollback[0] == pytest.approx(0, abs=1e-12)
    # A step at 0 sees the one before, whose last window it shares: only the simulation knows that.
    played = simulate(made, Chain(rps=20, scrape_interval=15), error_rate=0.0, runs=200, seed=1)
    assert played.rollbacks == 0


@pytest.mark.parametrize(("condition", "wanted"), [
    ("len(result) > 0 && result[0] < 0.02", 1), ("len(result) == 0 || result[0] < 0.02", 0), ("result[0] < 0.02", 1),
])  # fmt: skip
def test_a_look_before_the_first_request_is_what_the_condition_says_of_nothing(condition: str, wanted: float) -> None:
    hasty = metric("hasty", SHARE, condition, initialDelay=None, consecutiveErrorLimit=0)
    found = at(stepwise(hasty), [0.0], rps=20)
    assert (found.rollback[0], found.by_cause[Cause.TRAFFIC][0]) == (wanted, wanted)
    bearing = {**hasty, "interval": "60s", "count": 3, "failureLimit": 1}
    assert at(stepwise(bearing), [0.0], rps=20).rollback[0] == pytest.approx(float(condition.startswith("result")))


KINDS = {
    "failures": lambda: stepwise(STRICT, LOOSE, MANY, weights=(20, 60)), "row": lambda: stepwise(ROW, GAP, weights=(20, 60)),
    "background": lambda: beside([*STEPS[:3], analysis("slo"), *STEPS[3:]], {**PACE, "count": 4},
                                 metric(*LATENCY, interval="60s", count=2)),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_what_holds_for_every_version(name: str) -> None:
    made = KINDS[name]()
    plan = prepare(made, rps=0.3)
    p, s = (each.ravel() for each in np.meshgrid(np.linspace(0, 1, 21), np.linspace(0, 1, 5), indexing="ij"))
    found = characteristic(plan, p, s)
    lost = found.rollback.reshape(21, 5)
    assert (np.diff(lost, axis=0) > -1e-12).all()
    assert (np.diff(lost, axis=1) > -1e-12).all()
    assert (np.diff(found.caught.reshape(21, 5), axis=0) > -1e-12).all()
    assert found.by_step.sum(axis=0) == pytest.approx(found.rollback, abs=1e-12)
    assert sum(found.by_cause.values()) == pytest.approx(found.rollback, abs=1e-12)
    assert (found.seconds <= made.beginnings[-1] + 1e-9).all()
    # One version at a time is the same as many together.
    for index in (0, 52, 104):
        alone = characteristic(plan, p[[index]], s[[index]])
        assert alone.rollback[0] == pytest.approx(found.rollback[index])
