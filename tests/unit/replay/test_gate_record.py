"""What a run keeps, and the parts of deciding it again that need no Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.replay import record
from harness.replay.agreement import DIFFERS, UNKNOWN, Noted, cuts, load, measurements, phases, same
from harness.replay.samples import series

QUERY = 'sum(rate(x_total{h="{{args.h}}",code!~"5.."}[1m])) / sum(rate(x_total{h="{{args.h}}"}[2m] offset 30s))'


def run(phase: str = "Failed", *measured: str, **status: Any) -> dict[str, Any]:
    taken = [
        {"phase": each, "value": "[0.5]", "startedAt": "2026-01-01T00:00:10Z", "finishedAt": "2026-01-01T00:00:10Z"}
        for each in measured or ("Failed",)
    ]
    metric = {"name": "m", "successCondition": "result[0] > 0.9", "provider": {"prometheus": {"query": QUERY}}}
    return {
        "metadata": {"name": "r", "managedFields": [1], "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"metrics": [metric], "args": [{"name": "h", "value": "abc"}]},
        "status": {
            "phase": phase,
            "metricResults": [{"name": "m", "phase": phase, "count": len(taken), "measurements": taken, **status}],
        },
    }


def test_every_selector_of_the_queries_is_asked_for_once() -> None:
    assert record.selectors([run(), run()]) == [
        (("__name__", "=", "x_total"), ("h", "=", "abc"), ("code", "!~", "5..")),
        (("__name__", "=", "x_total"), ("h", "=", "abc")),
    ]
    assert record.measured(run()) == [1767225610.0]
    assert "managedFields" not in record.trimmed(run())["metadata"]


def test_a_prometheus_that_is_gone_is_a_note_and_no_failure(tmp_path: Path) -> None:
    why = record.keep(tmp_path, [run()], since=0.0, prometheus_url="http://127.0.0.1:1")
    assert why.startswith("the run cannot be replayed")
    assert "\n" not in why


def test_an_earlier_releases_run_is_not_kept(tmp_path: Path) -> None:
    assert record.keep(tmp_path, [run()], since=2e9, prometheus_url="http://127.0.0.1:1") == ""
    assert load(tmp_path) == ([], [])


def test_a_measurement_can_have_been_taken_in_any_millisecond_of_its_second() -> None:
    (noted,) = measurements(run())
    assert (noted.last_ms - noted.first_ms, noted.first_ms % 1000) == (999, 0)
    assert noted.query.count("abc") == 2


@pytest.mark.parametrize(
    ("values", "agrees"), [((0.5,), True), ((0.5 + 1e-14,), True), ((0.51,), False), ((), False), ((0.5, 0.5), False)]
)
def test_agreement_is_that_of_the_value_and_of_what_it_means(values: tuple[float, ...], agrees: bool) -> None:
    (noted,) = measurements(run())
    assert same(noted, values, scalar=False) is agrees
    (other,) = measurements(run("Successful", "Successful"))
    assert same(other, values, scalar=False) is False  # 0.5 is not above 0.9


def test_the_runs_phase_follows_from_its_measurements() -> None:
    assert [each.word for each in phases(run())] == ["agrees"]
    assert [each.word for each in phases(run("Successful"))] == [DIFFERS]
    assert [each.word for each in phases(run(count=12))] == [UNKNOWN]
    assert list(phases(run("Running"))) == []


def test_the_newest_scrapes_are_left_out_of_all_targets_and_of_each() -> None:
    noted = Noted(run="r", spec={}, number=1, first_ms=1000, last_ms=1999, phase="Failed", value="[1]", message="")
    one = series({"__name__": "x", "instance": "a"}, [(900, 1.0), (1200, 1.0)])
    two = series({"__name__": "x", "instance": "b"}, [(950, 1.0), (1500, 1.0)])
    left = [[len(each.samples) for each in found] for found in cuts(noted, [one, two])]
    assert left == [[1, 1], [2, 1], [1, 2], [2, 1]]


@pytest.mark.parametrize("damage", [None, "{", '{"items": 1}', "[]"])
def test_a_folder_without_a_recorded_run_is_told_in_one_line(tmp_path: Path, damage: str | None) -> None:
    if damage is not None:
        (tmp_path / record.RUNS).write_text(damage)
        (tmp_path / record.SERIES).write_text("nothing")
    with pytest.raises(UsageError) as told:
        load(tmp_path)
    assert "\n" not in str(told.value)
