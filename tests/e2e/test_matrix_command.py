"""A matrix on the real platform: right and wrong expectations, side by side, and what is written about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import yaml
from e2e_support import Place, run
from junitparser import JUnitXml

TABLE = {
    "defaults": {"window": 8, "rps": 60, "steps": [20]},
    "scenarios": [
        {"name": "errors are caught", "fault": {"kind": "error", "error_rate": 20}},
        {"name": "errors are welcome", "fault": {"kind": "error", "error_rate": 20}, "expect": "promote"},
        {"name": "nobody to ask", "fault": "prometheus-down"},
    ],
}


def test_one_scenario_that_is_decided_otherwise_is_told_from_those_that_are_not(platform: Place, tmp_path: Path) -> None:
    file, junit, folder = tmp_path / "m.yaml", tmp_path / "junit.xml", tmp_path / "reports"
    file.write_text(yaml.safe_dump(TABLE))
    ended = run("matrix", str(file), "--junit", str(junit), "--report-dir", str(folder), "--output", "json", place=platform,
                timeout=400)  # fmt: skip
    assert ended.code == 1, ended.err
    told = ended.report
    assert {each["name"]: (each["status"], each["decision"]) for each in told["scenarios"]} == {
        "errors are caught": ("as_expected", "rolled_back"),
        "errors are welcome": ("otherwise", "rolled_back"),
        "nobody to ask": ("as_expected", "rolled_back"),
    }, ended.err
    assert (told["exit_code"], told["missing"]) == (1, 0)
    assert json.loads((folder / "matrix.json").read_text()) == told
    for each in told["scenarios"]:
        assert Path(each["report"]).is_file()
    suites = cast("Any", JUnitXml.fromfile(str(junit)))
    assert (suites.tests, suites.failures, suites.errors) == (3, 1, 0)


def test_values_that_the_chart_refuses_are_told_before_anything_runs(platform: Place, tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("scenarios: [{name: a}, {name: b, values: {slo.p95Ms: 301}}, {name: c, values: {gate.color: red}}]")
    ended = run("matrix", str(file), place=platform)
    assert ended.code == 2
    lines = [line for line in ended.err.splitlines() if line.startswith("error:")]
    assert [line.split("'")[1] for line in lines] == ["b", "c"], ended.err
