"""Every fault on the real platform, with the decision that the catalogue promises; and gates that look in the wrong place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from e2e_support import Place, outcome, run

from harness.faults import FAULTS

SHORT = ("--window", "10", "--rps", "80", "--output", "json")
MATRIX_SECONDS = 900
pytestmark = pytest.mark.timeout(MATRIX_SECONDS + 60)


@pytest.fixture(scope="module")
def played(platform: Place, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The table that is shipped, run once as a whole: by the kind of fault, what came of it."""
    folder = tmp_path_factory.mktemp("matrix")
    ended = run("matrix", "--report-dir", str(folder), "--output", "json", place=platform, timeout=MATRIX_SECONDS)
    assert ended.code in {0, 1, 3}, ended.err
    return {each["fault"]["kind"]: each for each in ended.report["scenarios"]}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_meets_the_decision_that_it_is_due(played: dict[str, dict[str, Any]], kind: str) -> None:
    told, fault = played[kind], FAULTS[kind]
    assert told["status"] == "as_expected", (told["summary"], told["failed_checks"])
    report = json.loads(Path(told["report"]).with_name("report.json").read_text())
    assert report["exit_code"] == (3 if fault.noticed_by else 0)
    if fault.noticed_by:
        assert next(check for check in report["checks"] if check["name"] == fault.noticed_by)["passed"] is False
    else:
        assert report["decision"] == ("rolled_back" if fault.rolled_back else "promoted")


def test_a_gate_that_asks_the_app_alone_promotes_what_never_answers(platform: Place) -> None:
    ended = run(
        "failure", "--fault", "reset", "--fault-setting", "reset_rate=10", "--set", "analysis.source=app", *SHORT, "--rps", "160",
        place=platform,
    )
    assert ended.code == 1, outcome(ended)
    assert ended.report["decision"] == "promoted"
    assert ended.check("measured outcomes")["passed"] is False


def test_with_subsets_the_progress_deadline_never_comes(platform: Place) -> None:
    # argo-rollouts #4626. When this test fails, upstream has mended it: take the two Services out of the fault's values.
    ended = run("failure", "--fault", "slow-start", "--set", "rollout.trafficSplit=subsets", *SHORT, place=platform)
    assert ended.code == 1, outcome(ended)
    assert "#4626" in ended.check("decided by the gate")["actual"]
    assert ended.check("user requests")["passed"]
