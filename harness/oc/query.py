"""PURE: a gate's PromQL as a function of what was counted: requests, those in error, those within a latency limit.

What makes a share or a number of requests is understood. Everything else is refused, so that no figure rests on a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
import promql_parser as pp
from numpy.typing import NDArray

from harness.lint.promql import Expr, bare, function, matchers, name, number, operator, selectors, walk

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


class Unreadable(ValueError):
    """Something of a gate whose chances cannot be computed. One line."""


class Count(Enum):
    """Which requests a series counts."""

    ALL = "all"
    ERRORS = "errors"
    GOOD = "good"
    FAST = "fast"


@dataclass(frozen=True)
class Value:
    """One sample per case: `values`, and whether there is a sample at all (an empty vector has none)."""

    values: Floats
    present: Booleans


class Counted(Protocol):
    """What a window holds, for many cases at once."""

    @property
    def window(self) -> float:
        """Its length in seconds."""

    def increase(self, what: Count, *, extrapolated: bool) -> Value:
        """By how much the counters grew: as `increase()` reports it, or as the difference of two samples."""


_Node = Callable[[Counted], Value]


@dataclass(kw_only=True)
class Query:
    """A compiled query. `window` is its range in seconds; `bound` the latency limit in the unit of its histogram."""

    evaluate: _Node
    counts: frozenset[Count]
    window: float
    extrapolated: bool
    bound: float | None = None


def compile_query(node: Expr, *, limits: list[float]) -> Query:
    """A query as a function of counts. `limits`: the numbers at which its condition changes, for a quantile's sake.

    Raises:
        Unreadable: it is not made of counts of requests.

    """
    compiler = _Compiler(limits)
    evaluate = compiler.of(node)
    if not compiler.windows:
        raise Unreadable("its query counts no requests over a range, such as sum(increase(requests[60s]))")
    if len(compiler.windows) > 1:
        told = ", ".join(f"{each:g} s" for each in sorted(compiler.windows))
        raise Unreadable(f"its query has ranges of different length ({told})")
    if len(compiler.bounds) > 1:
        raise Unreadable("its query looks at more than one latency bound")
    return Query(
        evaluate=evaluate, counts=frozenset(compiler.counts), window=compiler.windows.pop(),
        extrapolated=compiler.extrapolated, bound=next(iter(compiler.bounds), None),
    )  # fmt: skip


class _Compiler:
    def __init__(self, limits: list[float]) -> None:
        self.counts: set[Count] = set()
        self.windows: set[float] = set()
        self.bounds: set[float] = set()
        self.extrapolated = True
        self._limits = limits

    def of(self, node: Expr) -> _Node:  # noqa: PLR0911 -- one line for each kind of node
        node = bare(node)
        written = number(node)
        if written is not None:
            return lambda case: _constant(case, written)
        if isinstance(node, pp.UnaryExpr):
            inner = self.of(node.expr)
            return lambda case: _map(np.negative, inner(case))
        if isinstance(node, pp.BinaryExpr):
            return self._binary(node)
        kind = function(node)
        if kind in ("round", "ceil", "floor", "abs", "clamp_min", "clamp_max"):
            return self._rounded(kind, node)
        if kind == "histogram_quantile":
            return self._quantile(node)
        if kind in ("sum", "increase", "rate"):
            return self._count(node)
        if kind == "scalar":
            return self.of(node.args[0])
        raise Unreadable(f"its query uses {kind or operator(node) or type(node).__name__}, which is not understood here")

    def _binary(self, node: Expr) -> _Node:
        sign = operator(node)
        if sign == "or":
            return _either(self.of(node.lhs), self.of(node.rhs))
        if sign not in _ARITHMETIC:
            raise Unreadable(f"its query uses {sign!r}, which is not understood here")
        left, right, apply = self.of(node.lhs), self.of(node.rhs), _ARITHMETIC[sign]

        def evaluate(case: Counted) -> Value:
            a, b = left(case), right(case)
            with np.errstate(divide="ignore", invalid="ignore"):
                return Value(apply(a.values, b.values), a.present & b.present)

        return evaluate

    def _rounded(self, kind: str, node: Expr) -> _Node:
        inner = self.of(node.args[0])
        given = number(node.args[1]) if len(node.args) > 1 else 1.0
        if given is None or (kind == "round" and not given > 0):
            raise Unreadable(f"the second argument of {kind}() in its query is no plain number")
        to: float = given
        # As Prometheus does it: times the inverse, half up. The very same doubles come out.
        inverse = 1.0 / to if to else 0.0
        apply: dict[str, Callable[[Floats], Floats]] = {
            "round": lambda v: np.floor(v * inverse + 0.5) / inverse, "ceil": np.ceil, "floor": np.floor, "abs": np.abs,
            "clamp_min": lambda v: np.maximum(v, to), "clamp_max": lambda v: np.minimum(v, to),
        }  # fmt: skip
        return lambda case: _map(apply[kind], inner(case))

    def _quantile(self, node: Expr) -> _Node:
        """A quantile is under a bound exactly when that share of the requests is; where inside it lies is not needed."""
        share = number(node.args[0])
        if share is None or not 0 < share < 1:
            raise Unreadable("the quantile in its query is no plain number between 0 and 1")
        if len(self._limits) != 1:
            raise Unreadable("its condition compares a quantile with more than one limit")
        wanted, limit = share, self._limits[0]
        self._count(node.args[1], quantile=True)
        self.counts |= {Count.ALL, Count.FAST}
        self.bounds.add(limit)

        def evaluate(case: Counted) -> Value:
            all_, fast = (case.increase(each, extrapolated=self.extrapolated) for each in (Count.ALL, Count.FAST))
            within = fast.values >= wanted * all_.values
            values = np.where(within, limit * (1 - 1e-9), limit * (1 + 1e-9))
            return Value(np.where(all_.values > 0, values, np.nan), all_.present)

        return evaluate

    def _count(self, node: Expr, *, quantile: bool = False) -> _Node:
        what, window, per_second, extrapolated = _counter(node, quantile=quantile)
        self.counts.add(what[0])
        self.windows.add(window)
        self.extrapolated = extrapolated
        if what[0] is Count.FAST and what[1] is not None:
            self.bounds.add(what[1])

        def evaluate(case: Counted) -> Value:
            found = case.increase(what[0], extrapolated=extrapolated)
            return Value(found.values / case.window, found.present) if per_second else found

        return evaluate


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide,
}  # fmt: skip


def _constant(case: Counted, value: float) -> Value:
    shape = case.increase(Count.ALL, extrapolated=False).values.shape
    return Value(np.full(shape, value), np.ones(shape, dtype=bool))


def _map(apply: Callable[[Floats], Floats], value: Value) -> Value:
    return Value(apply(value.values), value.present)


def _either(left: _Node, right: _Node) -> _Node:
    def evaluate(case: Counted) -> Value:
        a, b = left(case), right(case)
        return Value(np.where(a.present, a.values, b.values), a.present | b.present)

    return evaluate


def _counter(node: Expr, *, quantile: bool) -> tuple[tuple[Count, float | None], float, bool, bool]:
    """(what is counted and its bound, range in seconds, whether per second, whether extrapolated) of one growing count."""
    found = [each for each in selectors(node) if name(each) != "up"]
    kinds = {classify(each, quantile=quantile) for each in found}
    if len(kinds) != 1 or len({frozenset(matchers(each)) for each in found}) != 1:
        raise Unreadable("its query adds up series of different kinds in one sum")
    calls = [each for each in walk(node) if function(each) in ("rate", "increase", "last_over_time")]
    plain = {function(each) for each in calls}
    if plain == {"last_over_time"} and any(operator(each) == "-" for each in walk(node)):
        return kinds.pop(), _offset(found), False, False
    others = {function(each) for each in walk(node)} - {"", "sum", "rate", "increase"}
    if len(calls) != 1 or others or any(operator(each) for each in walk(node)) or any(each.offset for each in found):
        raise Unreadable("its query counts in a way that is not understood here: sum(increase(…[60s])) or sum(rate(…[60s])) is")
    matrix = bare(calls[0].args[0])
    if not isinstance(matrix, pp.MatrixSelector):
        raise Unreadable("its query takes the rate of a subquery")
    return kinds.pop(), matrix.range.total_seconds(), plain == {"rate"}, True


def _offset(found: list[Expr]) -> float:
    """The seconds between the two samples of `last - earlier`."""
    back = {each.offset.total_seconds() for each in found if each.offset}
    if len(back) != 1:
        raise Unreadable("its query takes the difference of samples over several lengths of time")
    return float(back.pop())


def classify(selector: Expr, *, quantile: bool = False) -> tuple[Count, float | None]:
    """What a selector counts, and the latency bound when it counts by one.

    An error is known by a matcher on a label with a status (code, status, class) that tells 500 or 5xx from 200 or 2xx, or by a
    metric whose name says error or failure; a latency bound by `le`.
    """
    metric, bound = name(selector), None
    kind = Count.ERRORS if re.search(r"error|fail", metric, re.IGNORECASE) else Count.ALL
    for label, sign, value in matchers(selector):
        if label == "le" and not quantile:
            bound = _bound(value)
        elif re.search(r"code|status|class", label, re.IGNORECASE):
            kind = _by_status(sign, value) or kind
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


def _by_status(sign: str, value: str) -> Count | None:
    def selects(status: str) -> bool:
        if sign in ("=", "!="):
            return (status == value) == (sign == "=")
        try:
            return (re.fullmatch(value, status) is not None) == (sign == "=~")
        except re.error:
            raise Unreadable(f"the pattern {value!r} in its query is not understood here") from None

    for good, bad in (("200", "500"), ("2xx", "5xx"), ("2", "5")):
        if selects(good) != selects(bad):
            return Count.GOOD if selects(good) else Count.ERRORS
    return None


