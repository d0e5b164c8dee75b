"""Measured points: their file, and whether they lie inside."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from oc_cases import SPEC, gate

from harness.oc.exact import characteristic, prepare
from harness.oc.points import BadPoints, Point, inside, parse, schema

ROW = {"error_rate_percent": 0.5, "rps": 50, "window_seconds": 60, "trials": 40, "rollbacks": 6}
MADE = gate(*SPEC)


def exact(point: Point, _confidence: float) -> tuple[float, float, float]:
    plan = prepare(MADE.with_window(point.window), rps=point.rps)
    value = float(characteristic(plan, np.array([point.error_rate])).rollback[0])
    return value, value, value


def test_json_and_csv_say_the_same() -> None:
    table = "error_rate_percent,rps,window_seconds,trials,rollbacks,label,seconds_to_detect\n0.5,50,60,40,6,first,61.2\n"
    assert parse(table) == parse(json.dumps([ROW | {"label": "first"}]))
    assert parse(table)[0].error_rate == 0.005


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"trials": 0}, r"\$\[0\].trials"), ({"rollbacks": 41}, "41 rollbacks of 40"),
        ({"error_rate_percent": 101}, "error_rate"),
        ({"rps": 0}, "rps"), ({"trials": 4.5}, "trials"), ({"trials": "4"}, "trials"),
    ],
)  # fmt: skip
def test_bad_points_are_named(change: dict[str, Any], match: str) -> None:
    with pytest.raises(BadPoints, match=match):
        parse(json.dumps([ROW | change]))


@pytest.mark.parametrize("text", ["", "[", "{}", "a,b\n1,2\n", "error_rate_percent\nx\n"])
def test_what_is_no_file_of_points(text: str) -> None:
    with pytest.raises(BadPoints):
        parse(text)


def test_the_schema_is_one() -> None:
    assert set(schema()["items"]["required"]) == set(ROW)


@pytest.mark.parametrize(("rollbacks", "wanted"), [(0, False), (3, True), (6, True), (11, True), (20, False), (40, False)])
def test_a_point_is_inside_or_not(rollbacks: int, wanted: bool) -> None:
    found = inside(parse(json.dumps([ROW | {"rollbacks": rollbacks}])), exact)
    assert found[0].inside is wanted
    assert found[0].expected == pytest.approx(0.153, abs=0.001)


def test_more_points_get_wider_intervals() -> None:
    one = parse(json.dumps([ROW]))
    alone, among = inside(one, exact)[0], inside(one * 20, exact)[0]
    assert among.low < alone.low < alone.high < among.high


def test_true_points_are_all_inside_as_often_as_stated() -> None:
    # Campaigns of four points, drawn from the curve itself: at most 5 % of them may have a point outside.
    random, rates = np.random.default_rng(11), (0.1, 0.5, 1.0, 2.0)
    truth = {rate: exact(Point(error_rate=rate / 100, rps=50, window=60, trials=1, rollbacks=0), 0)[0] for rate in rates}
    outside = 0
    for _ in range(300):
        drawn = [ROW | {"error_rate_percent": rate, "rollbacks": int(random.binomial(40, truth[rate]))} for rate in rates]
        found = inside(parse(json.dumps(drawn)), lambda point, _: (truth[round(100 * point.error_rate, 3)],) * 3)
        outside += not all(each.inside for each in found)
    assert outside <= 15


def test_a_simulated_model_shares_what_a_point_may_err() -> None:
    asked: list[float] = []

    def simulated(_: Point, confidence: float) -> tuple[float, float, float]:
        asked.append(confidence)
        return 0.5, 0.39, 0.6

    found = inside(parse(json.dumps([ROW])), simulated)
    assert asked == [pytest.approx(0.975)]
    assert not found[0].inside
