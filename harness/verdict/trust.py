"""Checks against hands in the works: who wrote, whether the gate stayed the same, whether the clock did. PURE: no I/O.

A failure here is exit 3: what somebody else changed meanwhile is no evidence about the gate.
"""

from __future__ import annotations

from harness.observation import Observation
from harness.scenario import Scenario
from harness.verdict.experiment import experiment_check
from harness.verdict.model import Check

MAX_CLOCK_STEP_SECONDS = 0.5
"""By how much the clock may be corrected during a release. Slewing (at most 0.5 ms a second) stays far below it; a step of half
a second already moves requests across the edges of windows and steps."""


def hands_off(_: Scenario, observation: Observation) -> Check:
    """Nobody but those who were there before the release has written into its objects."""
    return experiment_check(
        "hands off",
        [f"{hand.manager or 'somebody'} wrote the {hand.part} of {hand.kind} {hand.name}" for hand in observation.hands],
        expected="only helm or Argo CD and the rollouts controller write into Rollout, VirtualService and AnalysisRuns",
        actual="nobody else wrote",
        evidence=tuple(f"{hand.at:.3f} {hand.kind} {hand.name} {hand.part} {hand.manager}" for hand in observation.hands),
    )


def same_gate(_: Scenario, observation: Observation) -> Check | None:
    """Steps for which the Rollout asks for the same analysis were given the same one: its template was not changed meanwhile."""
    runs, final = observation.step_analyses, observation.final_state
    if not runs:
        return None
    gates = final.step_gates if final else ()
    asked: dict[str, dict[str, str]] = {}
    for run in runs:
        wanted = gates[run.step_index] if run.step_index is not None and run.step_index < len(gates) else ""
        asked.setdefault(wanted, {}).setdefault(run.asked, run.name)
    changed = [list(names.values()) for names in asked.values() if len(names) > 1]
    return experiment_check(
        "same gate",
        [f"the gate was changed during the release: {', '.join(names)} do not ask the same" for names in changed],
        expected="every step was judged by the same metrics, conditions and limits",
        actual=f"{len(runs)} analyses, {len(asked)} {'gate' if len(asked) == 1 else 'gates'}",
        evidence=tuple(f"{run.name}: {run.asked[:12]}" for run in runs),
    )


def steady_clock(_: Scenario, observation: Observation) -> Check:
    """The clock went on evenly: by it clients, watches and measurements are put in order."""
    step = observation.clock_step_seconds
    return experiment_check(
        "clock",
        [f"the clock was set by {step:+.1f} s during the release, or the machine was suspended: run it again"]
        if not abs(step) <= MAX_CLOCK_STEP_SECONDS
        else [],
        expected=f"the clock was set by at most {MAX_CLOCK_STEP_SECONDS:g} s during the release",
        actual=f"{step:+.3f} s against a clock that nobody sets",
    )
