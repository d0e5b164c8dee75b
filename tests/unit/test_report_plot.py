"""Scales, ticks and marks: what is drawn is where its value is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_worlds import WORLDS, report

from harness.report.charts import NARROW, WIDE, charts
from harness.report.plot import Frame, Label, Scale, log_ticks, nice_ticks, shape, time_ticks
from harness.report.story import asked_weights, story_of


def test_a_scale_ends_where_its_values_do() -> None:
    scale = Scale(low=0, high=10, at_low=200, at_high=100)
    assert [scale(value) for value in (0, 5, 10, 11, -1)] == [200, 150, 100, 100, 200]
    assert Scale(low=1, high=100, at_low=0, at_high=10, bent="log")(10) == 5
    assert Scale(low=0, high=100, at_low=0, at_high=10, bent="root")(25) == 5
    assert Scale(low=3, high=3, at_low=7, at_high=9)(3) == 7


@given(st.floats(1e-6, 1e9))
def test_round_ticks_hold_the_highest_value(high: float) -> None:
    ticks = nice_ticks(high)
    assert ticks[0] == 0
    assert ticks[-1] >= high * 0.999999
    assert 2 <= len(ticks) <= 7


@given(st.floats(0.01, 1e5), st.floats(1, 1e4))
def test_logarithmic_ticks_hold_both_ends(low: float, factor: float) -> None:
    ticks = log_ticks(low, low * factor)
    assert ticks == sorted(set(ticks))
    assert len(ticks) >= 2
    assert ticks[0] <= low * 1.01
    assert ticks[-1] >= low * factor * 0.99


def test_moments_are_told_in_seconds_or_minutes() -> None:
    assert list(time_ticks(-10, 31, 5)) == [(-10, "-10 s"), (0, "0 s"), (10, "10 s"), (20, "20 s"), (30, "30 s")]
    assert list(time_ticks(0, 300, 5)) == [(60 * n, f"{n} min") for n in range(6)]
    assert not list(time_ticks(0.2, 0.4, 5))


def test_a_line_is_broken_where_nothing_was_seen_and_marks_keep_apart() -> None:
    frame = Frame(x=Scale(low=0, high=100, at_low=0, at_high=100), y=Scale(low=0, high=1, at_low=10, at_high=0))
    frame.line("x", [(0, 0.0), (10, 1.0), (20, None), (30, 0.5), (31, 0.5)], "circle", ["a", "b", "c", "d", "e"])
    assert frame.paths[0].d == "M0 10L10 0M30 5L31 5"
    assert [path.title for path in frame.paths[1:]] == ["a", "b", "d"]


def test_a_label_goes_where_there_is_room() -> None:
    frame = Frame(x=Scale(low=0, high=1, at_low=0, at_high=100), y=Scale(low=0, high=1, at_low=50, at_high=0))
    frame.labels.append(Label(x=10, y=20, text="there", anchor="start"))
    taken, outside, free = (Label(x=x, y=y, text="four", anchor="start") for x, y in ((40, 22), (90, 40), (0, 40)))
    frame.label(taken, outside, free)
    assert frame.labels[-1] is free
    frame.label(taken, outside)
    assert frame.labels[-1] is taken


def test_a_label_keeps_off_the_lines() -> None:
    frame = Frame(x=Scale(low=0, high=100, at_low=0, at_high=100), y=Scale(low=0, high=100, at_low=100, at_high=0))
    frame.line("x", [(0, 0), (100, 100)], "circle")
    crossed, clear = Label(x=50, y=55, text="four"), Label(x=20, y=20, text="four")
    frame.label(crossed, clear)
    assert frame.labels == [clear]
    frame.label(crossed)
    assert frame.labels == [clear, crossed]


def test_an_unknown_mark_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="star"):
        shape("star", 0, 0, 1)


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", WORLDS)
def test_plots_stay_inside_their_frame(name: str, width: int) -> None:
    for plot in charts(story_of(report(name)), width):
        assert plot.width == width
        assert "nan" not in str(plot)
        assert "inf" not in "".join(path.d for path in plot.paths)
        for path in plot.paths:
            for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path.d):
                assert -1 <= float(x) <= plot.width
                assert -1 <= float(y) <= plot.height
        for label in plot.labels:
            assert 0 <= label.x <= plot.width
            assert 8 <= label.y <= plot.height


def test_weights_are_those_of_the_candidate_to_the_end() -> None:
    assert [weight for _, weight in asked_weights(report("promote"))] == [0, 10, 30, 60, 100, 100]
    assert [weight for _, weight in asked_weights(report("rollback"))] == [0, 10, 0]


def test_descriptions_tell_what_is_drawn() -> None:
    told = {plot.name: plot.description for plot in charts(story_of(report("rollback")))}
    assert "10 % asked, 10.0 % of 983 seen." in told["weights-wide"]
    assert "The gate measured 5 %: Failed." in told["errors-wide"]
    assert "v1.1 was rolled back 24.7 s after the release." in told["errors-wide"]
    assert "No decision was taken." in charts(story_of(report("nothing")))[0].description
