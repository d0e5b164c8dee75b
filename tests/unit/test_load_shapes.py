import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.traffic.shapes import TIME_PRECISION, Shape, Sine, mean_rate, ramp, spike, steady

NUMBERS = st.floats(0.01, 1000)
SHAPES = st.one_of(
    st.builds(steady, NUMBERS),
    st.builds(ramp, rps_from=st.floats(0, 1000), rps=NUMBERS, period=NUMBERS),
    st.builds(spike, rps=NUMBERS, spike_rps=st.floats(0, 1000), at=st.floats(0, 100), seconds=NUMBERS),
    st.builds(lambda rps, share, period: Sine(rps=rps, amplitude=share * rps, period=period), NUMBERS, st.floats(0, 1), NUMBERS),
)


def test_steady_is_rate_times_time() -> None:
    shape = steady(50)
    assert (shape.rate(0), shape.rate(1e6), shape.total(0), shape.total(60)) == (50, 50, 0, 3000)
    assert shape.time_of(3000) == 60


def test_ramp_from_5_to_50_in_60_seconds() -> None:
    shape = ramp(rps_from=5, rps=50, period=60)
    assert [shape.rate(time) for time in (0, 20, 60, 100)] == [5, 20, 50, 50]
    # (5 + 50) / 2 x 60 in the ramp, then 50 a second.
    assert shape.total(60) == 1650
    assert shape.total(70) == 2150
    assert mean_rate(shape, 0, 60) == 27.5
    assert mean_rate(shape, 60, 70) == 50
    # 5 t + 3/8 t^2: 250 requests after 20 seconds.
    assert shape.total(20) == 250
    assert shape.time_of(250) == pytest.approx(20, abs=1e-12)
    assert shape.time_of(2150) == 70


def test_a_ramp_may_go_down_or_begin_with_nothing() -> None:
    down = ramp(rps_from=50, rps=10, period=10)
    assert (down.rate(5), down.total(10), down.time_of(300)) == (30, 300, 10)
    up = ramp(rps_from=0, rps=10, period=10)
    assert (up.rate(0), up.total(10)) == (0, 50)
    assert up.time_of(0) == 0
    assert up.time_of(12.5) == 5


def test_spike_of_200_over_50_at_30_for_10_seconds() -> None:
    shape = spike(rps=50, spike_rps=200, at=30, seconds=10)
    assert [shape.rate(time) for time in (0, 29.999, 30, 39.999, 40, 1000)] == [50, 50, 200, 200, 50, 50]
    assert (shape.total(30), shape.total(40), shape.total(60)) == (1500, 3500, 4500)
    assert mean_rate(shape, 0, 60) == 75
    assert [shape.time_of(total) for total in (1500, 2500, 3500, 4500)] == [30, 35, 40, 60]


def test_a_spike_of_nothing_is_a_pause() -> None:
    shape = spike(rps=10, spike_rps=0, at=5, seconds=2)
    assert (shape.rate(6), shape.total(5), shape.total(7), shape.total(8)) == (0, 50, 50, 60)
    assert shape.time_of(50 - 1e-9) < 5
    assert shape.time_of(50) == 7


def test_a_spike_from_the_very_start() -> None:
    shape = spike(rps=10, spike_rps=20, at=0, seconds=5)
    assert (shape.rate(0), shape.total(5), shape.time_of(100)) == (20, 100, 5)


def test_sine_of_50_plus_or_minus_25_in_60_seconds() -> None:
    shape = Sine(rps=50, amplitude=25, period=60)
    assert [shape.rate(time) for time in (0, 15, 30, 45)] == pytest.approx([50, 75, 50, 25])
    # Half a wave lifts the total by amplitude x period / pi, a whole one not at all.
    assert shape.total(30) == pytest.approx(1500 + 25 * 60 / math.pi, abs=1e-9)
    assert shape.total(60) == pytest.approx(3000, abs=1e-9)
    assert mean_rate(shape, 0, 60) == pytest.approx(50, abs=1e-12)
    assert mean_rate(shape, 0, 30) == pytest.approx(50 + 2 * 25 / math.pi, abs=1e-12)
    assert shape.time_of(3000) == pytest.approx(60, abs=2 * TIME_PRECISION)


def test_before_the_start_nothing_is_due() -> None:
    for shape in (steady(1), ramp(rps_from=1, rps=2, period=3), Sine(rps=1, amplitude=1, period=1)):
        assert shape.total(-5) == 0
        assert shape.time_of(0) == pytest.approx(0, abs=TIME_PRECISION)


@pytest.mark.parametrize(
    "shape",
    [
        steady(3),
        ramp(rps_from=5, rps=50, period=7),
        ramp(rps_from=50, rps=1, period=30),
        spike(rps=5, spike_rps=80, at=3, seconds=2),
        Sine(rps=50, amplitude=50, period=6),
        Sine(rps=2, amplitude=1, period=100),
    ],
)
def test_the_total_is_the_integral_of_the_rate(shape: Shape) -> None:
    area, step = 0.0, 1e-3
    for number in range(10_000):
        area += shape.rate((number + 0.5) * step) * step
        assert shape.total((number + 1) * step) == pytest.approx(area, rel=1e-5, abs=1e-5)


@given(shape=SHAPES, total=st.floats(0, 1e5))
def test_time_of_is_the_inverse_of_total(shape: Shape, total: float) -> None:
    time = shape.time_of(total)
    assert shape.total(time) == pytest.approx(total, rel=1e-9, abs=1e-5)


@given(shape=SHAPES, first=st.floats(0, 1e5), second=st.floats(0, 1e5))
def test_more_requests_are_due_later(shape: Shape, first: float, second: float) -> None:
    if first <= second:
        assert shape.time_of(first) <= shape.time_of(second) + TIME_PRECISION
