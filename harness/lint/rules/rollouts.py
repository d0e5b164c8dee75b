"""PURE: rules on a Rollout: what is judged before everybody gets it, and what happens around a decision."""

from __future__ import annotations

import math
from typing import Any

from harness.lint.model import Path, Rule, Severity, Tell
from harness.lint.subject import Template, mapping, sequence, whole
from harness.lint.usage import BACKGROUND, STEP, Rollout, Use, World, carries_traffic, pause_seconds

UNJUDGED = Rule(
    id="GP401", name="no-analysis", title="A release that nothing judges", severity=Severity.WARNING,
    why="Without an analysis and without a pause that waits for a person, every version that starts reaches everybody, "
    "only later.",
    fix="an analysis step after each setWeight; for blueGreen a prePromotionAnalysis",
)
LAST_WEIGHT = Rule(
    id="GP402", name="weight-not-judged", title="A weight that is not judged before the next one", severity=Severity.WARNING,
    why="What a step shows is looked at by no analysis before more users get the version; after the last step, everybody "
    "does.",
    fix="an analysis step after each setWeight",
    see="GATE 7",
)
NO_TRAFFIC_YET = Rule(
    id="GP403", name="analysis-before-traffic", title="An analysis before the new version has traffic",
    severity=Severity.WARNING,
    why="Before the first setWeight the new version has no pods or no requests, so there is nothing to measure.",
    fix="put a setWeight (or a header route with test traffic) in front of it",
)
ROLLBACK_WINDOW = Rule(
    id="GP404", name="rollback-window", title="rollbackWindow skips the gate", severity=Severity.WARNING,
    why="A release that returns to a revision within the window skips all steps and analyses.",
    fix="leave it out where every release must be judged",
    see="GATE 13",
)
DYNAMIC_STABLE = Rule(
    id="GP405", name="dynamic-stable-scale", title="dynamicStableScale delays an abort", severity=Severity.WARNING,
    why="The stable pods shrink as the canary grows, so an abort waits for pods to start, and the bad version serves "
    "meanwhile.",
    fix="dynamicStableScale: false",
    see="GATE 12, AR #4195",
)
NO_DELAY = Rule(
    id="GP406", name="no-scale-down-delay", title="Old pods stop before proxies know", severity=Severity.WARNING,
    why="Proxies take a new weight or selector a moment after the API does, and still send requests to pods that are gone "
    "by then: 503.",
    fix="scaleDownDelaySeconds of at least 30",
    see="GATE 12, AR #4195",
)
NO_DEADLINE_ABORT = Rule(
    id="GP407", name="no-deadline-abort", title="A version that never starts is not rolled back", severity=Severity.NOTE,
    why="When new pods do not become ready, no analysis begins. Without progressDeadlineAbort the release stays where it "
    "is, Degraded, until somebody acts.",
    fix="progressDeadlineAbort: true",
    see="GATE 8, AR #1376",
)
ARGUMENTS = Rule(
    id="GP408", name="argument-mismatch", title="Arguments that do not fit", severity=Severity.ERROR,
    why="An argument without a value keeps the AnalysisRun from being made, and the release hangs; one that the template "
    "does not declare is dropped without a word; one that is used but not declared is an Error of every run.",
    fix="declare each argument in the template, and pass those that have no value there",
    see="AR #872",
)
INVALID = Rule(
    id="GP409", name="invalid-rollout", title="A Rollout that the controller refuses", severity=Severity.ERROR,
    why="The Rollout gets the condition InvalidSpec, and nothing is released.",
    fix="mend the field that is named",
)
RULES = (
    UNJUDGED, LAST_WEIGHT, NO_TRAFFIC_YET, ROLLBACK_WINDOW, DYNAMIC_STABLE, NO_DELAY, NO_DEADLINE_ABORT, ARGUMENTS, INVALID,
)
_CANARY: Path = ("spec", "strategy", "canary")
_BLUE_GREEN: Path = ("spec", "strategy", "blueGreen")


def examine(rollout: Rollout, tell: Tell) -> None:
    """What is wrong with one Rollout."""
    spec = rollout.spec
    if (whole(mapping(spec.get("rollbackWindow")).get("revisions")) or 0) > 0:
        tell(ROLLBACK_WINDOW, ("spec", "rollbackWindow"), "a return to an older revision skips the steps and the analysis")
    deadline, ready = whole(spec.get("progressDeadlineSeconds")), whole(spec.get("minReadySeconds")) or 0
    if deadline is not None and deadline <= ready:
        tell(
            INVALID, ("spec", "progressDeadlineSeconds"), f"{deadline} s are not more than minReadySeconds {ready}"
        )
    if rollout.canary is not None:
        _canary(rollout, rollout.canary, tell)
        if any("analysis" in step for step in rollout.steps) or rollout.canary.get("analysis"):
            _deadline(spec, tell)
    if rollout.blue_green is not None:
        _blue_green(rollout.blue_green, tell)


def _deadline(spec: dict[str, Any], tell: Tell) -> None:
    if spec.get("progressDeadlineAbort") is not True:
        tell(
            NO_DEADLINE_ABORT, ("spec",), "a version whose pods never become ready is not aborted: no progressDeadlineAbort"
        )


def _canary(rollout: Rollout, canary: dict[str, Any], tell: Tell) -> None:
    routed = isinstance(canary.get("trafficRouting"), dict)
    if canary.get("dynamicStableScale") is True:
        tell(DYNAMIC_STABLE, (*_CANARY, "dynamicStableScale"), "an abort waits for stable pods to start")
    delay = whole(canary.get("scaleDownDelaySeconds"))
    if routed and delay == 0 and not canary.get("dynamicStableScale"):
        tell(NO_DELAY, (*_CANARY, "scaleDownDelaySeconds"), "old pods stop as soon as the weight is written")
    if not routed:
        for key in ("scaleDownDelaySeconds", "dynamicStableScale"):
            if canary.get(key):
                tell(INVALID, (*_CANARY, key), f"{key} needs trafficRouting")
    elif delay is not None and canary.get("dynamicStableScale") is True:
        tell(INVALID, (*_CANARY, "scaleDownDelaySeconds"), "scaleDownDelaySeconds cannot be combined with dynamicStableScale")
    _steps(rollout, canary, tell)


def _judges(step: dict[str, Any]) -> bool:
    if "analysis" in step or "plugin" in step:
        return True
    return bool(sequence(mapping(step.get("experiment")).get("analyses"))) or pause_seconds(step) == math.inf


def _steps(rollout: Rollout, canary: dict[str, Any], tell: Tell) -> None:
    steps = rollout.steps
    background = bool(sequence(mapping(canary.get("analysis")).get("templates")))
    if not background and not any(map(_judges, steps)):
        told = "no analysis, and no pause that waits for a person" if steps else "no steps and no analysis"
        tell(UNJUDGED, _CANARY, told)
        return
    for index, step in enumerate(steps):
        if any(carries_traffic(each) for each in steps[:index]):
            break
        if "analysis" in step:
            tell(NO_TRAFFIC_YET, (*_CANARY, "steps", index), "the analysis runs before the first setWeight")
            break
    if background:
        return
    unjudged = _unjudged(steps)
    if unjudged:
        weights = ", ".join(f"{weight} %" for _, weight in unjudged)
        tell(LAST_WEIGHT, (*_CANARY, "steps", unjudged[0][0]), f"no analysis judges {weights} before more users get the version")


def _unjudged(steps: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """(step, weight) of each weight that nothing looks at before the next higher one, or before the end."""
    found: list[tuple[int, int]] = []
    last: tuple[int, int] | None = None
    for index, step in enumerate(steps):
        if _judges(step):
            last = None
        weight = whole(step.get("setWeight"))
        if weight is not None:
            if last and weight > last[1] > 0:
                found.append(last)
            last = (index, weight)
    return [*found, last] if last and 0 < last[1] < 100 else found


def _blue_green(strategy: dict[str, Any], tell: Tell) -> None:
    automatic = strategy.get("autoPromotionEnabled") is not False
    has = [key for key in ("prePromotionAnalysis", "postPromotionAnalysis") if isinstance(strategy.get(key), dict)]
    if automatic and not has:
        tell(UNJUDGED, _BLUE_GREEN, "no analysis before or after the switch, which happens by itself")
    if whole(strategy.get("scaleDownDelaySeconds")) == 0:
        tell(NO_DELAY, (*_BLUE_GREEN, "scaleDownDelaySeconds"), "old pods stop as soon as the Service is switched")
    active, preview = strategy.get("activeService"), strategy.get("previewService")
    if active and active == preview:
        tell(INVALID, (*_BLUE_GREEN, "previewService"), "activeService and previewService are the same")


def examine_use(use: Use, world: World, tell: Tell) -> None:
    """Whether a Rollout passes the arguments that its templates want."""
    templates = world.run_by(use)
    if not templates or not world.complete(use) or use.when not in (STEP, BACKGROUND, "prePromotion", "postPromotion"):
        return
    declared: dict[str, str | None] = {}
    for template in templates:
        for name, value in _own(template).items():
            declared[name] = declared.get(name) or value
    names = ", ".join(template.name for template in templates)
    for name, value in declared.items():
        passed = use.args.get(name)
        if value is None and not (passed and (passed.get("value") is not None or passed.get("valueFrom"))):
            tell(ARGUMENTS, use.path, f"the argument {name} of {names} gets no value: the release hangs here")
    for index, each in enumerate(sequence(use.analysis.get("args"))):
        name = str(mapping(each).get("name"))
        if name not in declared:
            tell(ARGUMENTS, (*use.path, "args", index), f"{names} has no argument {name}: it is dropped", Severity.WARNING)


def _own(template: Template) -> dict[str, str | None]:
    """A template's arguments; one with a valueFrom of its own counts as having a value."""
    found = dict(template.args)
    for each in sequence(template.spec.get("args")):
        if mapping(each).get("valueFrom"):
            found[str(mapping(each).get("name"))] = "from elsewhere"
    return found


def examine_template(template: Template, world: World, tell: Tell) -> None:
    """Whether a template declares the arguments that it uses."""
    declared = set(template.args)
    for use in world.uses_of(template):
        declared |= {name for other in world.run_by(use) for name in other.args}
    if template.spec.get("templates") or any(_named_by(template, other) for other in world.templates):
        return  # arguments of others count too, and not all of these need be here
    told: set[str] = set()
    for metric in template.metrics:
        for path, name in metric.arguments():
            if name not in declared and name not in told:
                told.add(name)
                tell(ARGUMENTS, path, f"the argument {name} is used and not declared: every run ends with an Error")


def _named_by(template: Template, other: Template) -> bool:
    return any(mapping(each).get("templateName") == template.name for each in sequence(other.spec.get("templates")))
