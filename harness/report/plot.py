"""Plots as shapes that a template draws as SVG: scales, ticks, marks. PURE: no I/O.

Colours and line styles are classes, left to the page's style sheet, so that one drawing serves light, dark and print. Every
series differs by its marks and its dashes too, never by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
CHARACTER_WIDTH = 7.6
"""Pixels that a character of a bold 12-pixel label takes in a wide font; used only to keep labels apart and inside."""
LINE_HEIGHT = 14.0
"""Pixels from one 12-pixel label to the next below it."""
MARK_ROOM = 9.0
"""Pixels from one mark of a line to the next, at the least."""


@dataclass(frozen=True, kw_only=True)
class Path:
    """One drawn path; `title` is what a pointer resting on it shows."""

    d: str
    css: str
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Label:
    """One text; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    css: str = ""
    anchor: str = "middle"

    def meets(self, other: Label) -> bool:
        """Whether the two lie on each other, as far as their width can be told."""
        (left, right), (its_left, its_right) = self.ends, other.ends
        return abs(self.y - other.y) < LINE_HEIGHT and left < its_right and its_left < right

    def covers(self, point: tuple[float, float]) -> bool:
        """Whether a pixel lies under it."""
        left, right = self.ends
        return left <= point[0] <= right and self.y - LINE_HEIGHT + 2 <= point[1] <= self.y + 4

    @property
    def ends(self) -> tuple[float, float]:
        """Where it begins and ends, about, in pixels from the left."""
        width = text_width(self.text)
        left = self.x - {"start": 0.0, "middle": width / 2, "end": width}[self.anchor]
        return left, left + width


@dataclass(frozen=True, kw_only=True)
class Key:
    """One entry of a legend: a sample of its line, its mark, and what they mean."""

    css: str
    text: str
    shape: str = ""

    @property
    def mark(self) -> str:
        """The mark's path in a box of 28 by 12."""
        return shape(self.shape, 14, 6, 5 if self.shape == "diamond" else 3.5) if self.shape else ""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A drawing of `width` by `height` pixels. `name` is unique in its page."""

    name: str
    title: str
    description: str
    width: int
    height: int
    paths: tuple[Path, ...]
    labels: tuple[Label, ...]
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Maps values from [low, high] to pixels from `at_low` to `at_high`; values beyond are drawn at the edge."""

    low: float
    high: float
    at_low: float
    at_high: float
    bent: str = ""
    """How the axis is bent: `log`, `root`, or not at all."""

    def __call__(self, value: float) -> float:
        """The pixel of a value, to a tenth."""
        low, high, value = (self._bent(each) for each in (self.low, self.high, min(max(value, self.low), self.high)))
        share = (value - low) / (high - low) if high > low else 0.0
        return round(self.at_low + share * (self.at_high - self.at_low), 1)

    def _bent(self, value: float) -> float:
        return math.log10(value) if self.bent == "log" else math.sqrt(value) if self.bent == "root" else value


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The area inside a plot's axes."""

    x: Scale
    y: Scale
    paths: list[Path] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    drawn: list[tuple[float, float]] = field(default_factory=list)
    """Pixels that lines with marks run through, close enough to each other for labels to keep off them."""

    @property
    def top(self) -> float:
        """The upper edge."""
        return self.y.at_high

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y.at_low

    def line(self, css: str, points: Iterable[tuple[float, float | None]], mark: str = "", titles: Sequence[str] = ()) -> None:
        """Straight lines through the points, broken where a value is None, with a mark at each point that has room for one."""
        pen, parts, marks, last, before = "M", [], [], -math.inf, (0.0, 0.0)
        for number, (at, value) in enumerate(points):
            if value is None:
                pen = "M"
                continue
            x, y = self.x(at), self.y(value)
            if mark:
                self.drawn.extend(_between(before, (x, y)) if pen == "L" else [(x, y)])
            parts.append(f"{pen}{x:g} {y:g}")
            pen, before = "L", (x, y)
            if mark and x - last >= MARK_ROOM:
                last = x
                title = titles[number] if titles else ""
                marks.append(Path(d=shape(mark, x, y, 3), css=f"mark {css}", title=title))
        if parts:
            self.paths.append(Path(d="".join(parts), css=f"line {css}"))
        self.paths.extend(marks)

    def steps(self, css: str, changes: Sequence[tuple[float, float]], end: float) -> None:
        """A line that stays level from each change to the next, and from the last to `end`."""
        if not changes:
            return
        d = f"M{self.x(changes[0][0]):g} {self.y(changes[0][1]):g}"
        for at, value in changes[1:]:
            d += f"H{self.x(at):g}V{self.y(value):g}"
        self.paths.append(Path(d=f"{d}H{self.x(end):g}", css=f"line {css}"))

    def area(self, css: str, times: tuple[float, float], values: tuple[float, float], title: str = "") -> None:
        """A rectangle."""
        (left, right), (below, above) = map(self.x, times), map(self.y, values)
        self.paths.append(Path(d=f"M{left:g} {below:g}H{right:g}V{above:g}H{left:g}Z", css=css, title=title))

    def level(self, css: str, value: float, text: str = "") -> None:
        """A line across at one value, its label above its left end, where a release has not begun yet."""
        y = self.y(value)
        self.paths.append(Path(d=f"M{self.x.at_low:g} {y:g}H{self.x.at_high:g}", css=f"line {css}"))
        if text:
            self.labels.append(Label(x=self.x.at_low + 4, y=y - 5, text=text, css=css, anchor="start"))

    def moment(self, css: str, at: float) -> None:
        """A line from top to bottom at one moment."""
        self.paths.append(Path(d=f"M{self.x(at):g} {self.top:g}V{self.bottom:g}", css=f"line {css}"))

    def point(self, css: str, at: float, value: float, mark: str, title: str = "") -> None:
        """One large mark."""
        self.paths.append(Path(d=shape(mark, self.x(at), self.y(value), 6), css=f"mark {css}", title=title))

    def label(self, *places: Label) -> None:
        """A label at the first place inside that is off all labels and lines, or off labels at least; else at the very first."""
        inside = [
            each for each in places
            if each.ends[0] >= self.x.at_low and each.ends[1] <= self.x.at_high and not any(map(each.meets, self.labels))
        ]  # fmt: skip
        clear = (each for each in inside if not any(map(each.covers, self.drawn)))
        self.labels.append(next(clear, (inside or places)[0]))

    def values(self, ticks: Iterable[tuple[float, str]]) -> None:
        """The vertical axis: a faint line across and a label for each tick."""
        for value, text in ticks:
            y = self.y(value)
            self.paths.append(Path(d=f"M{self.x.at_low:g} {y:g}H{self.x.at_high:g}", css="grid"))
            self.labels.append(Label(x=self.x.at_low - 6, y=y + 4, text=text, css="tick", anchor="end"))

    def times(self) -> None:
        """The horizontal axis: seconds since the release, or minutes."""
        self.paths.append(Path(d=f"M{self.x.at_low:g} {self.bottom:g}H{self.x.at_high:g}", css="axis"))
        for value, text in time_ticks(self.x.low, self.x.high, int((self.x.at_high - self.x.at_low) / 52)):
            x = self.x(value)
            self.paths.append(Path(d=f"M{x:g} {self.bottom:g}v4", css="axis"))
            self.labels.append(Label(x=x, y=self.bottom + 17, text=text, css="tick"))


def _between(start: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float]]:
    """The end, and points on the way to it, 4 pixels apart at the most."""
    count = max(1, math.ceil(math.dist(start, end) / 4))
    return [
        (start[0] + (end[0] - start[0]) * number / count, start[1] + (end[1] - start[1]) * number / count)
        for number in range(1, count + 1)
    ]


def shape(name: str, x: float, y: float, r: float) -> str:
    """The path of a circle, square, triangle, diamond or cross around a point."""
    if name == "circle":
        return f"M{x - r:g} {y:g}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0 {-2 * r:g} 0Z"
    if name == "square":
        return f"M{x - r:g} {y - r:g}h{2 * r:g}v{2 * r:g}h{-2 * r:g}Z"
    if name == "triangle":
        return f"M{x - r:g} {y + r:g}h{2 * r:g}L{x:g} {y - r:g}Z"
    if name == "diamond":
        return f"M{x:g} {y - r:g}L{x + r:g} {y:g}L{x:g} {y + r:g}L{x - r:g} {y:g}Z"
    if name == "cross":
        return f"M{x - r:g} {y - r:g}l{2 * r:g} {2 * r:g}M{x - r:g} {y + r:g}l{2 * r:g} {-2 * r:g}"
    raise ValueError(f"no mark is called {name!r}")


def nice_ticks(high: float, wanted: int = 5) -> list[float]:
    """Round values from 0 to at least `high`, about as many as wanted."""
    if not high > 0:
        return [0.0, 1.0]
    raw = high / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    return [round(number * step, 10) for number in range(math.ceil(high / step - 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 3, 10, 30 … so that the first is at most `low` and the last at least `high`. Both are above 0."""
    exponent = math.floor(math.log10(low))
    ticks = [factor * 10.0**power for power in range(exponent, math.ceil(math.log10(high)) + 1) for factor in (1, 3)]
    first = max(index for index, tick in enumerate(ticks) if tick <= low * 1.001)
    last = next(index for index, tick in enumerate(ticks) if tick >= high * 0.999)
    return ticks[first : max(last, first + 1) + 1]


def time_ticks(low: float, high: float, wanted: int) -> Iterator[tuple[float, str]]:
    """Round moments inside [low, high], at most about as many as wanted, and their labels."""
    step = next((each for each in TIME_STEPS if (high - low) / each <= max(wanted, 1)), TIME_STEPS[-1])
    unit, divisor = ("s", 1) if step < 60 else ("min", 60)
    for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield number * step, f"{number * step // divisor if divisor == 1 else number * step / divisor:g} {unit}"


def text_width(text: str) -> float:
    """About how wide a label is drawn, in pixels."""
    return CHARACTER_WIDTH * len(text)
