import heapq

import pytest

from loadtest.pacing import Turns


def simulate(*, users: int, rate: float, latency: float, seconds: float, seed: int = 1) -> list[float]:
    """The starts of requests when each user draws a turn, waits for it and holds an answer for `latency`."""
    turns = Turns(seed=seed)
    free = [(0.0, user) for user in range(users)]
    starts = []
    while free[0][0] < seconds:
        now, user = heapq.heappop(free)
        start = now + turns.wait(now, rate)
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
    turns = Turns(seed=1)
    turns.wait(0.0, 50)
    # Nobody was free for ten seconds: 500 turns are dropped, five (0.1 s) are made up for.
    waits = [turns.wait(10.0, 50) for _ in range(20)]
    assert sum(wait == 0 for wait in waits) <= 6
    assert waits[-1] == pytest.approx(0.3, abs=0.04)


def test_same_seed_same_arrivals() -> None:
    first, again, other = (simulate(users=5, rate=50, latency=0.001, seconds=2, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
