import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from webapp.faults import FaultInjector, FaultPlan, LatencyQuantiles, RequestFaults, Scope

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


def test_the_tail_goes_on_as_it_came_and_ends() -> None:
    quantiles = LatencyQuantiles(p50_ms=40, p90_ms=80, p99_ms=120)
    assert quantiles.at(0.95) == pytest.approx(80 + 40 * 5 / 9)
    assert quantiles.at(0.995) == pytest.approx(120 + 40 * 0.005 / 0.09)
    assert 120 < quantiles.at(1 - 2**-53) <= 120 + 40 / 9


@given(u=st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)))
def test_the_quantile_function_rises(u: tuple[float, float]) -> None:
    quantiles = LatencyQuantiles(p50_ms=1, p90_ms=20, p99_ms=300)
    low, high = sorted(u)
    assert quantiles.at(low) <= quantiles.at(high) + 1e-9


def outcomes(*, seed: int = 7, **plan: float) -> dict[str | None, set[int]]:
    """The numbers of the requests with each outcome."""
    injector = FaultInjector(FaultPlan(seed=seed, **plan))
    found: dict[str | None, set[int]] = {"error": set(), "hang": set(), "reset": set(), None: set()}
    for k in range(REQUESTS):
        found[injector.next().outcome].add(k)
    return found


def test_rates_add_up() -> None:
    found = outcomes(error_rate=10, hang_rate=20, reset_rate=30)
    for kind, share in (("error", 0.1), ("hang", 0.2), ("reset", 0.3), (None, 0.4)):
        interval = binomtest(len(found[kind]), REQUESTS).proportion_ci(confidence_level=0.99)
        assert interval.low <= share <= interval.high, kind
    assert not outcomes(error_rate=33.3, hang_rate=33.3, reset_rate=33.4)[None]


@pytest.mark.parametrize("kind", ["error", "hang", "reset"])
def test_each_rate_of_100_hits_all_and_of_0_none(kind: str) -> None:
    assert len(outcomes(**{f"{kind}_rate": 100})[kind]) == REQUESTS
    for other in {"error", "hang", "reset"} - {kind}:
        assert not outcomes(**{f"{kind}_rate": 100})[other]


def test_neither_errors_nor_resets_move_when_another_rate_changes() -> None:
    alone = outcomes(error_rate=10, reset_rate=10)
    among = outcomes(error_rate=10, reset_rate=10, hang_rate=60)
    assert (alone["error"], alone["reset"]) == (among["error"], among["reset"])


HEADERS = {"x-canary": "yes", "x-empty": ""}


def header(name: str) -> str | None:
    return HEADERS.get(name.lower())


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (Scope(), True),
        (Scope(routes=("/",)), True),
        (Scope(routes=("/headers", "/status/{code}")), False),
        (Scope(header="X-Canary"), True),
        (Scope(header="x-canary:yes"), True),
        (Scope(header="X-Canary: yes "), True),
        (Scope(header="X-Canary: y"), False),
        (Scope(header="X-Canary:"), False),
        (Scope(header="X-Empty:"), True),
        (Scope(header="X-Other"), False),
        (Scope(routes=("/",), header="X-Other"), False),
    ],
)
def test_scopes(scope: Scope, covered: bool) -> None:
    assert scope.covers("/", header) is covered


def test_the_first_rule_that_covers_a_request_takes_the_plans_place() -> None:
    rules = (
        RequestFaults(scope=Scope(routes=("/headers",)), error_rate=100, status_code=501),
        RequestFaults(scope=Scope(header="X-Canary"), latency_ms=50),
    )
    injector = FaultInjector(FaultPlan(scope=Scope(routes=("/",)), error_rate=100, rules=rules))
    assert injector.next("/headers", header).status_code == 501
    assert (injector.next("/", header).status_code, injector.next("/", header).delay_seconds) == (None, 0.05)
    assert injector.next("/").status_code == 500
    assert injector.next("/status/{code}").status_code is None


def test_the_kth_decision_is_the_same_whoever_is_hit() -> None:
    everywhere = FaultInjector(FaultPlan(error_rate=20, seed=3))
    scoped = FaultInjector(FaultPlan(error_rate=20, seed=3, scope=Scope(routes=("/",))))
    for k in range(200):
        expected = everywhere.next().status_code
        assert scoped.next("/" if k % 3 else "/headers").status_code == (expected if k % 3 else None)


def test_only_requests_in_scope_count_for_the_crash_and_the_memory() -> None:
    plan = FaultPlan(scope=Scope(routes=("/",)), crash_after_requests=2, memory_kib_per_request=8)
    injector = FaultInjector(plan)
    faults = [injector.next(route) for route in ("/", "/headers", "/", "/")]
    assert [fault.crash for fault in faults] == [False, False, True, False]
    assert [fault.memory_kib for fault in faults] == [8, 0, 8, 8]


@pytest.mark.parametrize(("seconds", "flapped"), [(0, False), (1.99, False), (2, True), (3.99, True), (4, False), (7, True)])
def test_readiness_flaps_by_the_clock(seconds: float, flapped: bool) -> None:
    assert FaultPlan(readiness_flap_seconds=2).is_flapped(seconds) is flapped
    assert not FaultPlan().is_flapped(seconds)


IDLE = {
    "scope", "status_code", "slow_start_seconds", "crash_after_seconds", "memory_cap_mib", "readiness_flap_seconds",
    "clock_behind_seconds", "seed",
}
"""What makes nothing happen to a request by itself. Of a plan with no more than that the application deals no faults."""


def test_a_plan_is_idle_only_while_nothing_can_happen_to_a_request() -> None:
    rule = RequestFaults(scope=Scope(routes=("/",)))
    values = {"scope": Scope(routes=("/",)), "quantiles": LatencyQuantiles(p50_ms=1, p90_ms=2, p99_ms=3)}
    seen = {
        field.name: FaultPlan(**{field.name: values.get(field.name, 1)}).is_idle
        for field in dataclasses.fields(FaultPlan)
        if field.name != "rules"
    }
    assert {name for name, idle in seen.items() if idle} == IDLE
    assert FaultPlan(rules=(rule,)).is_idle
    assert not FaultPlan(rules=(rule, dataclasses.replace(rule, error_rate=1))).is_idle
