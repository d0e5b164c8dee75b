"""PURE: rules on when and how often a metric is measured, and on how many bad measurements it forgives."""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter

from harness.lint import promql_facts as facts
from harness.lint.model import Path, Rule, Severity, Tell
from harness.lint.subject import INCONCLUSIVE, Metric, Template, mapping, seconds, sequence, unresolved, whole
from harness.lint.usage import AFTER, BACKGROUND, BEFORE, STEP, Use, World, pause_seconds

INVALID = Rule(
    id="GP301", name="invalid-metric", title="A metric that the controller refuses", severity=Severity.ERROR,
    why="The run ends with an Error before the first measurement, and aborts good releases and bad ones alike.",
    fix="mend the field that is named",
    see="GATE 9",
)
NEVER_FAILS = Rule(
    id="GP302", name="failure-limit-too-high", title="A failureLimit that cannot be exceeded", severity=Severity.ERROR,
    why="A metric fails when more measurements than failureLimit have failed. With a count no larger than that, none of "
    "them matters.",
    fix="failureLimit: 0, or at least less than count",
)
INCONCLUSIVE_FORGIVEN = Rule(
    id="GP303", name="inconclusive-limit-too-high", title="An inconclusiveLimit that cannot be exceeded",
    severity=Severity.ERROR,
    why="When count is reached and no limit is exceeded, the metric is Successful, even if every measurement was "
    "Inconclusive.",
    fix="inconclusiveLimit: 0, or a single condition",
    see="GATE 5",
)
ENDLESS = Rule(
    id="GP304", name="endless-step", title="An analysis step that never ends", severity=Severity.ERROR,
    why="A metric with an interval and no count is measured for ever. In the background the end of the release ends it; in "
    "a step, or before or after a promotion, the release waits for it for ever.",
    fix="give it a count",
    see="GATE 7, GATE 8",
)
EARLY = Rule(
    id="GP305", name="measured-too-early", title="The first measurement looks at the time before the step",
    severity=Severity.WARNING,
    why="The first measurement is taken at once. A query over the last minutes then sees mostly the time in which the "
    "version had less traffic or none.",
    fix="initialDelay as long as the query's range, or a pause as long as it in front of the analysis",
    see="GATE 6",
)
UNMEASURED = Rule(
    id="GP306", name="background-too-short", title="A background analysis that can end before it has measured",
    severity=Severity.WARNING,
    why="When the last step is done, a background run is ended; a metric without a measurement then counts as Successful.",
    fix="analyse inline, as a step with a count; or keep the pauses longer than initialDelay",
    see="GATE 7, AR #1329",
)
DRY_RUN = Rule(
    id="GP307", name="dry-run-only", title="Every metric is a dry run", severity=Severity.WARNING,
    why="Dry-run metrics are measured and never decide: the analysis always succeeds.",
    fix="take at least one metric out of dryRun",
)
NO_RETRY = Rule(
    id="GP308", name="no-error-retry", title="One failed query ends the release", severity=Severity.WARNING,
    why="With consecutiveErrorLimit: 0, a Prometheus that restarts at the wrong moment aborts a good release.",
    fix="leave it at 4 (a query is retried every 10 s), or take 2",
    see="GATE 8, GATE 9",
)
LONG_RETRY = Rule(
    id="GP309", name="long-error-retry", title="A broken metrics source holds the release for long", severity=Severity.NOTE,
    why="A failed query is retried every 10 s, consecutiveErrorLimit times, and an AnalysisRun has no time limit of its "
    "own.",
    fix="a consecutiveErrorLimit of 4 to 30",
    see="GATE 8",
)
RETENTION = Rule(
    id="GP310", name="measurements-dropped", title="Measurements that are not kept", severity=Severity.NOTE,
    why="The controller keeps the last ten measurements of a metric, those that failed for an error among them.",
    fix="measurementRetention with a limit of at least count",
    see="GATE 16",
)
BLIND = Rule(
    id="GP311", name="unseen-time", title="Time between the measurements that nobody looks at", severity=Severity.NOTE,
    why="With an interval longer than the query's range, what happens in between is never measured.",
    fix="a range as long as the interval",
)
RULES = (
    INVALID, NEVER_FAILS, INCONCLUSIVE_FORGIVEN, ENDLESS, EARLY, UNMEASURED, DRY_RUN, NO_RETRY, LONG_RETRY, RETENTION, BLIND,
)
_KEPT = 10
_LEAST = {"failureLimit": -1, "inconclusiveLimit": 0, "consecutiveErrorLimit": 0, "consecutiveSuccessLimit": 0}


def examine(metric: Metric, world: World, tell: Tell) -> None:
    """What is wrong with one metric's times and limits."""
    _invalid(metric, tell)
    _forgiven(metric, tell)
    _timing(metric, world, tell)
    limit = whole(metric.spec.get("consecutiveErrorLimit"))
    place = (*metric.path, "consecutiveErrorLimit")
    if limit == 0:
        tell(NO_RETRY, place, "a single failed query is an Error of the whole analysis")
    elif limit is not None and limit > 60:
        tell(LONG_RETRY, place, f"a broken metrics source holds the release for {limit * 10 // 60} minutes")


def _invalid(metric: Metric, tell: Tell) -> None:
    spec = metric.spec
    count, interval = whole(spec.get("count")), spec.get("interval")
    if count is not None and count > 1 and not interval:
        tell(INVALID, (*metric.path, "count"), f"count {count} without an interval")
    for key in ("interval", "initialDelay"):
        value = spec.get(key)
        if value not in (None, "") and "{{" not in str(value) and (isinstance(value, int | float) or seconds(value) is None):
            tell(INVALID, (*metric.path, key), f"{key} {value!r} is no duration such as 30s, 5m or 1h")
    for key, least in _LEAST.items():
        value = whole(spec.get(key))
        if value is not None and value < least:
            tell(INVALID, (*metric.path, key), f"{key} is {value}")
    if whole(spec.get("failureLimit")) == -1 and not whole(spec.get("consecutiveSuccessLimit")):
        tell(INVALID, (*metric.path, "failureLimit"), "failureLimit -1 needs a consecutiveSuccessLimit")
    providers = mapping(spec.get("provider"))
    if len(providers) != 1:
        named = ", ".join(sorted(map(str, providers))) or "none"
        tell(INVALID, (*metric.path, "provider"), f"one provider is wanted, and there is {named}")


def _forgiven(metric: Metric, tell: Tell) -> None:
    count = whole(metric.spec.get("count")) or (1 if not metric.spec.get("interval") else 0)
    if not count:
        return
    limit = whole(metric.spec.get("failureLimit")) or 0
    if limit >= count:
        tell(NEVER_FAILS, (*metric.path, "failureLimit"), f"{count} measurements, and {limit} may fail")
    undecided = whole(metric.spec.get("inconclusiveLimit")) or 0
    both = metric.spec.get("successCondition") and metric.spec.get("failureCondition")
    if undecided < count or not both or metric.provider != "prometheus":
        return
    if INCONCLUSIVE in {metric.outcome(value) for value in (*metric.probes, math.nan)}:
        told = f"{count} measurements, and {undecided} may be Inconclusive"
        tell(INCONCLUSIVE_FORGIVEN, (*metric.path, "inconclusiveLimit"), told)


def _timing(metric: Metric, world: World, tell: Tell) -> None:
    uses = world.uses_of(metric.template)
    interval = metric.spec.get("interval")
    if interval and not whole(metric.spec.get("count")) and not whole(metric.spec.get("consecutiveSuccessLimit")):
        for use in uses:
            if use.when in (STEP, BEFORE, AFTER):
                tell(ENDLESS, metric.path, f"no count, and Rollout {use.rollout.name} waits for its end ({use.when} analysis)")
                break
    if metric.query is None or unresolved(str(metric.prometheus.get("query")), metric.template.args):
        return
    reach = facts.reach(metric.query)
    delay = seconds(metric.spec.get("initialDelay")) or 0.0
    waited = min((use.waited for use in uses), default=0.0)
    if "{{" not in str(metric.spec.get("initialDelay")) and delay + waited < reach:
        tell(EARLY, metric.path, f"the first measurement comes {delay + waited:g} s after the start and looks back {reach:g} s")
    every = seconds(interval) if interval else None
    if every and reach and every > reach:
        tell(BLIND, (*metric.path, "interval"), f"every {every:g} s it looks back {reach:g} s")


def examine_template(template: Template, world: World, tell: Tell) -> None:
    """What is wrong with the metrics of a template as a whole."""
    names = [metric.name for metric in template.metrics]
    for name, times in Counter(names).items():
        if times > 1:
            tell(INVALID, ("spec", "metrics"), f"{times} metrics are named {name}")
    if not names and not sequence(template.spec.get("templates")):
        tell(INVALID, ("spec",), "it has no metrics")
    _dry_run(names, template.spec.get("dryRun"), ("spec", "dryRun"), tell, sure=not template.spec.get("templates"))
    _retention(template, world, tell)


def _dry_run(names: list[str], rules: object, path: Path, tell: Tell, *, sure: bool) -> None:
    dry: set[str] = set()
    for index, each in enumerate(sequence(rules)):
        pattern = str(mapping(each).get("metricName"))
        matched = {name for name in names if _matches(pattern, name)}
        dry |= matched
        if not matched and sure and names:
            tell(INVALID, (*path, index), f"dryRun {pattern!r} matches no metric (it is a regular expression: `.*` for all)")
    if names and sure and dry == set(names):
        tell(DRY_RUN, path, "every metric is a dry run: the analysis cannot fail")


def _matches(pattern: str, name: str) -> bool:
    try:
        with warnings.catch_warnings():
            # What Python finds doubtful in a pattern ("[[]") is none of the user's business: the controller's Go takes it.
            warnings.simplefilter("ignore", FutureWarning)
            return re.search(pattern, name) is not None
    except re.error:
        return False


def _retention(template: Template, world: World, tell: Tell) -> None:
    holders = [template.spec, *(use.analysis for use in world.uses_of(template))]
    kept = [mapping(each) for holder in holders for each in sequence(holder.get("measurementRetention"))]
    for metric in template.metrics:
        count = whole(metric.spec.get("count")) or 0
        limits = [whole(each.get("limit")) or 0 for each in kept if _matches(str(each.get("metricName")), metric.name)]
        limit = max(limits, default=_KEPT)
        if count > limit:
            tell(RETENTION, (*metric.path, "count"), f"{count} measurements, of which {limit} are kept")


def examine_use(use: Use, world: World, tell: Tell) -> None:
    """What is wrong with the metrics where a Rollout runs them."""
    templates = world.run_by(use)
    names = [metric.name for template in templates for metric in template.metrics]
    if use.analysis.get("dryRun"):
        _dry_run(names, use.analysis["dryRun"], (*use.path, "dryRun"), tell, sure=world.complete(use))
    if use.when != BACKGROUND:
        return
    start = whole(use.analysis.get("startingStep")) or 0
    lasting = [pause_seconds(step) or 0.0 for step in use.rollout.steps[start:]]
    if any(key in step for step in use.rollout.steps[start:] for key in ("analysis", "experiment", "plugin")):
        return  # these take their time as well, and nobody knows how much
    for template in templates:
        for metric in template.metrics:
            delay = seconds(metric.spec.get("initialDelay")) or 0.0
            if delay >= sum(lasting):
                ends = f"the steps' pauses end after {sum(lasting):g} s"
                tell(UNMEASURED, use.path, f"{ends}, and {metric.name} is first measured after {delay:g} s")
