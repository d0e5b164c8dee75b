"""Series as promtool's tests write them."""

from __future__ import annotations

import pytest

from harness.replay.notation import STALE, Unreadable, labels, milliseconds, values


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("1 2 3", [(0, 1.0), (1, 2.0), (2, 3.0)]),
        ("0+10x3", [(0, 0.0), (1, 10.0), (2, 20.0), (3, 30.0)]),
        ("5-2x2", [(0, 5.0), (1, 3.0), (2, 1.0)]),
        ("-2+4x1", [(0, -2.0), (1, 2.0)]),
        ("1x2", [(0, 1.0), (1, 1.0), (2, 1.0)]),
        ("1x0", [(0, 1.0)]),
        ("1 _ 2", [(0, 1.0), (2, 2.0)]),
        ("_x3 7", [(3, 7.0)]),
        ("1 stale 2", [(0, 1.0), (1, STALE), (2, 2.0)]),
        ("1e3 .5 -Inf", [(0, 1000.0), (1, 0.5), (2, float("-inf"))]),
        ("1e-3+1e-3x1", [(0, 0.001), (1, 0.002)]),
    ],
)
def test_values(text: str, wanted: list[tuple[int, float | None]]) -> None:
    assert values(text) == wanted


def test_steps_are_added_up_as_promtool_adds_them() -> None:
    # 0.1 * 3 is 0.30000000000000004 as well, but 0.1 * 6 is not what six additions give.
    assert values("0+0.1x10")[10][1] == sum([0.1] * 10)
    assert values("0+0.1x10")[10][1] != 1.0


@pytest.mark.parametrize("text", ["x", "1+x3", "1xx", "0+10", "1,2", "_3", "stalex3", "{{schema:0}}", "1x99999999999", "0x1F"])
def test_what_is_no_notation_is_told_in_one_line(text: str) -> None:
    with pytest.raises(Unreadable) as told:
        values(text)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("up", {"__name__": "up"}),
        ('up{job="a", x=\'b"c\'}', {"__name__": "up", "job": "a", "x": 'b"c'}),
        ('{__name__="up", job=""}', {"__name__": "up"}),
        ('{job="a"}', {"job": "a"}),
    ],
)
def test_labels(text: str, wanted: dict[str, str]) -> None:
    assert labels(text) == wanted


@pytest.mark.parametrize("text", ['up{job=~"a"}', 'up{job!="a"}', "-up", "up[5m]", "up offset 5m", "1", "up{", '{job=""}'])
def test_what_is_no_series_is_told_in_one_line(text: str) -> None:
    with pytest.raises(Unreadable) as told:
        labels(text)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("1m30s", 90_000), ("90s", 90_000), (90, 90_000), ("2.5", 2500), ("250ms", 250), ("1h", 3_600_000), ("1d", 86_400_000),
     (0, 0), ("", None), ("5x", None), (True, None), (None, None), (float("nan"), None)],
)
def test_times(given: object, wanted: int | None) -> None:
    assert milliseconds(given) == wanted
