"""`harness oc` as one calls it, and what it advises."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from oc_cases import LATENCY, SPEC, SUCCESS_RATE, analysis, gate, metric, rollout, template, weighted

from harness.cli import main
from harness.oc import advice
from harness.oc.advice import Solution, Wanted
from harness.oc.exact import prepare


@pytest.fixture
def gate_file(tmp_path: Path) -> str:
    path = tmp_path / "gate.yaml"
    path.write_text(yaml.safe_dump_all([rollout(weighted([10, 30, 60])), template([metric(*each) for each in SPEC])]))
    return str(path)


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["oc", *arguments, "--output", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_text(gate_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["oc", gate_file, "--bad", "2"]) == 0
    out = capsys.readouterr().out
    for words in ("its own limit is 1 %", "0.5 % errors: 0.153", "a window of 138 s or more", "traffic of 115 requests/s"):
        assert words in out


def test_json_says_the_same_and_more(gate_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, gate_file, "--rates", "0,0.5", "--rps", "5", "--simulate", "200", "--bad", "2")
    assert [each["rate_percent"] for each in found["table"]] == [0, 0.5]
    row = found["table"][1]
    assert sum(row["by_cause"].values()) == pytest.approx(row["rollback"]) == pytest.approx(sum(row["by_step"]))
    assert found["simulated"][1]["runs"] == 200
    assert found["suggestion"]["window_seconds"]["value"] > 60


def test_standard_input(gate_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(gate_file).read_bytes())))
    assert as_json(capsys, "-")["table"] == as_json(capsys, gate_file)["table"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rates", "120"], "120: a rate is from 0 to 100 percent"), (["--rates", "x"], "x: give numbers"),
        (["--rates", "nan"], "nan: a rate is from 0 to 100"), (["--power", "1.5"], "1.5: a probability"),
        (["--rps", "0"], "0: give a number above 0"), (["--window", "-1"], "-1: give a number above 0"),
        (["--compare", "0"], "above 0"), (["--plot", "x.pdf"], ".svg or .png"), (["--points", "/nowhere"], "/nowhere"),
        (["--without", "requests,x"], None), (["--rollout", "other"], "no Rollout other"), (["--set", "a=1"], "for --chart"),
        (["--pause", "60"], "--pause is for --weights"), (["--pause", "0", "--weights", "5"], "0: give a number above 0"),
        (["--plot", "/nowhere/x.svg"], "/nowhere/x.svg"), (["--without", "nothing-like-it"], "nothing-like-it"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line(
    gate_file: str, arguments: list[str], words: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["oc", gate_file, *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert (words or "") in err


def test_a_gate_that_cannot_be_computed_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(yaml.safe_dump_all([rollout(weighted([10])), template([metric(*SUCCESS_RATE, interval="{{args.every}}")])]))
    assert main(["oc", str(path)]) == 2
    assert capsys.readouterr().err.startswith("error: the gate cannot be computed: metric success-rate: its interval is the")
    path.write_text("{}")
    assert main(["oc", str(path)]) == 2
    assert "no AnalysisTemplate" in capsys.readouterr().err


@pytest.mark.parametrize(("rollbacks", "code"), [(6, 0), (30, 1)])
@pytest.mark.parametrize("more", [[], ["--simulate", "500", "--scrape-interval", "1"]])
def test_points_and_a_picture(gate_file: str, tmp_path: Path, rollbacks: int, code: int, more: list[str]) -> None:
    points = tmp_path / "points.json"
    point = {"error_rate_percent": 0.5, "rps": 50, "window_seconds": 60, "trials": 40, "rollbacks": rollbacks}
    points.write_text(json.dumps([point]))
    picture = tmp_path / "oc.svg"
    arguments = [gate_file, "--rates", "0,1", "--points", str(points), "--plot", str(picture), "--compare", "200", *more]
    assert main(["oc", *arguments]) == code
    drawn = picture.read_text()
    for words in ("P(rollback)", "limit: 1 %", "50 requests/s, measured", "200 requests/s, computed"):
        assert words in drawn
    again = drawn
    assert main(["oc", *arguments]) == code
    assert picture.read_text() == again


@pytest.mark.parametrize(("axis", "rps"), [("errors", {"shown": 50, "hidden": 20}), ("latency", {"shown": 20, "hidden": 50})])
def test_a_point_is_told_and_drawn_for_what_was_varied(
    gate_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], axis: str, rps: dict[str, int]
) -> None:
    same = {"window_seconds": 60, "trials": 4, "rollbacks": 2}
    points, picture = tmp_path / "points.json", tmp_path / "oc.svg"
    slow = {"error_rate_percent": 0, "slow_percent": 5, "rps": 20}
    points.write_text(json.dumps([{"error_rate_percent": 0.8, "rps": 50, **same}, {**slow, **same}]))
    main(["oc", gate_file, "--axis", axis, "--points", str(points), "--plot", str(picture)])
    out, drawn = capsys.readouterr().out, picture.read_text()
    assert "0.8 % errors, 50 requests/s, 60 s" in out
    assert "0 % errors and 5 % too slow, 20 requests/s, 60 s" in out
    assert f"{rps['shown']} requests/s, measured" in drawn
    assert f"{rps['hidden']} requests/s, measured" not in drawn


def test_latency_on_the_axis(gate_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, gate_file, "--axis", "latency", "--rates", "0,5,10")
    assert found["gate"]["threshold_percent"] == 5
    assert found["table"][0]["rollback"] < 0.001
    assert found["table"][1]["rollback"] > 0.5


def wanted(**change: Any) -> Wanted:
    return Wanted(**({"bad": 0.02, "power": 0.95, "healthy": 0.005, "max_false": 0.05} | change))


@pytest.mark.parametrize("rps", [5.0, 20.0, 50.0])
def test_the_suggested_window_does_what_is_wanted_and_a_second_less_does_not(rps: float) -> None:
    made = gate(*SPEC)
    found = advice.window_for(made, wanted(), rps=rps, kind="split")
    assert found.value is not None

    def chances(seconds: float) -> tuple[float, float]:
        both = advice.of(prepare(made.with_window(seconds), rps=rps), [0.02, 0.005], axis="errors")
        return float(both.caught[0]), float(both.rollback[1])

    assert chances(found.value) == (found.power, found.false)
    for more in (1.0, 1.01, 1.3, 2.0, 5.0):
        power, false = chances(round(found.value * more))
        assert power >= 0.95
        assert false <= 0.05
    power, false = chances(found.value - 1)
    assert power < 0.95 or false > 0.05


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"healthy": 0.01}, "1 % is at or beyond the gate's own limit of 1 %"), ({"healthy": 0.03}, "at or beyond"),
        ({"bad": 0.009}, "0.9 % is at or under the gate's own limit"), ({"axis": "latency"}, "does not look at latency"),
        ({"bad": 0.0101, "healthy": 0.0099}, "not even with"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_said(change: dict[str, Any], words: str) -> None:
    made = gate(SUCCESS_RATE, weights=(1, 1, 1))
    found = advice.window_for(made, wanted(**change), rps=0.01, kind="split")
    assert found == Solution(value=None, reason=found.reason)
    assert words in found.reason


def test_the_smallest_rate_that_is_caught() -> None:
    plan = prepare(gate(*SPEC), rps=50)
    rate = advice.smallest_caught(plan, 0.95, axis="errors")
    assert rate is not None
    below, at = advice.of(plan, [rate - 2e-7, rate], axis="errors").caught
    assert below < 0.95 <= at
    assert advice.smallest_caught(prepare(gate(LATENCY), rps=50), 0.95, axis="errors") is None


def test_a_template_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(yaml.safe_dump(template([metric(*SUCCESS_RATE)])))
    assert as_json(capsys, str(path), "--weights", "5,50")["gate"]["steps"][1]["weight_percent"] == 50
    assert main(["oc", str(path)]) == 2
    assert "--weights 10,30,60" in capsys.readouterr().err
    path.write_text(yaml.safe_dump(template([metric(*SUCCESS_RATE, count=None, interval="60s", failureLimit=1)])))
    assert main(["oc", str(path), "--weights", "5,50"]) == 2
    assert "--weights with --pause" in capsys.readouterr().err
    found = as_json(capsys, str(path), "--weights", "5,50", "--pause", "150")["gate"]
    assert ([each["seconds"] for each in found["steps"]], found["background"]["metrics"]) == ([150, 150], ["success-rate"])
    assert main(["oc", str(path), "--weights", "5", "--pause", "50"]) == 2
    assert "no metric is left that is measured before the steps end" in capsys.readouterr().err
    path.write_text(yaml.safe_dump_all([template([metric(*SUCCESS_RATE)]), rollout([{"setWeight": 1}, analysis()])]))
    assert len(as_json(capsys, str(path))["gate"]["steps"]) == 1
