"""PURE: which requests a series counts, and how a query counts them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import promql_parser as pp

from harness.lint.promql import Expr, bare, function, matchers, name, operator, selectors, walk


class Unreadable(ValueError):
    """Something of a gate whose chances cannot be computed. One line."""


class Count(Enum):
    """Which requests a series counts."""

    ALL = "all"
    ERRORS = "errors"
    GOOD = "good"
    FAST = "fast"


@dataclass(frozen=True, kw_only=True)
class Counter:
    """One growing count: what is counted and its latency bound, over how many seconds.

    `kind`: increase, rate, irate, or difference (of two samples).
    """

    what: Count
    bound: float | None
    window: float
    kind: str


_STATUS = re.compile(r"code|status|class|outcome|result", re.IGNORECASE)
_NO_REQUESTS = re.compile(r"_sum$|_bytes(_total)?$|_seconds_total$|(^|_)cpu(_|$)|(^|_)memory(_|$)", re.IGNORECASE)
_HTTP = (
    ("200", ("500", "502", "503", "504")), ("2xx", ("5xx",)), ("2", ("5",)), ("success", ("failure", "error")),
    ("SUCCESS", ("SERVER_ERROR", "ERROR")), ("ok", ("error",)),
)  # fmt: skip
_GRPC = (
    ("OK", ("Internal", "Unknown", "Unavailable", "DeadlineExceeded")), ("0", ("13", "2", "14", "4")),
    ("OK", ("INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED")),
)  # fmt: skip
"""(a good one, errors; the commonest first) in one spelling each."""
_CLIENT = ("400", "401", "403", "404", "408", "429", "4xx", "4", "CLIENT_ERROR", "InvalidArgument", "NotFound")
"""Errors too where a query counts nothing worse."""


def counter(node: Expr, *, quantile: bool) -> Counter:
    """The one growing count that this node is. Raises Unreadable when it is none."""
    found = [each for each in selectors(node) if name(each) != "up"]
    kinds = {classify(each, quantile=quantile) for each in found}
    if len(kinds) != 1 or len({frozenset(matchers(each)) for each in found}) != 1:
        raise Unreadable("its query adds up series of different kinds in one sum")
    (what, bound), calls = kinds.pop(), [each for each in walk(node) if function(each) in _RANGES]
    plain = {function(each) for each in calls}
    if plain == {"last_over_time"} and any(operator(each) == "-" for each in walk(node)):
        return Counter(what=what, bound=bound, window=_offset(found), kind="difference")
    others = {function(each) for each in walk(node)} - {"", "sum", "rate", "increase", "irate"}
    if len(calls) != 1 or others or any(operator(each) for each in walk(node)) or any(each.offset for each in found):
        raise Unreadable("its query counts in a way that is not understood here: sum(increase(…[60s])) or sum(rate(…[60s])) is")
    matrix = bare(calls[0].args[0])
    if not isinstance(matrix, pp.MatrixSelector):
        raise Unreadable("its query takes the rate of a subquery")
    return Counter(what=what, bound=bound, window=matrix.range.total_seconds(), kind=plain.pop())


_RANGES = ("rate", "increase", "irate", "last_over_time")


def _offset(found: list[Expr]) -> float:
    """The seconds between the two samples of `last - earlier`."""
    back = {each.offset.total_seconds() for each in found if each.offset}
    if len(back) != 1:
        raise Unreadable("its query takes the difference of samples over several lengths of time")
    return float(back.pop())


def one_population(node: Expr) -> None:
    """Raise Unreadable when the selectors of a query choose requests of different kinds beyond their status or speed.

    A canary held against the stable version, say: its chances are those of two versions.
    """
    found = {
        frozenset(each for each in matchers(selector) if each[0] not in ("__name__", "le") and not _STATUS.search(each[0]))
        for selector in selectors(node) if name(selector) != "up"
    }  # fmt: skip
    if len(found) > 1:
        label = sorted(frozenset.union(*found) - frozenset.intersection(*found))[0][0]
        raise Unreadable(f"its query compares requests with different labels ({label}), such as two versions' or two routes'")


def classify(selector: Expr, *, quantile: bool = False) -> tuple[Count, float | None]:
    """What a selector counts, and the latency bound when it counts by one.

    An error is known by a matcher on a label with a status (code, status, class, outcome, result) that tells bad ones from good
    ones, or by a metric whose name says error or failure; a latency bound by `le`.
    """
    metric, bound = name(selector), None
    if _NO_REQUESTS.search(metric):
        hint = "; a mean of durations is no share of requests: count those within a limit (le)" if metric.endswith("_sum") else ""
        raise Unreadable(f"its query reads {metric}, which counts no requests{hint}")
    kind = Count.ERRORS if re.search(r"error|fail", metric, re.IGNORECASE) else Count.ALL
    labels = {label for label, _, _ in matchers(selector)}
    if metric.endswith("_bucket") and "le" not in labels and not quantile:
        raise Unreadable(f"its query adds up the buckets of {metric}, which hold requests more than once: it needs le")
    for label, sign, value in matchers(selector):
        if label == "le" and not quantile:
            bound = _bound(value)
        elif label != "__name__" and _STATUS.search(label):
            kind = _by_status(label, sign, value) or kind
    if bound is not None:
        if kind is not Count.ALL:
            raise Unreadable("its query counts requests by status and by latency at once")
        return (Count.FAST, bound) if bound != float("inf") else (Count.ALL, None)
    return kind, None


def _bound(text: str) -> float:
    try:
        return float(re.sub(r"\(\[\.\]0\)\?|\(\\+\.0\)\?|\[\.\]0", "", text))
    except ValueError:
        raise Unreadable(f"the latency bound le={text!r} in its query is no plain number") from None


def _by_status(label: str, sign: str, value: str) -> Count | None:
    """What a matcher on a status selects; None for both good and bad ones."""

    def selects(status: str) -> bool:
        if sign in ("=", "!="):
            return (status == value) == (sign == "=")
        try:
            return (re.fullmatch(value, status) is not None) == (sign == "=~")
        except re.error:
            raise Unreadable(f"the pattern {value!r} in its query is not understood here") from None

    some = False
    for one, bads in _GRPC if "grpc" in label.lower() else _HTTP:
        good, bad = selects(one), [selects(each) for each in bads]
        if good != bad[0] or (not good and any(bad)):
            return Count.GOOD if good else Count.ERRORS
        if good and not all(bad):
            raise Unreadable(f"its query leaves out some errors and counts others ({label}{sign}{value!r})")
        some = some or good
    if some or "class" in label.lower():
        return None
    if any(map(selects, _CLIENT)):
        return Count.ERRORS
    raise Unreadable(f"its query counts {label}{sign}{value!r}, which is no status that is known here")
