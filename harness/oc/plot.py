"""The curves as a picture: computed, simulated, measured. Readable without colour: each has a dash and a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.oc.points import Judged, Point
from harness.oc.query import Floats
from harness.oc.report import Simulated

DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (3, 1.5, 1, 1.5)), (0, (1, 1.2)), (0, (8, 2, 1, 2, 1, 2)))
MARKERS = "osD^v"
COLORS = ("#1b4965", "#b3541e", "#5f0f40", "#2d6a4f", "#6b705c")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve: shares from 0 to 1, and what is simulated and measured at the same traffic."""

    name: str
    rates: Floats
    rollback: Floats
    simulated: Sequence[Simulated] = ()
    measured: Sequence[Judged] = ()
    by_latency: bool = False

    def rate_of(self, point: Point) -> float:
        """Where a measured point stands on this curve's axis."""
        return point.slow if self.by_latency else point.error_rate


def draw(
    lines: Sequence[Line], path: Path, *, title: str, what: str, threshold: float | None, healthy: float | None, bad: float | None
) -> None:
    """Write the picture, in the format that the path's ending names."""
    import matplotlib as mpl  # noqa: PLC0415 -- slow to import, and few need it
    from matplotlib.figure import Figure  # noqa: PLC0415

    # The same input gives the same file.
    with mpl.rc_context({"svg.hashsalt": "gateproof", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(9, 5.6), layout="constrained")
        axes = figure.add_subplot()
        right = 100 * float(lines[0].rates[-1])
        axes.set(xlim=(-0.01 * right, right), ylim=(-0.02, 1.03), ylabel="P(rollback)")
        axes.set_xlabel(f"{what} of the new version, percent")
        axes.set_yticks(np.arange(0, 1.01, 0.1))
        axes.grid(color="#d0d0d0", linewidth=0.6)
        for place, line in enumerate(lines):
            _curve(axes, line, place, len(lines))
        measured = [line for line in lines if line.measured]
        for place, line in enumerate(measured):
            # A little apart, where several are measured at one rate.
            _measured(axes, line, lines.index(line), aside=(place - (len(measured) - 1) / 2) * 0.006 * right / 100)
        marks = [(threshold, "the gate's limit", "-"), (healthy, "healthy", ":"), (bad, "to be caught", ":")]
        shown = [(100 * value, name, style) for value, name, style in marks if value is not None and 100 * value <= right]
        for row, (at, name, style) in enumerate(shown):
            _mark(axes, at, f"{name}: {at:g} %", style, row)
        axes.set_title(title, pad=6 + 11 * len(shown))
        axes.legend(loc="lower right", frameon=True, framealpha=0.95, fontsize=9)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=150, metadata=metadata)


def _mark(axes: Any, at: float, text: str, style: str, row: int) -> None:
    """A line at a rate, its name above the picture, in a row of its own so that near ones do not meet."""
    axes.axvline(at, color="#444444", linewidth=1.1, linestyle=style, zorder=1)
    look = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "fontsize": 8.5, "color": "#222222"}
    axes.annotate(text, (at, 1.0), xytext=(0, 3 + 11 * row), ha="center", va="bottom", annotation_clip=False, **look)


def _curve(axes: Any, line: Line, place: int, of: int) -> None:
    color, dash = COLORS[place % len(COLORS)], DASHES[place % len(DASHES)]
    name = f"{line.name}, computed"
    axes.plot(100 * line.rates, line.rollback, color=color, linestyle=dash, linewidth=1.8, label=name, zorder=3)
    if of > 1:
        _name(axes, line, place, of, color)
    if line.simulated:
        rows = [(each.rate, each.rollbacks / each.runs, each.low, each.high) for each in line.simulated]
        look = {"fmt": "x", "markersize": 6, "capsize": 3, "linewidth": 1, "zorder": 4}
        _bars(axes, rows, color=color, label=f"{line.name}, simulated ({line.simulated[0].runs} each, 95 %)", **look)


def _measured(axes: Any, line: Line, place: int, *, aside: float) -> None:
    given = [(each.point, each) for each in line.measured]
    rows = [(line.rate_of(point) + aside, point.rollbacks / point.trials, each.low, each.high) for point, each in given]
    look = {"markerfacecolor": "white", "markersize": 7, "capsize": 5, "linewidth": 1.6, "zorder": 5}
    color, marker = COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)]
    _bars(axes, rows, color=color, fmt=marker, label=f"{line.name}, measured", **look)


def _bars(axes: Any, rows: Sequence[tuple[float, float, float, float]], **look: Any) -> None:
    """Points (rate, value, low, high) with their intervals."""
    rate, value, low, high = np.array(rows).T
    axes.errorbar(100 * rate, value, yerr=np.maximum([value - low, high - value], 0), **look)


def _name(axes: Any, line: Line, place: int, of: int, color: str) -> None:
    """The curve's name on the curve, each at another height so that they do not cover each other."""
    lowest, highest = float(line.rollback[0]), float(line.rollback[-1])
    height = lowest + (highest - lowest) * (0.2 + 0.65 * (place + 0.5) / of)
    x = float(np.interp(height, np.maximum.accumulate(line.rollback), 100 * line.rates))
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.9}
    axes.text(x, height, line.name, color=color, fontsize=8.5, ha="center", va="center", bbox=box, zorder=6)
