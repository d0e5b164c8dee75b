"""PURE: rules on a metric's PromQL."""

from __future__ import annotations

import math
import re

from harness.lint import promql
from harness.lint import promql_facts as facts
from harness.lint.model import Options, Rule, Severity, Tell
from harness.lint.subject import SUCCESSFUL, Metric, fill_query, unresolved

SYNTAX = Rule(
    id="GP201", name="promql-syntax", title="PromQL that does not parse", severity=Severity.ERROR,
    why="Prometheus refuses the query each time, which is an Error of the run and aborts good releases and bad ones alike. "
    "(Dialects such as MetricsQL accept more: ignore the rule there.)",
    fix="mend the query; try it in Prometheus with the arguments filled in",
    see="GATE 9",
)
HIDDEN_TRAFFIC = Rule(
    id="GP202", name="or-vector-around-ratio", title="`or vector(…)` around a whole ratio that then passes",
    severity=Severity.ERROR,
    why="Without any traffic the ratio is empty, and the number that stands in for it is one that passes.",
    fix="put `or vector(0)` on the numerator only: (sum(errors) or vector(0)) / sum(all)",
    see="GATE 2",
)
ABSENT_NUMERATOR = Rule(
    id="GP203", name="absent-numerator", title="A ratio that is empty as long as there is no error", severity=Severity.WARNING,
    why="A counter has no series for a status code that was never answered, so errors/all of a version without errors is "
    "empty, not 0.",
    fix="(sum(errors) or vector(0)) / sum(all), and let the app create its series at the start",
    see="GATE 2",
)
CUT_BUCKET = Rule(
    id="GP204", name="limit-inside-bucket", title="A quantile's limit inside a bucket", severity=Severity.WARNING,
    why="A histogram knows shares at its bounds only. Between two of them a quantile is interpolated, which is a guess: "
    "with a limit of 0.3 and bounds 0.25 and 0.5, a version whose requests all take 0.26 s can be said to take 0.49 s.",
    fix="give the histogram a bound at the limit, and gate on the share of requests under it: bucket{le=limit} / count >= "
    "0.95",
    see="GATE 10",
)
NO_LE = Rule(
    id="GP205", name="quantile-without-le", title="histogram_quantile of something that has lost its `le`",
    severity=Severity.ERROR,
    why="histogram_quantile needs the label le of each bucket. An aggregation that drops it leaves nothing to compute "
    "from.",
    fix="sum by (le) (rate(…_bucket[…]))",
)
UNKNOWN_BOUND = Rule(
    id="GP206", name="no-such-bucket", title="A bucket that the histogram does not have", severity=Severity.ERROR,
    why="A selector for a bound that does not exist finds nothing, so the share under it is empty.",
    fix="choose one of the histogram's bounds",
    see="GATE 10",
)
WHOLE_BOUND = Rule(
    id="GP207", name="integer-le", title="`le` as a whole number", severity=Severity.WARNING,
    why='Prometheus 3 stores whole bounds with a decimal point: le="1.0". A selector for le="1" finds nothing there; '
    'Prometheus 2 stores what the app wrote.',
    fix='le=~"1|1.0" finds both',
)
NOT_SCOPED = Rule(
    id="GP208", name="not-scoped-to-canary", title="A query over everybody's traffic", severity=Severity.WARNING,
    why="Measured over all versions together, a canary at 10 % with 5 % errors shows 0.5 %, and is promoted. (An error "
    "when a canary Rollout that uses the template is in the input.)",
    fix="select the canary's own series: pass its pod-template hash as an argument (valueFrom.podTemplateHashValue: "
    "Latest)",
    see="GATE 18",
)
SHORT_WINDOW = Rule(
    id="GP209", name="short-window", title="A window shorter than four scrapes", severity=Severity.WARNING,
    why="rate() and increase() extrapolate from the scrapes inside the window: with fewer than two there is nothing, with "
    "few of them one late scrape changes the value.",
    fix="a window of at least four scrape intervals (--scrape-interval says what yours is)",
    see="GATE, the mathematics",
)
MEAN_OF_RATIOS = Rule(
    id="GP210", name="mean-of-ratios", title="An average of ratios or of quantiles", severity=Severity.WARNING,
    why="Each part weighs the same, however few requests it had: a pod with one request counts as much as one with a "
    "thousand. A mean of quantiles is a quantile of nothing.",
    fix="sum first, then divide: sum(part) / sum(whole); for quantiles sum the buckets by (le)",
)
RULES = (
    SYNTAX, HIDDEN_TRAFFIC, ABSENT_NUMERATOR, CUT_BUCKET, NO_LE, UNKNOWN_BOUND, WHOLE_BOUND, NOT_SCOPED, SHORT_WINDOW,
    MEAN_OF_RATIOS,
)

_ENVOY_MS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000)
_CLIENT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# Histograms that come with their bounds, which an app does not choose.
_FIXED = {
    "istio_request_duration_milliseconds_bucket": _ENVOY_MS,
    "envoy_cluster_upstream_rq_time_bucket": _ENVOY_MS,
    "envoy_http_downstream_rq_time_bucket": _ENVOY_MS,
}
# What a histogram has when nobody chose: OpenTelemetry's advice for HTTP, and the Prometheus client libraries' default.
_DEFAULT = {
    "http_server_request_duration_seconds_bucket": (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
}
_BAD = re.compile(r"5\.\.|5\[|5\\d|4\.\.|\b[45]\d\d\b|\b5xx\b|error|fail|exception", re.IGNORECASE)
_GOOD = re.compile(r"2\.\.|\b2\d\d\b|\b2xx\b|success|ok\b|\.\*|\.\+", re.IGNORECASE)
_SCOPES = re.compile(
    r"hash|canary|preview|version|revision|subset|track|replicaset|^rs$|^pod(_name)?$|variant|release_?id|latest|deployment|color",
    re.IGNORECASE,
)
_SCOPE_VALUES = re.compile(r"canary|preview|latest|green", re.IGNORECASE)


def examine(metric: Metric, options: Options, scoped: str, tell: Tell) -> None:
    """What is wrong with one metric's PromQL. `scoped` is `World.scope`: how its arguments tie it to the new version."""
    text = str(metric.prometheus.get("query") or "")
    if not text.strip():
        return
    if metric.query is None:
        _syntax(metric, text, tell)
        return
    query = metric.query
    _ratios(metric, query, tell)
    _histograms(metric, query, options, tell)
    _scope(metric, text, scoped, tell)
    _windows(metric, query, options, tell)
    for node in promql.walk(query):
        if promql.function(node) == "avg":
            inner = promql.parts(node)[-1]
            if facts.divisions(inner) or any(promql.function(each) == "histogram_quantile" for each in promql.walk(inner)):
                tell(MEAN_OF_RATIOS, metric.query_path, "avg() of a ratio or of a quantile: each part weighs the same")
                break


def _syntax(metric: Metric, text: str, tell: Tell) -> None:
    if unresolved(text, metric.template.args) or "{{" in fill_query(text, metric.template.args):
        return  # what would stand there is not known
    try:
        promql.parse(metric.query_text)
    except promql.Malformed as error:
        tell(SYNTAX, metric.query_path, f"the query does not parse: {error}")
    except promql.TooLarge:
        return


def _ratios(metric: Metric, query: promql.Expr, tell: Tell) -> None:
    stands_in = facts.fallback(query)
    if stands_in and facts.divisions(stands_in[0]) and metric.outcome(stands_in[1]) == SUCCESSFUL:
        tell(HIDDEN_TRAFFIC, metric.query_path, f"without traffic the query gives {stands_in[1]:g}, which passes")
    if metric.outcome() == SUCCESSFUL or (stands_in and metric.outcome(stands_in[1]) == SUCCESSFUL):
        return  # then a version without errors passes all the same
    for division in facts.divisions(query):
        part = promql.bare(division.lhs)
        if any(promql.operator(each) == "or" for each in promql.walk(part)):
            continue
        whole = {each for one in promql.selectors(division.rhs) for each in promql.matchers(one)}
        extra = [each for one in promql.selectors(part) for each in promql.matchers(one) if each not in whole]
        for label, sign, value in extra:
            if label != "__name__" and sign in ("=", "=~") and _BAD.search(value) and not _GOOD.search(value):
                tell(ABSENT_NUMERATOR, metric.query_path, f"without a single {label}{sign}\"{value}\" the ratio is empty, not 0")
                return


def _bounds(name: str, options: Options) -> tuple[tuple[float, ...], bool]:
    """(bounds of a histogram, whether they are certain)."""
    if options.buckets:
        return options.buckets, True
    if name in _FIXED:
        return _FIXED[name], True
    if name in _DEFAULT:
        return _DEFAULT[name], False
    return (_CLIENT, False) if name.endswith("_seconds_bucket") else ((), False)


def _histograms(metric: Metric, query: promql.Expr, options: Options, tell: Tell) -> None:
    for node in promql.walk(query):
        if promql.function(node) == "histogram_quantile" and _loses_le(promql.bare(node)):
            tell(NO_LE, metric.query_path, "the aggregation inside histogram_quantile drops the label le")
    for quantile in facts.quantiles(query):
        bounds, certain = _bounds(quantile.metric, options)
        for limit in metric.limits:
            value = limit / quantile.scale
            if not bounds or value <= 0 or any(math.isclose(value, each, rel_tol=1e-6) for each in bounds):
                continue
            low = max((each for each in bounds if each < value), default=0.0)
            high = min((each for each in bounds if each > value), default=math.inf)
            whose = "" if certain else " of the defaults (--buckets says what yours are)"
            tell(CUT_BUCKET, metric.query_path, f"the limit {value:g} lies inside the bucket {low:g} to {high:g}{whose}")
    for selector in promql.selectors(query):
        for label, sign, text in promql.matchers(selector):
            if label == "le" and sign == "=":
                _bound(metric, promql.name(selector), text, options, tell)


def _bound(metric: Metric, name: str, value: str, options: Options, tell: Tell) -> None:
    try:
        bound = float(value)
    except ValueError:
        return
    bounds, certain = _bounds(name, options)
    if certain and math.isfinite(bound) and not any(math.isclose(bound, each, rel_tol=1e-9) for each in bounds):
        tell(UNKNOWN_BOUND, metric.query_path, f'le="{value}" is none of the bounds of {name}')
    elif re.fullmatch(r"\d+", value):
        tell(WHOLE_BOUND, metric.query_path, f'le="{value}" is stored as le="{value}.0" by Prometheus 3')


def _loses_le(call: promql.Expr) -> bool:
    inner = promql.bare(promql.parts(call)[-1])
    if promql.function(inner) not in ("sum", "avg", "max", "min") or not hasattr(inner, "modifier"):
        return False
    if not any(promql.name(each).endswith("_bucket") for each in promql.selectors(inner)):
        return False
    if inner.modifier is None:
        return True
    named = "le" in inner.modifier.labels
    return named != str(inner.modifier.type).endswith("By")


def _scope(metric: Metric, text: str, scoped: str, tell: Tell) -> None:
    if scoped in ("yes", "not-a-canary") or not promql.selectors(metric.query):
        return
    for selector in promql.selectors(metric.query):
        for label, _, value in promql.matchers(selector):
            if label != "__name__" and (_SCOPES.search(label) or _SCOPE_VALUES.search(value)):
                return
    if "{{" in text and scoped != "no":
        return  # an argument may name the canary's own service, job or path
    severity = Severity.ERROR if scoped in ("no", "canary") else None
    tell(NOT_SCOPED, metric.query_path, "nothing in the query tells the new version from the old one", severity)


def _windows(metric: Metric, query: promql.Expr, options: Options, tell: Tell) -> None:
    if unresolved(str(metric.prometheus.get("query")), metric.template.args):
        return
    every = options.scrape_interval
    for name, seconds in sorted(set(facts.ranges(query)), key=lambda each: each[1]):
        # irate and idelta use the last two scrapes only, whatever else the window holds.
        if seconds < every * (2 if name in ("irate", "idelta") else 4):
            tell(SHORT_WINDOW, metric.query_path, f"{name}() over {seconds:g} s, with a scrape every {every:g} s")
            return
