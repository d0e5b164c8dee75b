"""PURE: a gate read from manifests: the Rollout's steps, the analyses that are steps, and the one beside them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from harness.lint import promql
from harness.lint.source import Document
from harness.lint.subject import ERROR, Metric, Template, mapping, sequence, whole
from harness.lint.usage import BACKGROUND, STEP, Rollout, Use, World, pause_seconds
from harness.oc.acceptance import acceptances
from harness.oc.gate import LATEST, Background, Gate, GateMetric, Measurement, Repeated, Step
from harness.oc.query import Unreadable, compile_query
from harness.oc.schedule import RETRY_SECONDS, Schedule, schedule, step_moments

_OVERLAP = "measurements overlap: the exact figures take them for independent, the simulation does not"


def read_gate(
    documents: Iterable[Document], *, weights: Sequence[float] = (), without: frozenset[str] = frozenset(),
    rollout: str | None = None, scrape_interval: float = 15.0, pause: float = 0.0,
) -> Gate:  # fmt: skip
    """The gate in these objects.

    `weights` are the steps of a template that comes without a Rollout: each runs it or, with a `pause`, lasts so many seconds,
    and the template is measured beside them, in the background; `without` names metrics to leave out; `rollout` chooses
    among several; `scrape_interval` in seconds is what an `irate()` sees.

    Raises:
        Unreadable: there is no gate, more than one, or one whose chances cannot be computed; the line says which part.

    """
    world = World(list(documents))
    if not world.templates:
        raise Unreadable("there is no AnalysisTemplate in the input")
    if unknown := without - {metric.name for each in world.templates for metric in each.metrics}:
        raise Unreadable(f"there is no metric {', '.join(sorted(unknown))} to leave out")
    if weights:
        return _bare_gate(world, weights, pause, _Reader(world, without, scrape_interval))
    found = [each for each in world.rollouts if rollout in (None, each.name) and each.canary is not None]
    if not found:
        named = f"no Rollout {rollout} with a canary strategy" if rollout else "no Rollout with a canary strategy"
        raise Unreadable(f"there is {named} in the input: add it, or give the steps' weights with --weights 10,30,60")
    if len(found) > 1:
        raise Unreadable(f"there is more than one Rollout ({', '.join(each.name for each in found)}): choose one with --rollout")
    return _Reader(world, without, scrape_interval).gate(found[0])


def _bare_gate(world: World, weights: Sequence[float], pause: float, reader: _Reader) -> Gate:
    steps: list[Step] = []
    if pause:
        steps = [Step(weight=weight, pause=pause) for weight in weights]
        metrics = reader.repeated(world.templates, {}, [], seen=False, lasting=True)
        background = reader.background(metrics, (0, 0.0), steps)
        if background is None:
            raise Unreadable("no metric is left that is measured before the steps end")
        return Gate(name=world.templates[0].name, steps=tuple(steps), background=background, notes=tuple(reader.notes))
    for weight in weights:
        measured = reader.repeated(world.templates, {}, [], seen=_seen(steps))
        steps.append(Step(weight=weight, measurements=reader.grouped(measured)))
    return Gate(name=world.templates[0].name, steps=tuple(steps), notes=tuple(reader.notes))


def _seen(steps: Sequence[Step]) -> bool:
    """Whether the canary has had requests by the end of these steps."""
    return any(step.weight > 0 and step.seconds > 0 for step in steps)


class _Reader:
    def __init__(self, world: World, without: frozenset[str], scrape_interval: float) -> None:
        self._world = world
        self._without = without
        self._scrape_interval = scrape_interval
        self.notes: list[str] = []

    def gate(self, rollout: Rollout) -> Gate:
        """The gate of one Rollout."""
        uses = [use for use in self._world.uses if use.rollout is rollout]
        beside = next((use for use in uses if use.when == BACKGROUND), None)
        starting = whole(beside.analysis.get("startingStep")) or 0 if beside else -1
        at = {use.path[-2]: use for use in uses if use.when == STEP}
        steps: list[Step] = []
        weight, pause = 0.0, 0.0
        began: tuple[int, float] | None = None
        for index, raw in enumerate(rollout.steps):
            if "setWeight" in raw:
                if pause:
                    steps.append(Step(weight=weight, pause=pause))
                weight, pause = self._weight(raw), 0.0
            if index == starting:
                began = len(steps), pause
            pause += self._pause(raw)
            if index in at:
                seen = _seen([*steps, Step(weight=weight, pause=pause)])
                measured = self.grouped(self._analysis(at[index], seen=seen))
                steps.append(Step(weight=weight, pause=pause, measurements=measured))
                pause = 0.0
        background = None
        if beside is not None:
            # What follows the last analysis counts only where something still measures.
            steps += [Step(weight=weight, pause=pause)] if pause else []
            background = self._beside(beside, began, steps)
        if background is None and not any(step.measurements for step in steps):
            raise Unreadable(f"Rollout {rollout.name}: none of its steps runs an analysis, and none runs beside them")
        replicas = whole(rollout.spec.get("replicas")) or 1
        return Gate(
            name=rollout.name, steps=tuple(steps), background=background, replicas=replicas, notes=tuple(self.notes)
        )  # fmt: skip

    def _beside(self, use: Use, began: tuple[int, float] | None, steps: Sequence[Step]) -> Background | None:
        if began is None or began[0] >= len(steps):
            self._note("the analysis in the background is left out: the steps are over before it begins")
            return None
        step, after = began
        seen = _seen([*steps[:step], Step(weight=steps[step].weight, pause=after)])
        return self.background(self._analysis(use, seen=seen), began, steps)

    def background(self, metrics: Sequence[Repeated], began: tuple[int, float], steps: Sequence[Step]) -> Background | None:
        """The analysis of these metrics beside the steps; None when it decides nothing."""
        step, after = began
        if not metrics:
            return None
        if any(each.limits.successes for one in steps for m in one.measurements for each in m.metrics):
            raise Unreadable("an analysis that ends early (consecutiveSuccessLimit) and one in the background: not both at once")
        if any(0 < each.interval < each.window for each in metrics) or any(each.measurements for each in steps):
            self._note(_OVERLAP)
        until = sum(each.seconds for each in steps) - sum(each.seconds for each in steps[:step]) - after
        for each in metrics:
            self._toothless(each.metric, len(each.moments(until)))
        if not any(each.moments(until) for each in metrics):
            self._note("the analysis in the background is left out: the steps are over before it measures")
            return None
        return Background(step=step, after=after, metrics=tuple(metrics))

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _toothless(self, metric: GateMetric, times: int) -> None:
        borne = metric.limits.failures
        if 0 < times <= borne and not metric.limits.successes:
            self._note(f"metric {metric.name} stops nothing by failing: it bears {borne}, and is measured {times} x")

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

    def _analysis(self, use: Use, *, seen: bool) -> list[Repeated]:
        if not self._world.complete(use):
            named = {name for _, name in use.references} - {each.name for each in self._world.run_by(use)}
            where = "in the background" if use.when == BACKGROUND else "of a step"
            raise Unreadable(f"the AnalysisTemplate {', '.join(sorted(named))} {where} is not in the input")
        passed = {name: str(each["value"]) for name, each in use.args.items() if each.get("value") is not None}
        dry = [str(mapping(each).get("metricName")) for each in sequence(use.analysis.get("dryRun"))]
        return self.repeated(self._world.run_by(use), passed, dry, seen=seen, lasting=use.when == BACKGROUND)

    def repeated(
        self, templates: Sequence[Template], passed: dict[str, str], dry: list[str], *, seen: bool, lasting: bool = False
    ) -> list[Repeated]:
        """The metrics of these templates that decide. `seen`: the canary has had requests; `lasting`: in the background."""
        found: list[Repeated] = []
        for each in templates:
            template = Template(each.document, {**each.args, **passed})
            own = dry + [str(mapping(rule).get("metricName")) for rule in sequence(template.spec.get("dryRun"))]
            for metric, written in zip(template.metrics, each.metrics, strict=True):
                if any(_matches(rule, metric.name) for rule in own):
                    self._note(f"metric {metric.name} is left out: it is a dry run, and decides nothing")
                elif metric.name not in self._without:
                    if self._world.scope(written) == "no":
                        self._note(f"metric {metric.name} is not tied to the new version: computed as if it counted that alone")
                    found.append(self._metric(metric, seen=seen, lasting=lasting))
        if len({each.window for each in found}) > 1:
            self._note("metrics look back over different times: they are computed as if they saw different requests")
        return found

    def grouped(self, metrics: Sequence[Repeated]) -> tuple[Measurement, ...]:
        """What an analysis measures as a step; metrics that look at the same requests stand together."""
        found: dict[tuple[float, float], list[GateMetric]] = {}
        for each in metrics:
            self._toothless(each.metric, len(each.moments(math.inf)))
            for moment in each.moments(math.inf):
                found.setdefault((moment, each.window), []).append(each.metric)
        if not found:
            raise Unreadable("no metric is left that decides anything")
        ordered = sorted(found.items(), key=lambda item: item[0])
        for ((before, _), _), ((after, window), _) in itertools.pairwise(ordered):
            if after - before < window and after != before:
                self._note(_OVERLAP)
        return tuple(Measurement(at=at, window=window, metrics=tuple(metrics)) for (at, window), metrics in ordered)

    def _metric(self, metric: Metric, *, seen: bool, lasting: bool) -> Repeated:
        try:
            _asks_prometheus(metric)
            planned = schedule(metric)
            if not lasting:
                planned = step_moments(planned)
            read = self._read(metric, planned)
            read.cause  # noqa: B018 -- it refuses a mixture
        except Unreadable as error:
            told = str(error).removeprefix(f"metric {metric.name}: ")
            raise Unreadable(f"metric {metric.name}: {told} (--without {metric.name} computes the gate without it)") from None
        delay = planned.delay
        if delay <= 0 and not seen and read.retries:
            self._note(
                f"metric {metric.name} is first measured before the canary had a request, which is an Error: counted from when "
                f"it is taken again, {RETRY_SECONDS:g} s later"
            )
            delay = RETRY_SECONDS
        elif delay <= 0 and not seen and not read.acceptance.empty:
            self._note(f"metric {metric.name} is first measured before the canary had a request, which fails: see initialDelay")
        return Repeated(metric=read, delay=delay, interval=planned.interval, window=read.query.window)

    def _read(self, metric: Metric, planned: Schedule) -> GateMetric:
        try:
            query = promql.parse(metric.query_text)
        except (promql.Malformed, promql.TooLarge) as error:
            raise Unreadable(f"its query does not parse: {error}") from None
        passing, tolerated = acceptances(metric)
        if tolerated is not None:
            self._note(f"metric {metric.name} is inconclusive at some values, which pauses a release: counted as not promoted")
        text = " / ".join(str(metric.spec[w]) for w in ("successCondition", "failureCondition") if metric.spec.get(w))
        compiled = compile_query(query, limits=metric.limits, scrape_interval=self._scrape_interval)
        if compiled.latest:
            self._note(
                f"metric {metric.name}: {LATEST}: computed for a window of the {self._scrape_interval:g} s between them "
                "(--scrape-interval), wherever they lie; --simulate plays them"
            )
        retries = planned.retries if metric.outcome() == ERROR else None
        return GateMetric(
            name=metric.name, condition=text, query=compiled, acceptance=passing, tolerated=tolerated, limits=planned.limits,
            count=planned.count, retries=retries,
        )  # fmt: skip


def _asks_prometheus(metric: Metric) -> None:
    if metric.provider != "prometheus":
        raise Unreadable(f"its provider is {metric.provider or 'missing'}; only prometheus is understood")


def _matches(pattern: str, name: str) -> bool:
    try:
        return pattern == name or re.search(pattern, name) is not None
    except re.error:
        return False
