"""PURE: rules on what a metric's conditions say of a measured value, of no value and of NaN."""

from __future__ import annotations

import math

from harness.lint import promql
from harness.lint import promql_facts as facts
from harness.lint.expr.syntax import Malformed, Unknown
from harness.lint.expr.types import Refused, check
from harness.lint.model import Rule, Severity, Tell
from harness.lint.subject import ERROR, FAILED, INCONCLUSIVE, SUCCESSFUL, Metric

# These providers decide by themselves; every other one hands its value to the conditions.
_DECIDES_ITSELF = {"job", "kayenta", "plugin", ""}

# What their values look like is known.
_MODELLED = {"prometheus", "datadog"}

NO_CONDITION = Rule(
    id="GP101", name="no-condition", title="A metric without a condition", severity=Severity.ERROR,
    why="Without a successCondition and a failureCondition, every measurement that gets an answer is Successful.",
    fix="give it a successCondition: len(result) > 0 && !isNaN(result[0]) && result[0] …",
    see="GATE 4",
)
INVALID_CONDITION = Rule(
    id="GP102", name="invalid-condition", title="A condition that can never be evaluated", severity=Severity.ERROR,
    why="The controller compiles a condition with the type of the measured value; Prometheus gives a list of numbers, also "
    "for one sample. What does not compile is an Error of every measurement, and aborts good releases and bad ones "
    "alike.",
    fix="write an expression that gives true or false, of result[0] and not of result",
    see="GATE 1, GATE 9",
)
EMPTY_IS_ERROR = Rule(
    id="GP103", name="unguarded-result", title="A result without a guard against no data", severity=Severity.ERROR,
    why="When a query gives no sample, result[0] is an Error, not a failure. It is retried every 10 s, and after "
    "consecutiveErrorLimit (4) the run aborts whatever is being released, with a cause that nobody chose. On "
    "Prometheus default() and isNil() do not help, since an empty list is not nil. On Datadog no data is nil, and "
    "whatever compares it does not compile.",
    fix="Prometheus: len(result) > 0 && !isNaN(result[0]) && result[0] …; Datadog: default(result, a value that fails)",
    see="GATE 1, AR #1466",
)
EMPTY_PASSES = Rule(
    id="GP104", name="empty-passes", title="No data counts as success", severity=Severity.WARNING,
    why="A version that gets no traffic, is not scraped, or whose metric has another name gives no sample, and is promoted "
    "unseen.",
    fix="let no data fail, or gate on a minimum of requests with a metric of its own",
    see="GATE 2, GATE 18",
)
NAN_PASSES = Rule(
    id="GP105", name="nan-passes", title="NaN counts as success", severity=Severity.ERROR,
    why="Without traffic a ratio is 0/0 and a quantile is NaN. NaN is not above any limit, so a failureCondition alone "
    "lets it pass.",
    fix="use a successCondition alone: len(result) > 0 && !isNaN(result[0]) && result[0] …",
    see="GATE 3",
)
GAP = Rule(
    id="GP106", name="inconclusive-gap", title="Values that meet neither condition", severity=Severity.WARNING,
    why="With both conditions, a value that meets neither is Inconclusive: the release pauses until somebody acts, neither "
    "promoted nor rolled back.",
    fix="keep the successCondition only (anything else is then a failure), unless a person shall decide there",
    see="GATE 5, AR #3015",
)
CONSTANT = Rule(
    id="GP107", name="constant-outcome", title="Conditions that decide the same for every value", severity=Severity.ERROR,
    why="A gate that always passes protects nothing, and one that never does stops every release.",
    fix="compare the measured value with a limit that it can be on either side of",
)
SCALE = Rule(
    id="GP108", name="percent-or-ratio", title="A limit in percent for a ratio, or the other way round", severity=Severity.ERROR,
    why="The query gives a share of a whole (0 to 1, or 0 to 100), and the limit is not one of that scale.",
    fix="compare a ratio with 0.99 and a percentage with 99",
)
IGNORES_OTHERS = Rule(
    id="GP109", name="only-first-sample", title="Several samples, of which only the first is judged", severity=Severity.ERROR,
    why="result[0] is the first of however many samples a query gives, in no certain order; the others may be as bad as "
    "they like.",
    fix="aggregate to one sample (sum without by), or judge all: len(result) > 0 && all(result, # >= …)",
)
RULES = (
    NO_CONDITION, INVALID_CONDITION, EMPTY_IS_ERROR, EMPTY_PASSES, NAN_PASSES, GAP, CONSTANT, SCALE, IGNORES_OTHERS,
)


def examine(metric: Metric, tell: Tell) -> None:
    """What is wrong with one metric's conditions."""
    if metric.provider in _DECIDES_ITSELF:
        return
    if not metric.spec.get("successCondition") and not metric.spec.get("failureCondition"):
        tell(NO_CONDITION, metric.path, f"no condition: every answer of {metric.provider} counts as success")
        return
    if _invalid(metric, tell) or metric.provider not in _MODELLED:
        return
    sure = _samples(metric, tell)
    if sure:
        _values(metric, tell)


def _which(metric: Metric) -> str:
    return "successCondition" if metric.spec.get("successCondition") else "failureCondition"


def _invalid(metric: Metric, tell: Tell) -> bool:
    found = False
    for which in ("successCondition", "failureCondition"):
        try:
            node = metric.condition(which)
            if node is None or check(node, metric.result_kind) in ("bool", "any"):
                continue
            error: Exception = Refused("it gives a value, not true or false")
        except Unknown:
            continue
        except (Malformed, Refused) as refused:
            error = refused
        found = True
        tell(INVALID_CONDITION, (*metric.path, which), f"{which} is an error for every value: {error}")
    return found


def _samples(metric: Metric, tell: Tell) -> bool:
    """What it says of no sample and of NaN; whether it says anything of numbers."""
    place = (*metric.path, _which(metric))
    query = metric.query
    numbers = {metric.outcome(value) for value in metric.probes}
    if numbers == {ERROR}:
        tell(INVALID_CONDITION, place, "the condition is an error for every value (default() gives the whole list back)")
        return False
    stands_in = facts.fallback(query) if query is not None else None
    if metric.provider == "datadog" or (metric.result_kind == "vector" and stands_in is None):
        _nothing(metric, tell)
    if metric.provider == "prometheus" and (query is None or facts.may_be_nan(query)):
        nan = metric.outcome(math.nan)
        if nan == SUCCESSFUL:
            tell(NAN_PASSES, place, "NaN (no traffic) counts as success")
        elif nan == INCONCLUSIVE and not any(each >= 0 and metric.outcome(each) == INCONCLUSIVE for each in metric.probes):
            tell(GAP, place, "NaN (no traffic) meets neither condition: the release pauses")
    # Rates, shares and counts are never negative.
    between = [each for each in metric.probes if each >= 0 and metric.outcome(each) == INCONCLUSIVE]
    if between:
        tell(GAP, place, f"a value such as {min(between, key=_plain):g} meets neither condition: the release pauses")
    return None not in numbers and ERROR not in numbers


def _nothing(metric: Metric, tell: Tell) -> None:
    place = (*metric.path, _which(metric))
    empty = metric.outcome()
    if empty == SUCCESSFUL:
        tell(EMPTY_PASSES, place, "a query that gives no data counts as success")
    elif empty == ERROR and metric.provider == "datadog":
        tell(EMPTY_IS_ERROR, place, "no data is nil, which is an Error here, behind !isNil() as well: only default() takes it")
    elif empty == ERROR:
        tell(EMPTY_IS_ERROR, place, "no sample is an Error here, not a failure: result[0] has no guard")


def _plain(value: float) -> tuple[int, float]:
    """The value that is shortest to write comes first."""
    return (len(f"{value:.12g}"), value)


def _values(metric: Metric, tell: Tell) -> None:
    place = (*metric.path, _which(metric))
    outcomes = {metric.outcome(value) for value in metric.probes}
    if len(outcomes) == 1:
        tell(CONSTANT, place, f"every value is {next(iter(outcomes))}")
        return
    query = metric.query
    if query is None:
        return
    _scale(metric, query, tell)
    reason = facts.many(query)
    if not reason or metric.result_kind != "vector":
        return
    good = next((value for value in metric.probes if metric.outcome(value) == SUCCESSFUL), None)
    bad = next((value for value in metric.probes if metric.outcome(value) == FAILED), None)
    if good is not None and bad is not None and metric.outcome(good, bad) == SUCCESSFUL and metric.outcome(bad, good) == FAILED:
        tell(IGNORES_OTHERS, metric.query_path, f"only the first sample is judged, and {reason}")


def _scale(metric: Metric, query: promql.Expr, tell: Tell) -> None:
    size = facts.share(query)
    if size is None or size <= 0:
        return
    place = (*metric.path, _which(metric))
    steps = [0, 1e-6, 1e-3, 0.005, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 0.995, 0.999, 1]
    inside = [each for each in metric.probes if 0 <= each <= size] + [size * each for each in steps]
    outcomes = {metric.outcome(value) for value in inside}
    scale = "a ratio from 0 to 1" if size == 1 else f"a share from 0 to {size:g}"
    if len(outcomes) == 1:
        tell(SCALE, place, f"the query gives {scale}, and all of it is {next(iter(outcomes))}")
    elif size > 1:
        # A limit under 1 % is possible for errors. A success of 2 % that is good enough is not meant.
        low, high = metric.outcome(size * 0.02), metric.outcome(0)
        if low == SUCCESSFUL and high != SUCCESSFUL and metric.outcome(size) == SUCCESSFUL:
            tell(SCALE, place, f"the query gives {scale}, and {size * 0.02:g} is enough to pass")
