"""The exact characteristic: GATE.md's figures, enumeration, and what must hold for every gate."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oc_cases import ENOUGH, ERROR_RATE, LATENCY, SPEC, SUCCESS_RATE, analysis, as_documents, gate, metric, rollout, template

from harness.oc.exact import Characteristic, characteristic, prepare
from harness.oc.gate import Cause, Gate
from harness.oc.query import Unreadable
from harness.oc.reading import read_gate
from harness.oc.traffic import KINDS, requests_in, segments


def at(
    made: Gate, rates: list[float], *, rps: float, kind: str = "split", slow: float = 0.0, window: float = 60
) -> Characteristic:
    return characteristic(prepare(made.with_window(window), rps=rps, kind=kind), np.array(rates), slow)


@pytest.mark.parametrize(("rps", "healthy"), [(5, 0.6), (20, 0.25), (50, 0.08), (200, 0.01)])
def test_the_published_figures(rps: float, healthy: float) -> None:
    # GATE.md computes success >= 99 % alone, with n fixed.
    found = at(gate(SUCCESS_RATE), [0.005, 0.02], rps=rps, kind="fixed").rollback
    assert found[0] == pytest.approx(healthy, rel=0.15, abs=0.005)
    assert found[1] > 0.98


def test_the_two_rules_together_abort_more_healthy_releases_where_they_meet() -> None:
    # With 300, 900 and 1800 requests 1 % is a whole number of errors, which passes ">= 99 %" and fails "< 1 %".
    one, both = (at(gate(*each), [0.005], rps=50, kind="fixed").rollback[0] for each in ((SUCCESS_RATE,), SPEC))
    assert one == pytest.approx(0.083, abs=0.001)
    assert both == pytest.approx(0.227, abs=0.002)


def enumerated(weights: tuple[int, ...], total: int, p: Fraction, s: Fraction, least: int) -> dict[str, Fraction]:
    """Every way the requests of all windows can fall, in whole fractions."""
    found = dict.fromkeys(("rollback", "traffic", "errors", "latency"), Fraction(0))
    reached = Fraction(1)
    for weight in weights:
        w, lost = Fraction(weight, 100), dict.fromkeys(found, Fraction(0))
        for n in range(total + 1):
            here = math.comb(total, n) * w**n * (1 - w) ** (total - n)
            for x, y in itertools.product(range(n + 1), repeat=2):
                chance = here * math.comb(n, x) * p**x * (1 - p) ** (n - x) * math.comb(n, y) * s**y * (1 - s) ** (n - y)
                bad = n == 0 or n - x < Fraction(99, 100) * n or not x < Fraction(1, 100) * n
                slow = n == 0 or n - y < Fraction(95, 100) * n
                cause = "traffic" if n < least else "errors" if bad else "latency" if slow else ""
                if cause:
                    lost[cause] += chance
                    lost["rollback"] += chance
        for cause, chance in lost.items():
            found[cause] += reached * chance
        reached *= 1 - lost["rollback"]
    return found


@pytest.mark.parametrize("total", [6, 12])
@pytest.mark.parametrize(("p", "s"), [(0, 0), (0.02, 0.0), (0.1, 0.03), (0.0, 0.05), (1.0, 0.2)])
def test_against_enumeration(p: float, s: float, total: int) -> None:
    least = ("requests", ENOUGH[1], ENOUGH[2].replace("30", "2"))
    made = gate(least, SUCCESS_RATE, ERROR_RATE, LATENCY, weights=(10, 40))
    found = at(made, [p], rps=total / 60, slow=s)
    wanted = enumerated((10, 40), total, Fraction(str(p)), Fraction(str(s)), 2)
    assert found.rollback[0] == pytest.approx(float(wanted["rollback"]), abs=1e-13)
    for cause in Cause:
        assert found.by_cause[cause][0] == pytest.approx(float(wanted[cause.name.lower()]), abs=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_the_distribution_of_requests(kind: str) -> None:
    seen = requests_in([(60, 0.1), (30, 0.5)], 7, kind)
    assert seen.probabilities.sum() == pytest.approx(1, abs=1e-12)
    assert seen.mean == pytest.approx(7 * 60 * 0.1 + 7 * 30 * 0.5, abs=1e-9)
    variance = ((seen.numbers - seen.mean) ** 2) @ seen.probabilities
    wanted = {"fixed": 0.0, "poisson": 147.0, "split": 420 * 0.09 + 210 * 0.25}[kind]
    assert variance == pytest.approx(wanted, rel=1e-9)


def test_a_total_that_is_not_whole_keeps_its_mean() -> None:
    assert requests_in([(10, 0.3)], 0.77, "split").mean == pytest.approx(10 * 0.77 * 0.3)


def test_a_window_longer_than_its_step_sees_the_step_before() -> None:
    late = metric(SUCCESS_RATE[0], SUCCESS_RATE[1].replace("60s", "90s"), SUCCESS_RATE[2])
    made = read_gate(as_documents(rollout([{"setWeight": 10}, analysis(), {"setWeight": 50}, analysis()]), template([late])))
    assert segments(made, 0, 60, 90) == [(60, 0.1)]
    assert segments(made, 1, 60, 90) == [(60, 0.5), (30, 0.1)]


SMALL = gate(*SPEC)
rates = st.floats(0, 1)
loads = st.floats(0.2, 40)


@settings(max_examples=60, deadline=None)
@given(first=rates, second=rates, slow=rates, rps=loads, kind=st.sampled_from(KINDS))
def test_it_rises_with_the_error_rate(first: float, second: float, slow: float, rps: float, kind: str) -> None:
    found = at(SMALL, sorted([first, second]), rps=rps, kind=kind, slow=slow)
    assert found.rollback[0] <= found.rollback[1] + 1e-12
    assert found.by_cause[Cause.TRAFFIC][0] >= found.by_cause[Cause.TRAFFIC][1] - 1e-12
    assert found.caught[0] <= found.caught[1] + 1e-12


@settings(max_examples=60, deadline=None)
@given(first=rates, second=rates, p=rates, rps=loads)
def test_it_rises_with_the_share_of_slow_requests(first: float, second: float, p: float, rps: float) -> None:
    low, high = sorted([first, second])
    assert at(SMALL, [p], rps=rps, slow=low).rollback[0] <= at(SMALL, [p], rps=rps, slow=high).rollback[0] + 1e-12


@settings(max_examples=60, deadline=None)
@given(p=rates, slow=rates, rps=loads, kind=st.sampled_from(KINDS))
def test_the_parts_add_up(p: float, slow: float, rps: float, kind: str) -> None:
    found = at(SMALL, [p], rps=rps, kind=kind, slow=slow)
    total = found.rollback[0]
    assert 0 <= total <= 1 + 1e-12
    assert found.by_step.sum() == pytest.approx(total, abs=1e-12)
    assert sum(each[0] for each in found.by_cause.values()) == pytest.approx(total, abs=1e-12)
    assert 60 - 1e-9 <= found.seconds[0] <= 180 + 1e-9
    assert found.failed[0] <= rps * p * 60 * (0.1 + 0.3 + 0.6) * (1 + 1e-9) + 1e-300


def test_it_is_not_monotone_in_the_traffic() -> None:
    # More requests, and yet more healthy releases are aborted: 1 error in 100 is enough, 1 in 101 is not, 2 in 150 are again.
    found = [at(gate(SUCCESS_RATE, weights=(100,)), [0.005], rps=n / 60, kind="fixed").rollback[0] for n in (99, 100, 199)]
    assert found[0] > found[1] < found[2]


def test_a_later_step_is_not_monotone_in_the_error_rate() -> None:
    second = at(SMALL, [0.001, 0.01, 0.05], rps=50).by_step[1]
    assert second[0] < second[1] > second[2]
    failed = at(SMALL, [0.005, 0.02, 0.5], rps=50).failed
    assert failed[0] > failed[1] < failed[2]


@pytest.mark.parametrize(("p", "wanted"), [(0.0, 0.0), (1.0, 1.0)])
def test_certain_versions(p: float, wanted: float) -> None:
    found = at(SMALL, [p], rps=50)
    assert found.rollback[0] == pytest.approx(wanted, abs=1e-12)
    assert found.seconds[0] == pytest.approx(180 - 120 * p)


def test_blast_radius_by_hand() -> None:
    # One request in error per window at 100 %: one of one step, since the first measurement catches it.
    assert at(gate(SUCCESS_RATE), [1.0], rps=10, kind="fixed").failed[0] == pytest.approx(60 * 10 * 0.1)


def test_too_little_traffic_is_a_cause_of_its_own() -> None:
    found = at(SMALL, [0.0], rps=5)
    assert found.by_cause[Cause.TRAFFIC][0] == pytest.approx(found.rollback[0])
    assert found.rollback[0] == pytest.approx(0.472, abs=0.001)
    assert at(SMALL, [0.5], rps=0.5).rollback[0] == pytest.approx(1)


def test_numbers_beyond_all_measure_are_refused() -> None:
    with pytest.raises(Unreadable, match="not computed"):
        at(SMALL, [0.0], rps=1e8)
