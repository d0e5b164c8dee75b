"""PURE: series as promtool's unit tests write them: `0+10x30`, `_x3`, `stale`, `NaN`. Read by its rules, not by its code."""

from __future__ import annotations

import re

from harness.lint import promql
from harness.lint.promql import Malformed, TooLarge

MOST_SAMPLES = 2_000_000
"""Of one series: more than a day of them at one a second, twenty times over."""
_NUMBER = r"[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[iI][nN][fF]|[nN][aA][nN])"
_ITEM = re.compile(
    rf"(?P<gap>_)(?:x(?P<gaps>\d{{1,18}}))?|(?P<stale>stale)|(?P<value>{_NUMBER})(?:(?P<step>[+-]{_NUMBER.removeprefix('[+-]?')})?x(?P<times>\d{{1,18}}))?"
)

STALE = None
"""What stands for Prometheus' staleness marker among values: the series ends here, until its next sample."""


class Unreadable(ValueError):
    """Not the notation. One line: what, and where."""


def values(text: str, *, most: int = MOST_SAMPLES) -> list[tuple[int, float | None]]:
    """(position, value) of each sample, at most so many, positions counting intervals from 0; STALE for a staleness marker.

    `_` is a gap of one interval and `_xN` of N; `aXN` is a, N + 1 times; `a+bxN` is a, a + b, … with N + 1 values.

    Raises:
        Unreadable: the text is not that.

    """
    found: list[tuple[int, float | None]] = []
    at = 0
    if "{{" in text:
        raise Unreadable("native histograms ({{…}}) are not supported: write the buckets as series of their own")
    for item in text.split():
        match = _ITEM.fullmatch(item)
        if not match:
            raise Unreadable(f"{item!r} is no value: write numbers, 0+10x30, 5x9, _, _x3 or stale")
        count = int(match["gaps"] or 1) if match["gap"] else 1 + int(match["times"] or 0)
        if at + count > MOST_SAMPLES or len(found) + count > most:
            raise Unreadable(f"{item!r}: more than {MOST_SAMPLES} samples")
        if match["stale"]:
            found.append((at, STALE))
        elif match["value"]:
            # Added up one after another, as promtool does: so also the last digits are the same.
            value, step = float(match["value"]), float(match["step"] or 0)
            for index in range(count):
                found.append((at + index, value))
                value += step
        at += count
    return found


def labels(text: str) -> dict[str, str]:
    """The labels of a series such as `up{job="a"}`, its metric's name among them as __name__.

    Raises:
        Unreadable: it is not the name of one series.

    """
    try:
        node = promql.parse(text)
    except (Malformed, TooLarge) as error:
        raise Unreadable(f"{text!r} is no series: {error}") from None
    if [node] != promql.selectors(node) or node.offset or node.at or node.matchers.or_matchers:
        raise Unreadable(f"{text!r} is no series: write it as name{{label=\"value\"}}")
    found: dict[str, str] = {}
    for label, sign, value in promql.matchers(node):
        if sign != "=" or found.get(label, value) != value:
            raise Unreadable(f"{text!r}: a series has one value for each label")
        if value:
            found[label] = value
    if not found:
        raise Unreadable(f"{text!r}: a series has a name or a label")
    return found


_DURATION = re.compile("".join(rf"(?:(\d{{1,15}}){unit})?" for unit in ("w", "d", "h", "m", "s", "ms")))
_UNITS_MS = (7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1000, 1)


def milliseconds(value: object) -> int | None:
    """A duration as Prometheus writes it (`1m30s`), or a number of seconds, in whole milliseconds; None when it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return round(value * 1000) if value == value and abs(value) < 1e12 else None  # noqa: PLR0124 -- NaN
    if not isinstance(value, str) or not value:
        return None
    match = _DURATION.fullmatch(value)
    if match:
        return sum(int(part) * unit for part, unit in zip(match.groups(), _UNITS_MS, strict=True) if part)
    return round(float(value) * 1000) if re.fullmatch(r"\d{1,15}(\.\d+)?", value) else None
