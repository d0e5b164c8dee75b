"""PURE: a gate read from manifests: the Rollout's steps, and the AnalysisTemplates that they run."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from harness.lint import promql
from harness.lint.expr.syntax import Malformed, Unknown
from harness.lint.source import Document
from harness.lint.subject import ERROR, INCONCLUSIVE, SUCCESSFUL, Metric, Template, mapping, seconds, sequence, whole
from harness.lint.usage import BACKGROUND, STEP, Rollout, Use, World, pause_seconds
from harness.oc.gate import Acceptance, Gate, GateMetric, Measurement, Step
from harness.oc.query import Unreadable, compile_query

_UNSUPPORTED = ("inconclusiveLimit", "consecutiveSuccessLimit")


def read_gate(
    documents: Iterable[Document], *, weights: Sequence[float] = (), without: frozenset[str] = frozenset(),
    rollout: str | None = None,
) -> Gate:  # fmt: skip
    """The gate in these objects.

    `weights` are the steps of a template that comes without a Rollout; `without` names metrics to leave out; `rollout` chooses
    among several.

    Raises:
        Unreadable: there is no gate, more than one, or one whose chances cannot be computed; the line says which part.

    """
    world = World(list(documents))
    if not world.templates:
        raise Unreadable("there is no AnalysisTemplate in the input")
    if unknown := without - {metric.name for each in world.templates for metric in each.metrics}:
        raise Unreadable(f"there is no metric {', '.join(sorted(unknown))} to leave out")
    if weights:
        return _bare_gate(world, weights, without)
    found = [each for each in world.rollouts if rollout in (None, each.name) and each.canary is not None]
    if not found:
        named = f"no Rollout {rollout} with a canary strategy" if rollout else "no Rollout with a canary strategy"
        raise Unreadable(f"there is {named} in the input: add it, or give the steps' weights with --weights 10,30,60")
    if len(found) > 1:
        raise Unreadable(f"there is more than one Rollout ({', '.join(each.name for each in found)}): choose one with --rollout")
    return _Reader(world, without).gate(found[0])


def _bare_gate(world: World, weights: Sequence[float], without: frozenset[str]) -> Gate:
    reader = _Reader(world, without)
    measurements = reader.measurements(world.templates, {}, [])
    steps = tuple(Step(weight=weight, measurements=measurements) for weight in weights)
    return Gate(name=world.templates[0].name, steps=steps, notes=tuple(reader.notes))


class _Reader:
    def __init__(self, world: World, without: frozenset[str]) -> None:
        self._world = world
        self._without = without
        self.notes: list[str] = []

    def gate(self, rollout: Rollout) -> Gate:
        """The gate of one Rollout."""
        uses = [use for use in self._world.uses if use.rollout is rollout]
        if any(use.when == BACKGROUND for use in uses):
            self._note("the analysis in the background is left out: only those that are steps are computed")
        at = {use.path[-2]: use for use in uses if use.when == STEP}
        steps: list[Step] = []
        weight, pause = 0.0, 0.0
        for index, raw in enumerate(rollout.steps):
            if "setWeight" in raw:
                if pause:
                    steps.append(Step(weight=weight, pause=pause))
                weight, pause = self._weight(raw), 0.0
            pause += self._pause(raw)
            if index in at:
                steps.append(Step(weight=weight, pause=pause, measurements=self._analysis(at[index])))
                pause = 0.0
        if not any(step.measurements for step in steps):
            raise Unreadable(f"Rollout {rollout.name}: none of its steps runs an analysis")
        replicas = whole(rollout.spec.get("replicas")) or 1
        return Gate(name=rollout.name, steps=tuple(steps), replicas=replicas, notes=tuple(self.notes))

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _weight(self, raw: dict[str, Any]) -> float:
        weight = whole(raw["setWeight"])
        if weight is None or not 0 <= weight <= 100:
            raise Unreadable(f"a step's setWeight is {raw['setWeight']!r}, and no whole number from 0 to 100")
        return float(weight)

    def _pause(self, raw: dict[str, Any]) -> float:
        paused = pause_seconds(raw) or 0.0
        if math.isinf(paused):
            self._note("a pause without a duration counts as no time: a person ends it")
            return 0.0
        return paused

    def _analysis(self, use: Use) -> tuple[Measurement, ...]:
        if not self._world.complete(use):
            named = {name for _, name in use.references} - {each.name for each in self._world.run_by(use)}
            raise Unreadable(f"the AnalysisTemplate {', '.join(sorted(named))} of a step is not in the input")
        passed = {name: str(each["value"]) for name, each in use.args.items() if each.get("value") is not None}
        dry = [str(mapping(each).get("metricName")) for each in sequence(use.analysis.get("dryRun"))]
        return self.measurements(self._world.run_by(use), passed, dry)

    def measurements(self, templates: Sequence[Template], passed: dict[str, str], dry: list[str]) -> tuple[Measurement, ...]:
        """What an analysis of these templates measures; metrics that look at the same requests stand together."""
        found: dict[tuple[float, float], list[GateMetric]] = {}
        for each in templates:
            template = Template(each.document, {**each.args, **passed})
            own = dry + [str(mapping(rule).get("metricName")) for rule in sequence(template.spec.get("dryRun"))]
            for metric in template.metrics:
                if any(_matches(rule, metric.name) for rule in own):
                    self._note(f"metric {metric.name} is left out: it is a dry run, and decides nothing")
                elif metric.name not in self._without:
                    read, moments = self._metric(metric)
                    for moment in moments:
                        found.setdefault((moment, read.query.window), []).append(read)
        if not found:
            raise Unreadable("no metric is left that decides anything")
        if len({window for _, window in found}) > 1:
            self._note("metrics look back over different times: they are computed as if they saw different requests")
        ordered = sorted(found.items(), key=lambda item: item[0])
        for ((before, _), _), ((after, window), _) in itertools.pairwise(ordered):
            if after - before < window and after != before:
                self._note("measurements overlap: the exact figures take them for independent, the simulation does not")
        return tuple(Measurement(at=at, window=window, metrics=tuple(metrics)) for (at, window), metrics in ordered)

    def _metric(self, metric: Metric) -> tuple[GateMetric, list[float]]:
        try:
            read = self._read(metric)
            read.cause  # noqa: B018 -- it refuses a mixture
            return read, _moments(metric)
        except Unreadable as error:
            told = str(error).removeprefix(f"metric {metric.name}: ")
            raise Unreadable(f"metric {metric.name}: {told} (--without {metric.name} computes the gate without it)") from None

    def _read(self, metric: Metric) -> GateMetric:
        if metric.provider != "prometheus":
            raise Unreadable(f"its provider is {metric.provider or 'missing'}; only prometheus is understood")
        try:
            query = promql.parse(metric.query_text)
        except (promql.Malformed, promql.TooLarge) as error:
            raise Unreadable(f"its query does not parse: {error}") from None
        acceptance = _acceptance(metric)
        if any(metric.outcome(value) == INCONCLUSIVE for value in metric.probes):
            self._note(f"metric {metric.name} is inconclusive at some values, which pauses a release: counted as not promoted")
        text = " / ".join(str(metric.spec[w]) for w in ("successCondition", "failureCondition") if metric.spec.get(w))
        compiled = compile_query(query, limits=metric.limits)
        return GateMetric(name=metric.name, condition=text, query=compiled, acceptance=acceptance)


def _matches(pattern: str, name: str) -> bool:
    try:
        return pattern == name or re.search(pattern, name) is not None
    except re.error:
        return False


def _moments(metric: Metric) -> list[float]:
    """When a metric is measured, in seconds after the analysis began."""
    spec = metric.spec
    for key in _UNSUPPORTED:
        if spec.get(key) not in (None, 0, "0"):
            raise Unreadable(f"it has {key} {spec[key]}, which is not understood here")
    limit = 0 if spec.get("failureLimit") is None else whole(spec["failureLimit"])
    if limit != 0:
        raise Unreadable(f"it has failureLimit {spec['failureLimit']}: only gates without it are computed")
    delay = 0.0 if spec.get("initialDelay") is None else seconds(spec["initialDelay"])
    interval = None if spec.get("interval") is None else seconds(spec["interval"])
    count = whole(spec.get("count")) or (1 if interval is None else 0)
    if delay is None or count < 1 or (count > 1 and not interval):
        raise Unreadable("initialDelay, interval and count do not say when it is measured (it needs a count, 1 at least)")
    if count > 1000:
        raise Unreadable(f"its count of {count} is more than is computed here")
    return [delay + index * (interval or 0.0) for index in range(count)]


def _acceptance(metric: Metric) -> Acceptance:
    """A condition as a step function: every place where its answer changes, found among probes and then by halving."""

    def passes(value: float) -> bool:
        phase = metric.outcome(value)
        if phase is None:
            raise Unreadable("its condition uses something that is not understood here")
        return phase == SUCCESSFUL

    for which in ("successCondition", "failureCondition"):
        try:
            metric.condition(which)
        except Malformed as error:
            raise Unreadable(f"its {which} is no expression: {error}") from None
        except Unknown:
            raise Unreadable(f"its {which} is not understood here") from None
    if all(metric.outcome(value) == ERROR for value in metric.probes):
        raise Unreadable("its condition is an error at every value")
    bounds = {*metric.written}
    for low, high in itertools.pairwise(metric.probes):
        if passes(low) != passes(high) and not any(low <= each <= high for each in bounds):
            bounds.add(_where_it_changes(passes, low, high))
    ordered = sorted(bounds)
    between = [passes(_inside(ordered, index)) for index in range(len(ordered) + 1)]
    return Acceptance(
        bounds=np.array(ordered, dtype=np.float64), at=np.array([passes(each) for each in ordered], dtype=bool),
        between=np.array(between, dtype=bool), nan=metric.outcome(math.nan) == SUCCESSFUL, empty=metric.outcome() == SUCCESSFUL,
    )  # fmt: skip


def _where_it_changes(passes: Any, low: float, high: float) -> float:
    """The last number with the answer of `low`."""
    first = passes(low)
    while math.nextafter(low, math.inf) < high:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if passes(middle) == first else (low, middle)
    return low


def _inside(bounds: list[float], index: int) -> float:
    """A number just below bounds[index], above the one before; above all of them for the last."""
    if not bounds:
        return 0.5
    if index == len(bounds):
        return bounds[-1] + abs(bounds[-1]) + 1
    below = bounds[index - 1] if index else bounds[0] - abs(bounds[0]) - 1
    return (below + bounds[index]) / 2
