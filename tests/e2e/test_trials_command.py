"""Trials on the real platform: side by side without meeting each other, interrupted, and gone on with."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from e2e_support import Place, run, start, wait_until

SHAPE = ("--error-rate", "20", "--window", "8", "--rps", "80", "--output", "json")


def lines(folder: Path) -> list[dict[str, object]]:
    path = folder / "trials.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_an_interrupted_campaign_goes_on_and_loses_no_trial(platform: Place, tmp_path: Path) -> None:
    folder = tmp_path / "campaign"
    arguments = ("trials", "-n", "4", "--lanes", "2", "--campaign", str(folder), *SHAPE)
    process = start(*arguments, place=platform)
    wait_until(lambda: lines(folder), what="the first trial", timeout=150)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    kept = lines(folder)
    assert 1 <= len(kept) < 4

    ended = run(*arguments, place=platform, timeout=400)
    assert ended.code == 0, ended.err
    assert lines(folder)[: len(kept)] == kept
    found = [each for each in lines(folder) if each["valid"]]
    assert len(found) == 4, lines(folder)
    # One fifth of the answers failed: no gate worth its name lets that pass, in any lane.
    assert [each["rolled_back"] for each in found] == [True] * 4
    assert ended.report["rollback"]["successes"] == 4
    assert len({each["seed"] for each in lines(folder)}) == len(lines(folder))
    again = run(*arguments, place=platform)
    assert (again.code, again.report["rollback"]) == (0, ended.report["rollback"])
    other = run("trials", "-n", "4", "--campaign", str(folder), "--error-rate", "10", *SHAPE[2:], place=platform)
    assert other.code == 2
    assert "a campaign with another fault" in other.error
