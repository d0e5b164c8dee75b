"""Shapes: the rate of a load as a function of the time since it began, with its exact integral and the inverse of that.

Times are seconds since the load began, rates are requests per second, totals are numbers of requests (not whole ones).
`time_of` is what makes arrivals even at the rate of the moment: the k-th request is due where the total reaches k.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

TIME_PRECISION = 1e-9
"""Seconds to which `Sine.time_of` is exact."""


class Shape(Protocol):
    """A rate that changes over time."""

    def rate(self, time: float) -> float:
        """Requests per second at `time`, 0 or more."""

    def total(self, time: float) -> float:
        """Requests due in [0, time): the integral of the rate; 0 for a time before 0."""

    def time_of(self, total: float) -> float:
        """The time at which `total` requests (0 or more) have been due: the inverse of `total`."""


def mean_rate(shape: Shape, start: float, end: float) -> float:
    """Requests per second on average in [start, end), exactly."""
    return (shape.total(end) - shape.total(start)) / (end - start)


class Straight:
    """A rate made of straight pieces; the last one has no end, and holds its rate."""

    def __init__(self, pieces: Sequence[tuple[float, float, float]], *, last: float) -> None:
        """`pieces` are (seconds, rate at its start, rate at its end), `last` (above 0) is the rate after them."""
        self._pieces: list[tuple[float, float, float, float]] = []  # start, total there, rate there, slope
        start = total = 0.0
        for seconds, first, final in pieces:
            if seconds > 0:
                self._pieces.append((start, total, first, (final - first) / seconds))
                start, total = start + seconds, total + seconds * (first + final) / 2
        self._pieces.append((start, total, last, 0.0))

    def rate(self, time: float) -> float:
        """Requests per second at `time`; where two pieces meet, that of the later one."""
        start, _, first, slope = max(piece for piece in self._pieces if piece[0] <= max(time, 0.0))
        return first + slope * (max(time, 0.0) - start)

    def total(self, time: float) -> float:
        """The area under the pieces up to `time`."""
        start, before, first, slope = max(piece for piece in self._pieces if piece[0] <= max(time, 0.0))
        passed = max(time, 0.0) - start
        return before + passed * (first + slope * passed / 2)

    def time_of(self, total: float) -> float:
        """Solve the piece's quadratic equation, in the form that loses no digits when the slope is small."""
        # The last of the pieces that begin there: one with no traffic at all is passed over.
        start, before, first, slope = [piece for piece in self._pieces if piece[1] <= max(total, 0.0)][-1]
        wanted = max(total, 0.0) - before
        if wanted == 0:
            return start
        return start + 2 * wanted / (first + math.sqrt(max(0.0, first * first + 2 * slope * wanted)))


class Sine:
    """rate(t) = rps + amplitude * sin(2 pi t / period), with an amplitude of at most rps."""

    def __init__(self, *, rps: float, amplitude: float, period: float) -> None:
        self._rps, self._amplitude, self._period = rps, amplitude, period

    def rate(self, time: float) -> float:
        """Requests per second at `time`."""
        return self._rps + self._amplitude * math.sin(2 * math.pi * time / self._period)

    def total(self, time: float) -> float:
        """The integral: rps t + amplitude period / 2 pi (1 - cos(2 pi t / period)), after each whole period just rps t."""
        time = max(time, 0.0)
        # 1 - cos(2x) is 2 sin(x)^2, which keeps its digits near 0.
        return self._rps * time + self._amplitude * self._period / math.pi * math.sin(math.pi * time / self._period) ** 2

    def time_of(self, total: float) -> float:
        """By bisection, to `TIME_PRECISION`: the wave adds 0 to amplitude * period / pi to the total, which bounds the search."""
        high = max(total, 0.0) / self._rps
        low = max(0.0, high - self._amplitude * self._period / math.pi / self._rps)
        while high - low > TIME_PRECISION:
            middle = (low + high) / 2
            if not low < middle < high:  # floating point has no number in between
                break
            if self.total(middle) < total:
                low = middle
            else:
                high = middle
        return (low + high) / 2


def steady(rps: float) -> Straight:
    """rate(t) = rps."""
    return Straight([], last=rps)


def ramp(*, rps_from: float, rps: float, period: float) -> Straight:
    """rate(t) = rps_from + (rps - rps_from) t / period up to the end of the period, and rps after it."""
    return Straight([(period, rps_from, rps)], last=rps)


def spike(*, rps: float, spike_rps: float, at: float, seconds: float) -> Straight:
    """rate(t) = spike_rps from `at` until `at + seconds`, and rps before and after."""
    return Straight([(at, rps, rps), (seconds, spike_rps, spike_rps)], last=rps)
