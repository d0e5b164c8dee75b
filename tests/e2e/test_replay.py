"""A run's gate decided again from what the run kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from e2e_support import ROOT, Place, run


def replay(folder: Path) -> tuple[int, dict[str, object]]:
    argv = [sys.executable, "-m", "harness", "gate", "--replay", str(folder), "--output", "json"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100, stdin=subprocess.DEVNULL)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_failed_release_is_decided_again_as_it_was(platform: Place, tmp_path: Path) -> None:
    report = tmp_path / "report"
    ended = run("failure", "--window", "15", "--rps", "50", "--report-dir", str(report), place=platform)
    assert ended.code == 0, ended.out + ended.err
    code, told = replay(report)
    checks = told["checks"]
    assert isinstance(checks, list)
    assert {each["word"] for each in checks} == {"agrees"}, checks
    assert code == 0
    assert {each["what"] for each in checks} >= {"error-rate, measurement 1", "success-rate, measurement 1", "phase"}

    # And one that had measured something else is told from it.
    runs = report / "replay" / "analysisruns.json"
    kept = json.loads(runs.read_text())
    results = kept["items"][0]["status"]["metricResults"]
    next(each for each in results if each["name"] == "error-rate")["measurements"][0]["value"] = "[0.04999]"
    runs.write_text(json.dumps(kept))
    code, told = replay(report)
    assert (code, told["agrees"]) == (1, False)
