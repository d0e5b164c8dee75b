"""What docs/evidence.md claims to have measured is in its records, and lies where the gate's own chart says it should."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from docs_support import DOCS
from scipy.stats import fisher_exact

from harness.campaign.trial import Summary, from_json, summarize
from harness.cli import main

EVIDENCE = DOCS / "evidence"
POINTS: list[dict[str, Any]] = json.loads((EVIDENCE / "points.json").read_text(encoding="utf-8"))
GATE = ("--rps", "20", "--set", "analysis.minRequests=10", "--rates", "0,0.5,1")
"""Ten requests are fewer than any of these windows ever holds; so was half of what was expected, which the harness asked for."""
LEVEL = 0.01
BY_LABEL = pytest.mark.parametrize("point", POINTS, ids=lambda point: point["label"])


@cache
def measured(label: str) -> Summary:
    """The campaign of this name, from its records."""
    lines = (EVIDENCE / f"{label}.jsonl").read_text(encoding="utf-8").splitlines()
    return summarize([from_json(json.loads(line)) for line in lines], 3)


def row(label: str) -> list[str]:
    """The cells of the document's row for this campaign."""
    text = (DOCS / "evidence.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^\| {re.escape(label)} \|.*$", text, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_measured_points_lie_inside_the_computed_curve(bin_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["oc", *GATE, "--points", str(EVIDENCE / "points.json"), "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["points"]
    assert [each["label"] for each in found] == [each["label"] for each in POINTS]
    for each in found:
        assert each["inside"], each
        assert row(each["label"])[5] == chance(each["expected"]), each


def chance(value: float) -> str:
    """As the document writes a probability."""
    return "< 0.001" if value < 0.0005 else "> 0.999" if value >= 0.9995 else f"{value:.3f}"


@pytest.mark.parametrize("shift", [0.35, -0.35])
def test_a_point_that_no_such_gate_gives_is_told(
    bin_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], shift: float
) -> None:
    point = next(each for each in POINTS if each["label"] == "half-percent-5rps")
    wrong = tmp_path / "points.json"
    wrong.write_text(json.dumps([{**point, "trials": 200, "rollbacks": round(200 * (0.556 + shift))}]))
    assert main(["oc", *GATE, "--points", str(wrong)]) == 1


@BY_LABEL
def test_the_points_are_those_of_the_trials(point: dict[str, Any]) -> None:
    summary = measured(point["label"])
    assert (point["rollbacks"], point["trials"]) == (summary.rollback.successes, summary.rollback.trials)


@BY_LABEL
def test_the_document_says_what_was_measured(point: dict[str, Any]) -> None:
    summary, cells = measured(point["label"]), row(point["label"])
    steps = ", ".join(map(str, summary.rollbacks_by_step))
    assert cells[3] == f"{summary.rollback.successes} of {summary.rollback.trials} ({steps})"
    assert cells[4] == f"{summary.rollback.low:.2f} to {summary.rollback.high:.2f}"
    assert cells[7] == ("never" if summary.detect_seconds is None else f"{summary.detect_seconds[0]:.0f} s")
    assert summary.failed_requests is not None
    assert cells[8] == "{:g}, {:g}".format(*summary.failed_requests[1:])
    assert cells[9] == str(summary.invalid)


def test_lanes_decide_as_releases_one_after_another_do() -> None:
    # Fisher's exact test: with as many rollbacks in all, would chance alone tell the two apart as much as this?
    table = [
        [measured(label).rollback.successes, measured(label).rollback.trials - measured(label).rollback.successes]
        for label in ("lanes-side-by-side", "lanes-one-after-another")
    ]
    assert float(fisher_exact(table).pvalue) >= LEVEL
    assert min(map(sum, table)) >= 20
