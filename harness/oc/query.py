"""PURE: a gate's PromQL as a function of what was counted: requests, those in error, those within a latency limit.

What makes a share or a number of requests is understood. Everything else is refused, so that no figure rests on a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import promql_parser as pp
from numpy.typing import NDArray

from harness.lint.promql import Expr, bare, function, name, number, operator
from harness.oc.series import Count, Counter, Unreadable, classify, counter, one_population

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


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

    def latest(self, what: Count, *, reach: float) -> Value:
        """By how much they grew a second between the last two samples, as `irate()` over `reach` seconds reports it."""


_Node = Callable[[Counted], Value]


@dataclass(kw_only=True)
class Query:
    """A compiled query. `window` is its range in seconds; `bound` the latency limit in the unit of its histogram.

    `latest`: it sees no more than the last two samples (`irate`), and `window` is the time between two scrapes.
    """

    evaluate: _Node
    counts: frozenset[Count]
    window: float
    extrapolated: bool
    bound: float | None = None
    latest: bool = False


def compile_query(node: Expr, *, limits: list[float], scrape_interval: float = 15.0) -> Query:
    """A query as a function of counts. `limits`: the numbers at which its condition changes, for a quantile's sake.

    `scrape_interval` in seconds is what an `irate()` sees.

    Raises:
        Unreadable: it is not made of counts of requests.

    """
    compiler = _Compiler(limits, scrape_interval)
    evaluate = compiler.of(node)
    one_population(node)
    if not compiler.windows:
        raise Unreadable("its query counts no requests over a range, such as sum(increase(requests[60s]))")
    if compiler.kinds > {"irate"}:
        raise Unreadable("its query mixes irate(), which sees two samples, with functions that see a whole range")
    if len(compiler.windows) > 1:
        told = ", ".join(f"{each:g} s" for each in sorted(compiler.windows))
        raise Unreadable(f"its query has ranges of different length ({told})")
    if len(compiler.bounds) > 1:
        raise Unreadable("its query looks at more than one latency bound")
    return Query(
        evaluate=evaluate, counts=frozenset(compiler.counts), window=compiler.windows.pop(),
        extrapolated=compiler.kinds != {"difference"}, latest=compiler.kinds == {"irate"},
        bound=next(iter(compiler.bounds), None),
    )  # fmt: skip


class _Compiler:
    def __init__(self, limits: list[float], scrape_interval: float) -> None:
        self.counts: set[Count] = set()
        self.windows: set[float] = set()
        self.bounds: set[float] = set()
        self.kinds: set[str] = set()
        self._limits = limits
        self._scrape_interval = scrape_interval

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
        if kind in ("sum", "increase", "rate", "irate"):
            return self._grown(self._count(node))
        if kind == "scalar":
            return self.of(node.args[0])
        if isinstance(node, pp.VectorSelector):
            raise Unreadable(f"its query reads {name(node)} as it stands, all that was ever counted: use increase() over a range")
        raise Unreadable(f"its query uses {kind or operator(node) or type(node).__name__}, which is not understood here")

    def _binary(self, node: Expr) -> _Node:
        sign = operator(node)
        if sign in _SETS:
            return _set(sign, self.of(node.lhs), self.of(node.rhs))
        if sign in _COMPARISONS:
            return self._compared(node, sign)
        if sign not in _ARITHMETIC:
            raise Unreadable(f"its query uses {sign!r}, which is not understood here")
        left, right, apply = self.of(node.lhs), self.of(node.rhs), _ARITHMETIC[sign]

        def evaluate(case: Counted) -> Value:
            a, b = left(case), right(case)
            with np.errstate(divide="ignore", invalid="ignore"):
                return Value(apply(a.values, b.values), a.present & b.present)

        return evaluate

    def _compared(self, node: Expr, sign: str) -> _Node:
        """A comparison keeps the samples for which it holds; with `bool` each becomes 1 or 0. A number is never what is kept."""
        left, right, holds = self.of(node.lhs), self.of(node.rhs), _COMPARISONS[sign]
        turned = number(node.lhs) is not None and function(node.lhs) != "vector"
        as_number = node.modifier is not None and node.modifier.return_bool

        def evaluate(case: Counted) -> Value:
            a, b = left(case), right(case)
            with np.errstate(invalid="ignore"):
                true = holds(a.values, b.values)
            there = a.present & b.present
            if as_number:
                return Value(true.astype(np.float64), there)
            return Value(b.values if turned else a.values, there & true)

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
        found = self._count(node.args[1], quantile=True)
        self.counts |= {Count.ALL, Count.FAST}
        self.bounds.add(limit)

        def evaluate(case: Counted) -> Value:
            all_, fast = (_growth(case, found, each) for each in (Count.ALL, Count.FAST))
            within = fast.values >= wanted * all_.values
            values = np.where(within, limit * (1 - 1e-9), limit * (1 + 1e-9))
            return Value(np.where(all_.values > 0, values, np.nan), all_.present)

        return evaluate

    def _count(self, node: Expr, *, quantile: bool = False) -> Counter:
        found = counter(node, quantile=quantile)
        self.counts.add(found.what)
        self.kinds.add("irate" if found.kind == "irate" else "difference" if found.kind == "difference" else "range")
        if found.kind == "irate" and found.window < 2 * self._scrape_interval:
            raise Unreadable(
                f"its irate() over {found.window:g} s needs two scrapes, and there is one every {self._scrape_interval:g} s "
                "(--scrape-interval)"
            )
        self.windows.add(self._scrape_interval if found.kind == "irate" else found.window)
        if found.what is Count.FAST and found.bound is not None:
            self.bounds.add(found.bound)
        return found

    @staticmethod
    def _grown(found: Counter) -> _Node:
        def evaluate(case: Counted) -> Value:
            grown = _growth(case, found, found.what)
            return Value(grown.values / case.window, grown.present) if found.kind == "rate" else grown

        return evaluate


def _growth(case: Counted, found: Counter, what: Count) -> Value:
    if found.kind == "irate":
        return case.latest(what, reach=found.window)
    return case.increase(what, extrapolated=found.kind != "difference")


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    ">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip
_SETS = ("or", "and", "unless")


def _constant(case: Counted, value: float) -> Value:
    shape = case.increase(Count.ALL, extrapolated=False).values.shape
    return Value(np.full(shape, value), np.ones(shape, dtype=bool))


def _map(apply: Callable[[Floats], Floats], value: Value) -> Value:
    return Value(apply(value.values), value.present)


def _set(sign: str, left: _Node, right: _Node) -> _Node:
    def evaluate(case: Counted) -> Value:
        a, b = left(case), right(case)
        if sign == "or":
            return Value(np.where(a.present, a.values, b.values), a.present | b.present)
        return Value(a.values, a.present & (b.present if sign == "and" else ~b.present))

    return evaluate


__all__ = ["Booleans", "Count", "Counted", "Floats", "Query", "Unreadable", "Value", "classify", "compile_query"]
