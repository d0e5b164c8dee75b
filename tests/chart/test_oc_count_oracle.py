"""How `harness oc` counts measurements, against the rollouts controller's own assessment, compiled from the pinned module."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from chart_tools import controllers_program

from harness.oc.gate import ERROR, FAILS, INCONCLUSIVE, PASSES, Limits
from harness.oc.timeline import DONE, LOST, START, Tally, count

SOURCE = Path(__file__).parent / "count_oracle" / "oracle.go"
PHASES = {PASSES: "Successful", INCONCLUSIVE: "Inconclusive", FAILS: "Failed", ERROR: "Error"}
LENGTH = 5


@pytest.fixture(scope="module")
def oracle(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that asks the controller's code. With everything compiled already, it is built in seconds and offline."""
    # The function that it calls has its body in another package, which the compiler allows in a package that is not complete.
    return controllers_program(SOURCE, tmp_path_factory.mktemp("oracle"), "-gcflags=-complete=false")


def metric_of(limits: Limits, times: int | None) -> dict[str, Any]:
    spec = {
        "name": "m", "interval": "10s", "failureLimit": limits.failures, "inconclusiveLimit": limits.inconclusive,
        "consecutiveSuccessLimit": limits.successes, "consecutiveErrorLimit": 0, "provider": {"prometheus": {}},
    }  # fmt: skip
    return spec if times is None else {**spec, "count": times}


def ours(limits: Limits, times: int | None, outcomes: tuple[int, ...]) -> tuple[str, int]:
    """The verdict, and after how many measurements."""
    tally: Tally = START
    for number, outcome in enumerate(outcomes, 1):
        tally = count(limits, tally, outcome, last=number == times)
        if isinstance(tally, str):
            return tally, number
    return "running", len(outcomes)


THEIRS = {"Successful": DONE, "Failed": LOST, "Inconclusive": LOST, "Error": LOST, "Running": "running"}


@pytest.mark.parametrize("times", [None, 1, 3, 5])
def test_the_controller_counts_alike(oracle: Path, times: int | None) -> None:
    cases = []
    for failures, inconclusive, successes in itertools.product((-1, 0, 1, 2), (0, 1), (0, 1, 2, 3)):
        limits = Limits(failures=failures, inconclusive=inconclusive, successes=successes)
        cases += [(limits, outcomes) for outcomes in itertools.product(PHASES, repeat=LENGTH)]
    asked = [{"metric": metric_of(limits, times), "outcomes": [PHASES[each] for each in outcomes]} for limits, outcomes in cases]
    text = "".join(json.dumps(each) + "\n" for each in asked)
    done = subprocess.run([oracle], input=text, capture_output=True, text=True, check=True, timeout=240)
    compared: set[str] = set()
    for (limits, outcomes), line in zip(cases, done.stdout.splitlines(), strict=True):
        phase, number = line.split()
        if phase != "Invalid":  # what the controller refuses is refused here too
            assert (THEIRS[phase], int(number)) == ours(limits, times, outcomes), (limits, outcomes, line)
            compared.add(phase)
    assert compared >= {"Successful", "Failed", "Inconclusive", "Error"}
