import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from webapp.faults import FaultInjector, FaultPlan, LatencyQuantiles

REQUESTS = 2000


def errors(rate: float, *, seed: int | None, **plan: float) -> list[int]:
    """The numbers of the requests that fail."""
    injector = FaultInjector(FaultPlan(error_rate=rate, seed=seed, **plan))
    return [k for k in range(REQUESTS) if injector.next().status_code is not None]


@given(seed=st.integers())
def test_rate_0_never_fails_and_100_always_does(seed: int) -> None:
    never, always = FaultInjector(FaultPlan(error_rate=0, seed=seed)), FaultInjector(FaultPlan(error_rate=100, seed=seed))
    assert all(never.next().status_code is None for _ in range(50))
    assert all(always.next().status_code == 500 for _ in range(50))


def test_5_is_5_percent() -> None:
    # Fixed seeds: this either always passes or never does.
    count = sum(len(errors(5, seed=seed)) for seed in range(10))
    interval = binomtest(count, 10 * REQUESTS).proportion_ci(confidence_level=0.99)
    assert interval.low <= 0.05 <= interval.high


def test_the_kth_request_is_decided_by_the_seed_alone() -> None:
    assert errors(5, seed=7) == errors(5, seed=7)
    assert errors(5, seed=7) != errors(5, seed=8)
    assert errors(5, seed=7)[:4] == [4, 28, 39, 53], "the sequence of a seed is part of the interface"


def test_latency_does_not_move_the_errors() -> None:
    assert errors(5, seed=7) == errors(5, seed=7, latency_ms=100, jitter_ms=50)


def test_a_higher_rate_fails_the_same_requests_and_more() -> None:
    assert set(errors(2, seed=3)) < set(errors(20, seed=3))


def test_without_a_seed_processes_differ() -> None:
    assert errors(50, seed=None) != errors(50, seed=None)


@given(u=st.floats(0, 1, exclude_max=True), latency=st.floats(0, 1e4), share=st.floats(0, 1))
def test_jitter_stays_around_the_latency(u: float, latency: float, share: float) -> None:
    plan = FaultPlan(latency_ms=latency, jitter_ms=latency * share)
    assert latency * (1 - share) - 1e-6 <= plan.latency_at(u) <= latency * (1 + share) + 1e-6


def test_the_quantiles_are_those_asked_for() -> None:
    quantiles = LatencyQuantiles(p50_ms=40, p90_ms=120, p99_ms=900)
    assert [quantiles.at(u) for u in (0, 0.5, 0.9, 0.99)] == pytest.approx([0, 40, 120, 900])
    injector = FaultInjector(FaultPlan(quantiles=quantiles, seed=1))
    delays = sorted(injector.next().delay_seconds * 1000 for _ in range(10_000))
    for share, value in ((0.5, 40), (0.9, 120), (0.99, 900)):
        interval = binomtest(sum(delay <= value for delay in delays), len(delays)).proportion_ci(confidence_level=0.99)
        assert interval.low <= share <= interval.high


@given(u=st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)))
def test_the_quantile_function_rises(u: tuple[float, float]) -> None:
    quantiles = LatencyQuantiles(p50_ms=1, p90_ms=20, p99_ms=300)
    low, high = sorted(u)
    assert quantiles.at(low) <= quantiles.at(high) + 1e-9
