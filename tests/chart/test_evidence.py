"""What docs/evidence.md claims to have measured lies where the gate's own chart says it should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from docs_support import DOCS

from harness.campaign.trial import from_json, summarize
from harness.cli import main

POINTS = DOCS / "evidence" / "points.json"
GATE = ("--rps", "5", "--set", "analysis.minRequests=15", "--rates", "0,0.5,1")


def test_the_measured_points_lie_inside_the_computed_curve(bin_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["oc", *GATE, "--points", str(POINTS)]) == 0
    assert "inside" in capsys.readouterr().out


def test_a_point_that_no_such_gate_gives_is_told(bin_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (point,) = json.loads(POINTS.read_text(encoding="utf-8"))
    wrong = tmp_path / "points.json"
    wrong.write_text(json.dumps([{**point, "trials": 200, "rollbacks": 20}]))
    assert main(["oc", *GATE, "--points", str(wrong)]) == 1


def test_the_points_are_those_of_the_trials() -> None:
    lines = (DOCS / "evidence" / "half-percent-5rps.jsonl").read_text(encoding="utf-8").splitlines()
    summary = summarize([from_json(json.loads(line)) for line in lines], 3)
    (point,) = json.loads(POINTS.read_text(encoding="utf-8"))
    assert (point["rollbacks"], point["trials"]) == (summary.rollback.successes, summary.rollback.trials)
    assert (summary.rollbacks_by_step, summary.invalid) == ((3, 10, 4), 4)
