"""Every fault on the real platform, with the decision that the catalogue promises; and gates that look in the wrong place."""

from __future__ import annotations

import pytest
from e2e_support import Place, outcome, run

from harness.faults import FAULTS

SHORT = ("--window", "10", "--rps", "80", "--output", "json")


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind not in {"error", "latency"}])  # test_scenarios.py has those
def test_each_fault_meets_the_decision_that_it_is_due(platform: Place, kind: str) -> None:
    ended = run("failure", "--fault", kind, *SHORT, place=platform)
    fault = FAULTS[kind]
    assert ended.code == (3 if fault.noticed_by else 0), outcome(ended)
    assert ended.report["scenario"]["fault"]["kind"] == kind
    if fault.noticed_by:
        assert ended.check(fault.noticed_by)["passed"] is False
    else:
        assert ended.report["decision"] == ("rolled_back" if fault.rolled_back else "promoted")


def test_a_gate_that_asks_the_app_alone_promotes_what_never_answers(platform: Place) -> None:
    ended = run(
        "failure", "--fault", "reset", "--fault-setting", "reset_rate=20", "--set", "analysis.source=app", *SHORT, place=platform
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
