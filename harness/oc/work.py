"""What the command does once its options are checked: compute, simulate, hold points against it, draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import UsageError
from harness.files import MIB, read_text
from harness.oc import advice, points, report
from harness.oc.advice import Wanted
from harness.oc.exact import prepare
from harness.oc.gate import Gate
from harness.oc.points import Judged, Point
from harness.oc.report import Answers, Simulated
from harness.oc.simulate import Chain, simulate

_CURVE = 241
"""Places on a drawn curve."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The command's options, checked. Rates are shares from 0 to 1."""

    rps: float
    traffic: str
    axis: str
    rates: tuple[float, ...]
    healthy_rates: tuple[float, ...]
    other: float
    bad: float | None
    power: float
    healthy: float
    max_false: float
    simulate: int
    scrape_interval: float
    seed: int
    points: Path | None
    plot: Path | None
    compare: tuple[float, ...]
    output: str

    @property
    def chain(self) -> Chain:
        """What is simulated."""
        return Chain(rps=self.rps, poisson=self.traffic == "poisson", scrape_interval=self.scrape_interval)


def compute(gate: Gate, asked: Asked) -> tuple[Answers, list[Judged]]:
    """Every answer, and the measured points beside what was to be expected.

    Raises:
        Unreadable: the gate cannot be computed.
        UsageError: the file of points cannot be used.

    """
    wanted = None
    if asked.bad is not None:
        wanted = Wanted(bad=asked.bad, power=asked.power, healthy=asked.healthy, max_false=asked.max_false, axis=asked.axis)
    given = _read(asked.points) if asked.points else []
    judged = points.inside(given, lambda point, confidence: _expected(gate, asked, point, confidence))
    model = "simulated" if asked.simulate else "computed"
    found = report.answer(
        gate, rps=asked.rps, kind=asked.traffic, axis=asked.axis, rates=asked.rates, healthy=asked.healthy_rates,
        other=asked.other, wanted=wanted, simulated=_simulated(gate, asked) if asked.simulate else (),
        points=[points.plain(each, model=model) for each in judged],
    )
    return found, judged


def _read(path: Path) -> list[Point]:
    try:
        return points.parse(read_text(path, told=f"--points {path}", most=16 * MIB))
    except points.BadPoints as error:
        raise UsageError(f"--points {path}: {error}") from None


def _simulated(gate: Gate, asked: Asked) -> tuple[Simulated, ...]:
    found = []
    for place, rate in enumerate(asked.rates):
        errors, slow = (rate, asked.other) if asked.axis == advice.ERRORS else (asked.other, rate)
        played = simulate(gate, asked.chain, error_rate=errors, slow_share=slow, runs=asked.simulate, seed=asked.seed + place)
        low, high = played.interval()
        found.append(
            Simulated(rate=rate, runs=played.runs, rollbacks=played.rollbacks, low=low, high=high,
                      seconds=played.seconds / played.runs, failed=played.failed / played.runs)
        )  # fmt: skip
    return tuple(found)


def _expected(gate: Gate, asked: Asked, point: Point, confidence: float) -> tuple[float, float, float]:
    """What the nearest model says of a point's own traffic and window: the simulation where one is wanted."""
    own = gate.with_window(point.window)
    if not asked.simulate:
        plan = prepare(own, rps=point.rps, kind=asked.traffic)
        value = float(advice.of(plan, [point.error_rate], axis=advice.ERRORS, other=point.slow).rollback[0])
        return value, value, value
    chain = Chain(rps=point.rps, poisson=asked.chain.poisson, scrape_interval=asked.scrape_interval)
    played = simulate(own, chain, error_rate=point.error_rate, slow_share=point.slow, runs=asked.simulate, seed=asked.seed)
    return (played.rollbacks / played.runs, *played.interval(confidence))


def picture(found: Answers, judged: Sequence[Judged], compare: Sequence[float], path: Path) -> None:
    """Draw the asked traffic, each other one, and each that was measured: the curve, and what is simulated and measured there."""
    from harness.oc.plot import Line, draw  # noqa: PLC0415 -- few need it

    # A point of the other axis has no place on this one.
    by_latency = found.axis != advice.ERRORS
    judged = [each for each in judged if (each.point.slow > 0) is by_latency]
    right = _right(found, [each.point.slow if by_latency else each.point.error_rate for each in judged])
    rates = np.linspace(0, right, _CURVE)
    own = (found.plan.rps, found.gate.window)
    places = dict.fromkeys([own, *((rps, own[1]) for rps in compare), *((each.point.rps, each.point.window) for each in judged)])
    lines = []
    for rps, window in places:
        plan = found.plan if (rps, window) == own else prepare(found.gate.with_window(window), rps=rps, kind=found.plan.kind)
        curve = advice.of(plan, rates, axis=found.axis, other=found.other)
        name = f"{rps:g} requests/s" + (f", {window:g} s" if len({each[1] for each in places}) > 1 else "")
        measured = [each for each in judged if (each.point.rps, each.point.window) == (rps, window)]
        simulated = [each for each in found.simulated if each.rate <= right] if (rps, window) == own else []
        lines.append(
            Line(name=name, rates=rates, rollback=curve.rollback, simulated=simulated, measured=measured,
                 by_latency=by_latency)
        )  # fmt: skip
    steps = ", ".join(f"{found.gate.steps[index].weight:g}" for index in found.gate.judged)
    try:
        draw(
            lines, path, title=f"Operating characteristic of {found.gate.name}: {steps} %, windows of {own[1]:g} s",
            what="errors" if found.axis == advice.ERRORS else "requests over the latency limit", threshold=found.threshold,
            healthy=found.wanted.healthy if found.wanted else None, bad=found.wanted.bad if found.wanted else None,
        )  # fmt: skip
    except OSError as error:
        raise UsageError(f"--plot {path}: {error.strerror}") from None


def _right(found: Answers, measured: Sequence[float]) -> float:
    """Where the picture ends: well beyond the limit, what is caught for sure, and what was measured."""
    ends = [2.5 * (found.threshold or 0.0), *(rate * 1.05 for rate in measured)]
    ends += [1.15 * each for each in found.caught.values() if each is not None]
    ends += [1.1 * found.wanted.bad] if found.wanted else []
    return min(1.0, max(*ends, 0.01))
