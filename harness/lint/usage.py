"""PURE: which Rollout runs which template, when, and with which arguments."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.lint.model import Path
from harness.lint.source import Document
from harness.lint.subject import TEMPLATES, Metric, Template, mapping, object_name, seconds, sequence, template_of, whole

STEP, BACKGROUND, BEFORE, AFTER, EXPERIMENT = "step", "background", "prePromotion", "postPromotion", "experiment"
_HOLDS_TRAFFIC = ("setWeight", "setCanaryScale", "setHeaderRoute", "setMirrorRoute", "experiment")


@dataclass(frozen=True, eq=False)
class Rollout:
    """A Rollout, as the rules see it."""

    document: Document

    @property
    def name(self) -> str:
        """metadata.name."""
        return object_name(self.document)

    @property
    def spec(self) -> dict[str, Any]:
        """Its spec."""
        return mapping(self.document.value.get("spec"))

    @property
    def canary(self) -> dict[str, Any] | None:
        """The canary strategy; None when it has another one."""
        found = mapping(self.spec.get("strategy")).get("canary")
        return found if isinstance(found, dict) else None

    @property
    def blue_green(self) -> dict[str, Any] | None:
        """The blueGreen strategy; None when it has another one."""
        found = mapping(self.spec.get("strategy")).get("blueGreen")
        return found if isinstance(found, dict) else None

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The canary's steps."""
        return [mapping(each) for each in sequence((self.canary or {}).get("steps"))]

    @property
    def istio(self) -> dict[str, Any] | None:
        """Its traffic routing by Istio, if it has that."""
        found = mapping((self.canary or {}).get("trafficRouting")).get("istio")
        return found if isinstance(found, dict) else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Use:
    """One place where a Rollout runs analyses. `waited`: the seconds of pauses since the weight last changed.

    For a background analysis, those before its starting step.
    """

    rollout: Rollout
    when: str
    path: Path
    analysis: dict[str, Any]
    waited: float = 0.0

    @property
    def references(self) -> list[tuple[str, str]]:
        """(kind, name) of the templates that it names."""
        return _references(self.analysis.get("templates"))

    @functools.cached_property
    def args(self) -> dict[str, dict[str, Any]]:
        """The arguments that it passes, by name."""
        return {str(each.get("name")): each for each in sequence(self.analysis.get("args")) if isinstance(each, dict)}


def _references(value: Any) -> list[tuple[str, str]]:
    found = []
    for each in sequence(value):
        kind = "ClusterAnalysisTemplate" if mapping(each).get("clusterScope") is True else "AnalysisTemplate"
        found.append((kind, str(mapping(each).get("templateName"))))
    return found


def pause_seconds(step: dict[str, Any]) -> float | None:
    """How long a step pauses: infinity without a duration; None when it is no pause, or its duration cannot be read."""
    if "pause" not in step:
        return None
    duration = mapping(step["pause"]).get("duration")
    if duration is None:
        return math.inf
    number = whole(duration)
    return float(number) if number is not None else seconds(duration)


def uses(rollout: Rollout) -> Iterator[Use]:
    """Every place where a Rollout runs analyses."""
    if rollout.canary is not None:
        base: Path = ("spec", "strategy", "canary")
        if isinstance(rollout.canary.get("analysis"), dict):
            background = rollout.canary["analysis"]
            before = rollout.steps[: max(whole(background.get("startingStep")) or 0, 0)]
            paused = sum(pause_seconds(step) or 0.0 for step in before)
            yield Use(rollout=rollout, when=BACKGROUND, path=(*base, "analysis"), analysis=background, waited=paused)
        waited = 0.0
        for index, step in enumerate(rollout.steps):
            if "setWeight" in step:
                waited = 0.0
            waited += pause_seconds(step) or 0.0
            path = (*base, "steps", index)
            if isinstance(step.get("analysis"), dict):
                yield Use(rollout=rollout, when=STEP, path=(*path, "analysis"), analysis=step["analysis"], waited=waited)
            for number, each in enumerate(sequence(mapping(step.get("experiment")).get("analyses"))):
                # An experiment names one template for each analysis.
                analysis = {**mapping(each), "templates": [each]}
                yield Use(rollout=rollout, when=EXPERIMENT, path=(*path, "experiment", "analyses", number), analysis=analysis)
    if rollout.blue_green is not None:
        for key, when in (("prePromotionAnalysis", BEFORE), ("postPromotionAnalysis", AFTER)):
            if isinstance(rollout.blue_green.get(key), dict):
                path = ("spec", "strategy", "blueGreen", key)
                yield Use(rollout=rollout, when=when, path=path, analysis=rollout.blue_green[key])


class World:
    """All that stands in the input together."""

    def __init__(self, documents: list[Document]) -> None:
        self.documents = documents
        self.templates = [template_of(each) for each in documents if _is(each, *TEMPLATES)]
        self.rollouts = [Rollout(each) for each in documents if _is(each, "Rollout")]
        self.uses = [use for rollout in self.rollouts for use in uses(rollout)]
        self._named: dict[tuple[str, str], list[Template]] = {}
        for template in self.templates:
            self._named.setdefault((template.kind, template.name), []).append(template)
        self._run = {use: self._find(use) for use in self.uses}
        self._used: dict[Template, list[Use]] = {}
        for use, templates in self._run.items():
            for template in templates:
                self._used.setdefault(template, []).append(use)

    def of_kind(self, kind: str, group: str) -> list[Document]:
        """The objects of a kind whose apiVersion is of a group."""
        return [each for each in self.documents if each.value.get("kind") == kind and group in str(each.value.get("apiVersion"))]

    def run_by(self, use: Use) -> list[Template]:
        """The templates in the input that a use runs, those that they name in their turn among them."""
        return self._run[use]

    def _find(self, use: Use) -> list[Template]:
        found: list[Template] = []
        wanted = use.references
        while wanted:
            for template in self._named.get(wanted.pop(0), []):
                if template not in found and _same_place(use, template):
                    found.append(template)
                    wanted += _references(template.spec.get("templates"))
        return found

    def complete(self, use: Use) -> bool:
        """Whether every template that a use names is in the input."""
        names = {(each.kind, each.name) for each in self.run_by(use)}
        return set(use.references) <= names

    def uses_of(self, template: Template) -> list[Use]:
        """Where a template is run."""
        return self._used.get(template, [])

    def scope(self, metric: Metric) -> str:
        """How a metric's query is tied to the new version by its arguments.

        yes, no, canary (it has no arguments, and a canary runs it), not-a-canary (it runs where there is one version only), or
        unknown.
        """
        found = [use for use in self.uses_of(metric.template) if use.when != EXPERIMENT]
        if not found:
            return "unknown"
        if all(use.when == AFTER for use in found):
            return "not-a-canary"
        named = {name for path, name in metric.arguments() if path == metric.query_path}
        if not named:
            return "canary"
        ties = [_tied(use, name, metric) for use in found if use.when != AFTER for name in named]
        return "yes" if "yes" in ties else "unknown" if "unknown" in ties else "no"


def _same_place(use: Use, template: Template) -> bool:
    if template.kind == "ClusterAnalysisTemplate":
        return True
    places = [mapping(each.value.get("metadata")).get("namespace") for each in (use.rollout.document, template.document)]
    return None in places or places[0] == places[1]


def _tied(use: Use, name: str, metric: Metric) -> str:
    passed = use.args.get(name)
    source = mapping((passed or {}).get("valueFrom"))
    if source.get("podTemplateHashValue") == "Latest":
        return "yes"
    if source and "podTemplateHashValue" not in source:
        return "unknown"
    value = str((passed or {}).get("value") or metric.template.args.get(name) or "")
    strategy = {**(use.rollout.canary or {}), **(use.rollout.blue_green or {})}
    services = [str(strategy[key]) for key in ("canaryService", "previewService") if strategy.get(key)]
    if any(service in value for service in services) or re.search(r"canary|preview", value, re.IGNORECASE):
        return "yes"
    return "unknown" if "{{" in value else "no"


def _is(document: Document, *kinds: str) -> bool:
    return document.value.get("kind") in kinds and "argoproj.io" in str(document.value.get("apiVersion"))


def carries_traffic(step: dict[str, Any]) -> bool:
    """Whether a step brings requests, or at least pods, to the new version."""
    return any(key in step for key in _HOLDS_TRAFFIC) and whole(step.get("setWeight")) != 0
