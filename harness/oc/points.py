"""PURE: measured points, and whether they lie where a model says."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from scipy import stats

FAMILY = 0.95
"""With this probability all points lie inside together, when the model is true."""


class BadPoints(ValueError):
    """The file does not hold points. One line."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One campaign: shares from 0 to 1, requests/s of all users, seconds of window, releases."""

    error_rate: float
    rps: float
    window: float
    trials: int
    rollbacks: int
    slow: float = 0.0
    label: str = ""

    def interval(self, confidence: float) -> tuple[float, float]:
        """The exact (Clopper-Pearson) interval of P(rollback)."""
        found = stats.binomtest(self.rollbacks, self.trials).proportion_ci(confidence, method="exact")
        return float(found.low), float(found.high)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A point beside its model: the point's interval, the model's value and its interval (that value when it is exact)."""

    point: Point
    low: float
    high: float
    expected: float
    expected_low: float
    expected_high: float

    @property
    def inside(self) -> bool:
        """Whether the two intervals have a value in common."""
        return self.low <= self.expected_high and self.expected_low <= self.high


@cache
def schema() -> dict[str, Any]:
    """The published schema, harness/oc/points.schema.json."""
    found: dict[str, Any] = json.loads(files("harness.oc").joinpath("points.schema.json").read_text(encoding="utf-8"))
    return found


def parse(text: str) -> list[Point]:
    """The points of a JSON list or of a CSV table with the same names.

    Raises:
        BadPoints: it is neither, or a value is out of range; the line says where.

    """
    try:
        raw = json.loads(text, parse_constant=_refuse) if text.lstrip()[:1] in ("[", "{") else _table(text)
    except (ValueError, csv.Error) as error:
        raise BadPoints(f"neither JSON nor CSV: {error}") from None
    except RecursionError:
        raise BadPoints("it is nested too deeply") from None
    wrong = next(iter(Draft202012Validator(schema()).iter_errors(raw)), None)
    if wrong is not None:
        raise BadPoints(f"{wrong.json_path}: {' '.join(wrong.message.split())[:200]}")
    found = []
    for index, each in enumerate(raw):
        if each["rollbacks"] > each["trials"]:
            raise BadPoints(f"$[{index}]: {each['rollbacks']} rollbacks of {each['trials']} trials")
        found.append(
            Point(error_rate=each["error_rate_percent"] / 100, rps=each["rps"], window=each["window_seconds"],
                  trials=int(each["trials"]), rollbacks=int(each["rollbacks"]), slow=each.get("slow_percent", 0) / 100,
                  label=each.get("label", ""))
        )  # fmt: skip
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _table(text: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    known = schema()["items"]["properties"]
    for row in csv.DictReader(io.StringIO(text.lstrip("\ufeff"))):
        made: dict[str, Any] = {}
        for name, value in row.items():
            kind = known.get(name, {}).get("type")
            if kind in ("number", "integer") and value:
                made[name] = int(value) if kind == "integer" else float(value)
            elif kind == "string" and value:
                made[name] = value
        rows.append(made)
    if not rows:
        raise ValueError("it has no row")
    return rows


Curve = Callable[[Point, float], tuple[float, float, float]]
"""(a point, the confidence wanted) → (expected P(rollback), low, high); the three are one where the model is exact."""


def inside(points: Sequence[Point], curve: Curve, *, family: float = FAMILY) -> list[Judged]:
    """Hold each point against its model so that, were the model true, all of them lie inside with at least this probability.

    Bonferroni: of m points each gets an interval of confidence 1 - (1 - family) / m. Where the model has an interval of its own,
    from a simulation, the two share what a point may err.
    """
    found = []
    for point in points:
        allowed = (1 - family) / len(points)
        expected, low, high = curve(point, 1 - allowed / 2)
        own = point.interval(1 - allowed if low == high else 1 - allowed / 2)
        found.append(
            Judged(point=point, low=own[0], high=own[1], expected=expected, expected_low=low, expected_high=high)
        )
    return found


def plain(judged: Judged, *, model: str) -> dict[str, Any]:
    """For programs."""
    point = judged.point
    return {
        "error_rate_percent": 100 * point.error_rate, "slow_percent": 100 * point.slow, "rps": point.rps,
        "window_seconds": point.window, "trials": point.trials, "rollbacks": point.rollbacks, "label": point.label,
        "low": judged.low, "high": judged.high, "model": model, "expected": judged.expected, "inside": judged.inside,
    }  # fmt: skip
