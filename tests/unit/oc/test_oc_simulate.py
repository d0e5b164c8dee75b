"""The simulation: its arrivals, its agreement with the exact figures where they must agree, and where they must not."""

from __future__ import annotations

import numpy as np
import pytest
from oc_cases import ERRORS, GUARD, REQUESTS, SPEC, SUCCESS_RATE, analysis, as_documents, gate, metric, rollout, template

from harness.oc.exact import characteristic, prepare
from harness.oc.gate import Cause, Gate
from harness.oc.reading import read_gate
from harness.oc.simulate import Chain, Played, _arrivals, simulate

RUNS = 1500
SURE = 0.9999
"""Of each interval here; the seeds are fixed, so a test either always passes or never."""
IDEAL = {"scrape_interval": 0.5, "settle": 0.0, "late": 0.0, "react": 0.0, "lead": 2.0}


def play(made: Gate, p: float, *, slow: float = 0.0, runs: int = RUNS, seed: int = 1, **chain: float) -> Played:
    return simulate(made, Chain(**({"rps": 20.0} | chain)), error_rate=p, slow_share=slow, runs=runs, seed=seed)  # type: ignore[arg-type]


def exactly(made: Gate, p: float, *, rps: float = 20.0, slow: float = 0.0, kind: str = "split") -> float:
    return float(characteristic(prepare(made, rps=rps, kind=kind), np.array([p]), slow).rollback[0])


def test_arrivals_are_one_in_each_interval() -> None:
    random = np.random.default_rng(3)
    edges = np.sort(random.uniform(0, 30, (200, 400)), axis=-1)
    found = _arrivals(edges, Chain(rps=2.0), random)
    assert (found >= 0).all()
    assert (found[:, 0] == 0).all()
    until = np.cumsum(found, axis=-1)
    # Never more than one off from rate x time, at any edge.
    assert np.abs(until - 2.0 * (edges - edges[:, :1])).max() < 2
    assert until[:, -1].mean() == pytest.approx(2 * (edges[:, -1] - edges[:, 0]).mean(), rel=0.01)


def test_arrivals_come_at_any_moment_of_their_interval() -> None:
    # Two within a fifth of an interval need both to lie at its edge: 0.2^3 / 6 of all times.
    edges = np.tile(np.array([0.0, 5.0, 5.1]), (60_000, 1))
    found = _arrivals(edges, Chain(rps=2.0), np.random.default_rng(4))[:, 2]
    assert found.mean() == pytest.approx(0.2, abs=0.01)
    assert (found > 1).mean() == pytest.approx(0.2**3 / 6, abs=0.0006)


def test_poisson_arrivals_vary_more() -> None:
    random = np.random.default_rng(3)
    edges = np.tile(np.linspace(0, 100, 50), (2000, 1))
    even, chance = (_arrivals(edges, Chain(rps=2.0, poisson=kind), random).sum(axis=-1) for kind in (False, True))
    assert even.var() < 1
    assert chance.var() == pytest.approx(200, rel=0.15)


@pytest.mark.parametrize(("p", "slow"), [(0.005, 0.0), (0.01, 0.0), (0.0, 0.04), (0.004, 0.03)])
def test_with_ideal_parts_it_agrees_with_the_exact_figures(p: float, slow: float) -> None:
    made = gate(*SPEC)
    low, high = play(made, p, slow=slow, **IDEAL).interval(SURE)
    assert low <= exactly(made, p, slow=slow) <= high


def test_with_poisson_arrivals_too() -> None:
    made = gate(*SPEC)
    low, high = play(made, 0.0, rps=7, poisson=True, **IDEAL).interval(SURE)
    wanted = exactly(made, 0.0, rps=7, kind="poisson")
    assert low <= wanted <= high
    # The even stream is another thing: fewer releases lack requests.
    assert wanted > exactly(made, 0.0, rps=7, kind="split") + 0.003


def test_four_scrapes_a_window_see_another_gate() -> None:
    # An error counter that stands at 0 in its first sample is not stretched to the window's start, the others are; and a quarter
    # of the requests lies outside of the samples. The exact figure is then no longer that of the real chain.
    made = gate(*SPEC)
    low, _ = play(made, 0.005, scrape_interval=15.0).interval(SURE)
    assert low > exactly(made, 0.005) + 0.03


def test_it_is_seeded() -> None:
    first, again, other = (play(gate(*SPEC), 0.005, runs=300, seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other


@pytest.mark.parametrize(("p", "wanted"), [(0.0, 0), (1.0, 200)])
def test_certain_versions(p: float, wanted: int) -> None:
    found = play(gate(*SPEC), p, rps=50, runs=200)
    assert found.rollbacks == wanted
    assert found.by_step == ({0: 200} if wanted else {})
    assert found.by_cause[Cause.ERRORS] == wanted
    # 10 % of 50 a second, for a minute and the small delays.
    assert found.failed / 200 == pytest.approx(p * 5 * 60.75, rel=0.05)
    assert found.seconds / 200 == pytest.approx(60.75 if wanted else 183.25, abs=0.3)


def test_too_little_traffic_is_told_apart() -> None:
    found = play(gate(*SPEC), 0.0, rps=2, runs=200)
    assert found.by_cause == {Cause.TRAFFIC: 200, Cause.ERRORS: 0, Cause.LATENCY: 0}


def test_several_pods_share_the_canary() -> None:
    steps = [{"setWeight": 50}, analysis(), {"setWeight": 90}, analysis()]
    made = read_gate(as_documents(rollout(steps, replicas=4), template([metric(*SUCCESS_RATE)])))
    low, high = play(made, 0.008, rps=10, **IDEAL).interval(SURE)
    assert low <= exactly(made, 0.008, rps=10) <= high


def test_overlapping_measurements_are_alike() -> None:
    # Ten looks at nearly the same requests: taken for independent they would nearly always find something.
    many = metric(*SUCCESS_RATE, count=10, interval="1s")
    made = read_gate(as_documents(rollout([{"setWeight": 100}, analysis()]), template([many])))
    assert any("overlap" in note for note in made.notes)
    _, high = play(made, 0.005, rps=5, **IDEAL).interval(SURE)
    assert high < exactly(made, 0.005, rps=5) - 0.05


def test_counters_that_a_proxy_makes_are_differences_of_samples() -> None:
    def grown(series: str) -> str:
        now = f"last_over_time({series}[60s])"
        missed = f"last_over_time({series}[5m] offset 60s) and on (job, instance) (up offset 60s == 0)"
        return f"sum(({now} - ({series} offset 60s or {missed}) >= 0) or {now})"

    errors, requests = (grown(each.split("increase(")[1].removesuffix("[60s]))")) for each in (ERRORS, REQUESTS))
    made = gate(("error-rate", f"round(({errors} or vector(0)) / {requests}, 1e-8)", f"{GUARD} < 0.01"))
    assert not made.metrics[0].query.extrapolated
    low, high = play(made, 0.005, **IDEAL).interval(SURE)
    assert low <= exactly(made, 0.005) <= high
