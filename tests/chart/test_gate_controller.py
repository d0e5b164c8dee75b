"""What `harness gate` makes of series by our own rules, and what the real rollouts controller makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from gate_cases import INTERVAL, SERIES, TEMPLATES

from harness.lint.source import documents
from harness.replay import cases, controller, evaluate
from harness.replay.cases import Result
from harness.replay.subjects import subjects


def told(result: Result) -> dict[str, object]:
    """Everything that was decided, and on what."""
    return {
        "phase": result.outcome.phase,
        "metrics": {
            tally.metric.name: {
                "phase": tally.phase if tally.measurements else "none",
                "measurements": [(each.at_ms / 1000, each.phase, each.value) for each in tally.measurements],
            }
            for tally in result.outcome.tallies
        },
    }


@pytest.fixture(scope="module")
def both(bin_dir: Path) -> dict[str, tuple[Result, Result]]:
    """(ours, the controller's) by template."""
    found = subjects(documents("gates", yaml.safe_dump_all(TEMPLATES)))
    runs = evaluate.runs_of(cases.read(json.dumps({"interval": INTERVAL, "series": SERIES})), found)
    mine, theirs = evaluate.evaluate(runs), controller.judged(runs)
    return {one.subject: (one, other) for one, other in zip(mine, theirs, strict=True)}


@pytest.mark.parametrize("name", [each["metadata"]["name"] for each in TEMPLATES])
def test_our_rules_and_the_controller_decide_alike(both: dict[str, tuple[Result, Result]], name: str) -> None:
    mine, theirs = both[name]
    assert told(mine) == told(theirs), (mine.outcome.reason, theirs.outcome.reason)


def test_the_table_knows_every_phase(both: dict[str, tuple[Result, Result]]) -> None:
    # A table in which everything is an Error would agree as well.
    phases = [theirs.outcome.phase for _, theirs in both.values()]
    assert {phase: phases.count(phase) >= 3 for phase in ("Successful", "Failed", "Inconclusive", "Error")} == {
        "Successful": True, "Failed": True, "Inconclusive": True, "Error": True,
    }, phases
