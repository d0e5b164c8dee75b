"""PURE: series of samples, and the texts that hold them: ours, OpenMetrics, and an answer of Prometheus' own API."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.replay.notation import STALE, Unreadable

Sample = tuple[int, float | None]
"""(milliseconds since 1970, value); STALE for a staleness marker."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series: its labels, sorted, the metric's name among them as __name__, and its samples in the order of time."""

    labels: tuple[tuple[str, str], ...]
    samples: tuple[Sample, ...]


def series(labels: dict[str, str], samples: Iterable[Sample]) -> Series:
    """A series from labels and samples in any order. Raises Unreadable when two samples have one time."""
    ordered = sorted(samples, key=lambda each: each[0])
    for one, other in itertools.pairwise(ordered):
        if one[0] == other[0] and not _same(one[1], other[1]):
            raise Unreadable(f"{told(labels)}: two samples at {one[0] / 1000:.3f}")
    unique = dict(ordered)
    return Series(labels=tuple(sorted(labels.items())), samples=tuple(unique.items()))


def _same(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and math.isnan(one) and math.isnan(other))


def told(labels: dict[str, str]) -> str:
    """A series' name as people write it."""
    rest = ", ".join(f"{name}={json.dumps(value)}" for name, value in sorted(labels.items()) if name != "__name__")
    return f"{labels.get('__name__', '')}{{{rest}}}" if rest else labels.get("__name__", "{}")


def merged(found: Iterable[Series]) -> list[Series]:
    """Series of the same labels put together. Raises Unreadable when they contradict each other."""
    by_labels: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for each in found:
        by_labels.setdefault(each.labels, []).extend(each.samples)
    return [series(dict(labels), samples) for labels, samples in sorted(by_labels.items())]


def span(found: Iterable[Series]) -> tuple[int, int] | None:
    """The first and the last moment of any sample, in milliseconds; None without samples."""
    times = [time for each in found for time in (each.samples[0][0], each.samples[-1][0]) if each.samples]
    return (min(times), max(times)) if times else None


def number(value: float) -> str:
    """A value as Prometheus and its clients write it: no exponent, all digits that matter, NaN, +Inf, -Inf."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def dump(found: Iterable[Series]) -> Iterator[str]:
    """Our own form, which loses nothing: one JSON object a line for each series, values as text, `stale` for a marker."""
    for each in found:
        samples = [[time, "stale" if value is STALE else number(value)] for time, value in each.samples]
        yield json.dumps({"labels": dict(each.labels), "samples": samples}, separators=(",", ":")) + "\n"


def read(text: str) -> list[Series]:
    """The series of a text in any of the three forms.

    Raises:
        Unreadable: it is in none of them, or contradicts itself.

    """
    start = text.lstrip()[:1]
    if not start:
        raise Unreadable("it is empty")
    try:
        return merged(_json(text) if start in ("{", "[") else _open_metrics(text))
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise Unreadable(" ".join(f"{type(error).__name__} {error}".split())[:200]) from None


def _json(text: str) -> Iterator[Series]:
    try:
        whole = json.loads(text)
    except ValueError:
        for number_of_line, line in enumerate(text.splitlines(), 1):
            try:
                entry = json.loads(line) if line.strip() else None
                if entry is not None:
                    yield series(entry["labels"], ((int(time), _value(value)) for time, value in entry["samples"]))
            except (ValueError, KeyError, TypeError) as error:
                raise Unreadable(f"line {number_of_line} is no series: {type(error).__name__} {error}") from None
        return
    if isinstance(whole, dict) and "labels" in whole:
        yield series(whole["labels"], ((int(time), _value(value)) for time, value in whole["samples"]))
        return
    yield from _answer(whole)


def _answer(whole: Any) -> Iterator[Series]:
    """What /api/v1/query says of a range selector (`metric[15m]`): raw samples with their times."""
    data = whole.get("data", whole) if isinstance(whole, dict) else {}
    if data.get("resultType") != "matrix":
        raise Unreadable("it is JSON, but neither series nor Prometheus' answer to a range selector such as metric[15m]")
    for each in data["result"]:
        if "values" not in each:
            raise Unreadable(f"{told(each['metric'])}: native histograms are not supported")
        yield series(each["metric"], ((round(float(time) * 1000), _value(value)) for time, value in each["values"]))


def _value(value: Any) -> float | None:
    return STALE if value == "stale" else float(value)


def _open_metrics(text: str) -> Iterator[Series]:
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for each in family.samples:
            if each.timestamp is None:
                raise Unreadable(f"{each.name}: a sample has no timestamp")
            yield Series(
                labels=tuple(sorted({"__name__": each.name, **each.labels}.items())),
                samples=((round(float(each.timestamp) * 1000), float(each.value)),),
            )
