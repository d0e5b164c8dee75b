import heapq

import pytest

from loadtest.traffic.pacing import Turns
from loadtest.traffic.shapes import Shape, Sine, ramp, spike, steady


def simulate(*, users: int, rate: float, latency: float, seconds: float, seed: int = 1) -> list[float]:
    """The starts of requests when each user draws a turn, waits for it and holds an answer for `latency`."""
    turns = Turns(steady(rate), seed=seed)
    free = [(0.0, user) for user in range(users)]
    starts = []
    while free[0][0] < seconds:
        now, user = heapq.heappop(free)
        start = now + turns.wait(now)
        starts.append(start)
        heapq.heappush(free, (start + latency, user))
    return sorted(start for start in starts if start < seconds)


@pytest.mark.parametrize("users", [1, 2, 10, 200, 1000])
def test_each_interval_has_exactly_one_start_whatever_the_number_of_users(users: int) -> None:
    starts = simulate(users=users, rate=50, latency=0.001, seconds=20)
    per_interval = [0] * 1000
    for start in starts:
        per_interval[int(start * 50)] += 1
    assert set(per_interval) == {1}


def test_users_who_are_held_up_do_not_lower_the_rate_while_others_are_free() -> None:
    # 50/s x 1 s = 50 under way; 100 users are the closed-model rule.
    assert abs(len(simulate(users=100, rate=50, latency=1.0, seconds=20)) - 1000) <= 1


def test_too_few_users_lower_the_rate_to_what_they_can_do() -> None:
    assert len(simulate(users=10, rate=50, latency=1.0, seconds=20)) == pytest.approx(200, abs=10)


def test_a_stall_is_not_caught_up_in_a_burst() -> None:
    turns = Turns(steady(50), seed=1)
    turns.wait(0.0)
    # Nobody was free for ten seconds: 500 turns are dropped, five (0.1 s) are made up for.
    waits = [turns.wait(10.0) for _ in range(20)]
    assert sum(wait == 0 for wait in waits) <= 6
    assert waits[-1] == pytest.approx(0.3, abs=0.04)


def test_same_seed_same_arrivals() -> None:
    first, again, other = (simulate(users=5, rate=50, latency=0.001, seconds=2, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("shape", "seconds"),
    [
        (ramp(rps_from=5, rps=50, period=20), 30),
        (ramp(rps_from=0, rps=50, period=20), 30),
        (spike(rps=10, spike_rps=100, at=5, seconds=2), 10),
        (spike(rps=10, spike_rps=0, at=5, seconds=2), 10),
        (Sine(rps=40, amplitude=40, period=10), 20),
    ],
)
def test_whatever_the_shape_one_request_starts_each_time_its_total_grows_by_one(shape: Shape, seconds: float) -> None:
    turns = Turns(shape, seed=3)
    now, starts = 100.0, []
    while now < 100 + seconds:
        now += turns.wait(now)
        starts.append(now - 100)
    # The last of them may lie beyond the end.
    wanted = round(shape.total(seconds))
    assert [int(shape.total(start) + 1e-6) for start in starts[:wanted]] == list(range(wanted))
    assert starts[wanted - 1] < seconds + 1e-6


def test_a_stall_in_a_spike_is_not_made_up_for_after_it() -> None:
    turns = Turns(spike(rps=1, spike_rps=1000, at=0, seconds=10), seed=1)
    turns.wait(0.0)
    # Ten thousand turns of the spike are dropped, and so are all but 0.1 s of what followed it: one a second again.
    first, second, third = (turns.wait(20.0) for _ in range(3))
    assert first <= 0.9 <= second <= 1.9 <= third
