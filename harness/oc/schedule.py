"""PURE: when a metric is measured, and how many of its measurements may fail, as the rollouts controller reads its spec."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.lint.subject import Metric, fill_condition, seconds, unresolved, whole
from harness.oc.gate import MOMENTS_AT_MOST, Limits
from harness.oc.query import Unreadable
from harness.replay.analysis import RETRY_MS, Invalid, metric_of

RETRY_SECONDS = RETRY_MS / 1000
"""After a measurement that was an Error."""
_TIMES = ("initialDelay", "interval", "count")
_LIMITS = ("failureLimit", "inconclusiveLimit", "consecutiveSuccessLimit", "consecutiveErrorLimit")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Measured `delay` seconds after the analysis began, then every `interval` seconds; `count` times (None: until it is ended).

    `retries`: how often one that is an Error is taken again.
    """

    delay: float
    interval: float
    count: int | None
    limits: Limits
    retries: int


def schedule(metric: Metric) -> Schedule:
    """The schedule of a metric, its arguments filled in.

    Raises:
        Unreadable: an argument has no value, or the controller would refuse the metric.

    """
    spec = {**metric.spec, **{key: _filled(metric, key) for key in (*_TIMES, *_LIMITS) if metric.spec.get(key) is not None}}
    delay = 0.0 if spec.get("initialDelay") is None else seconds(spec["initialDelay"])
    interval = 0.0 if spec.get("interval") is None else seconds(spec["interval"])
    if delay is None or interval is None:
        raise Unreadable("initialDelay, interval and count do not say when it is measured: a time is no duration such as 1m30s")
    try:
        read = metric_of(spec)
    except Invalid as error:
        told = str(error).removeprefix(f"metric {metric.spec.get('name', '')}: ")
        raise Unreadable(f"the controller refuses it: {told}") from None
    if (read.count or 0) > MOMENTS_AT_MOST:
        raise Unreadable(f"its count of {read.count} is more than is computed here")
    if read.count is None and interval <= 0:
        raise Unreadable("its interval is no time above 0")
    limits = Limits(failures=read.failure_limit, inconclusive=read.inconclusive_limit, successes=read.success_limit)
    return Schedule(delay=delay, interval=interval, count=read.count, limits=limits, retries=read.error_limit)


def step_moments(planned: Schedule) -> Schedule:
    """The same with a count, as a step needs it, which must end by itself.

    Without one it ends when so many in a row pass, or too many fail: at the latest when every failure that is borne (and every
    inconclusive one) comes one measurement before the row would be complete, and then the row, or one failure more.

    Raises:
        Unreadable: it would never end.

    """
    limits = planned.limits
    if planned.count is not None:
        return planned
    if not limits.successes:
        raise Unreadable(
            "initialDelay, interval and count do not say when it ends: without a count it never passes as a step; in the "
            "background it does: give its Rollout, or --weights with --pause"
        )
    if limits.failures < 0:
        raise Unreadable("it has neither a count nor a failureLimit: how long its step lasts has no bound")
    borne = limits.failures + limits.inconclusive
    longest = borne + (borne + 1) * (limits.successes - 1) + 1
    if longest > MOMENTS_AT_MOST:
        raise Unreadable(f"it may be measured {longest} times, which is more than is computed here")
    return replace(planned, count=longest)


def _filled(metric: Metric, key: str) -> object:
    value = metric.spec[key]
    if not isinstance(value, str) or "{{" not in value:
        return value
    if missing := unresolved(value, metric.template.args):
        raise Unreadable(f"its {key} is the argument {', '.join(missing)}, which has no value")
    text = fill_condition(value, metric.template.args)
    number = whole(text)
    return text if number is None else number
