"""PURE: what a query can give: how many samples, NaN or nothing, a share, over which time and buckets.

Each question errs on the side of saying nothing: a rule built on it must be right about what it finds, not find everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import promql_parser as pp

from harness.lint.promql import Expr, bare, function, matchers, name, number, operator, parts, selectors, walk

_RATES = {"rate", "increase", "irate", "delta", "idelta"}
_FILTERS = {">", "<", ">=", "<=", "=="}
_SET = {"and", "or", "unless"}
_ROUND = {"round", "ceil", "floor", "clamp", "clamp_max", "abs", "sort", "sort_desc", "clamp_min"}
_SUFFIX = re.compile(r"_(bucket|count|total|sum)$")


def is_scalar(node: Expr) -> bool:
    """Whether Prometheus answers with a scalar and not with a vector."""
    node = bare(node)
    if isinstance(node, pp.NumberLiteral):
        return True
    if isinstance(node, pp.UnaryExpr):
        return is_scalar(node.expr)
    if isinstance(node, pp.BinaryExpr):
        return is_scalar(node.lhs) and is_scalar(node.rhs)
    return function(node) in ("scalar", "time", "pi")


def fallback(node: Expr) -> tuple[Expr, float] | None:
    """(the query proper, the number that stands in when it gives nothing) of `… or vector(number)`, at the outermost place."""
    node = bare(node)
    if operator(node) == "or":
        value = number(node.rhs)
        return (bare(node.lhs), value) if value is not None and function(node.rhs) == "vector" else None
    if function(node) in _ROUND and isinstance(node, pp.Call):
        return fallback(node.args[0])
    if function(node) in ("sum", "max", "min", "avg") and isinstance(node, pp.AggregateExpr):
        return fallback(node.expr)
    return None


def divisions(node: Expr) -> list[Expr]:
    """Every quotient of two vectors, outermost first."""
    found = [each for each in walk(node) if isinstance(each, pp.BinaryExpr) and operator(each) == "/"]
    return [each for each in found if not is_scalar(each.lhs) and not is_scalar(each.rhs)]


def may_be_nan(node: Expr) -> bool:  # noqa: PLR0911 -- one line for each kind of node
    """Whether 0/0 or a quantile of nothing can come out of it."""
    node = bare(node)
    if isinstance(node, pp.BinaryExpr):
        sign = operator(node)
        if sign in _FILTERS and not _returns_bool(node):
            return False  # NaN is neither more nor less than anything: the sample is dropped
        if sign in ("and", "unless"):
            return may_be_nan(node.lhs)
        if sign in ("/", "%") and not is_scalar(node.rhs) and not _never_zero(node.rhs):
            return True
        return may_be_nan(node.lhs) or may_be_nan(node.rhs)
    kind = function(node)
    if kind in ("histogram_quantile", "histogram_fraction"):
        return True
    if kind in ("count", "group", "absent", "vector", "time", "absent_over_time", "count_over_time", "present_over_time"):
        return False
    return any(may_be_nan(part) for part in parts(node))


def _returns_bool(node: Expr) -> bool:
    return bool(node.modifier is not None and node.modifier.return_bool)


def _never_zero(node: Expr) -> bool:
    node = bare(node)
    sign, limit = operator(node), None
    if sign in (">", "!=") and not _returns_bool(node):
        limit = number(node.rhs)
        return limit is not None and limit >= 0
    if function(node) in ("clamp_min", "clamp"):
        limit = number(node.args[1])
        return limit is not None and limit > 0
    if sign == "or":
        return _never_zero(node.lhs) and number(node.rhs) not in (None, 0)
    value = number(node)
    return value is not None and value != 0


def many(node: Expr) -> str:  # noqa: PLR0911 -- one line for each kind of node
    """Why it can give several samples, in a few words; empty when it gives one at most, or when that is not certain."""
    node = bare(node)
    if isinstance(node, pp.AggregateExpr):
        return _many_groups(node)
    if isinstance(node, pp.BinaryExpr):
        if operator(node) in _SET:
            return many(node.lhs)
        if is_scalar(node.lhs) or is_scalar(node.rhs):
            return many(node.rhs if is_scalar(node.lhs) else node.lhs)
        left, right = many(node.lhs), many(node.rhs)
        return left if left and right else ""
    kind = function(node)
    if kind in _RATES and isinstance(node.args[0], pp.MatrixSelector):
        return f"{kind}() without sum() gives one sample for each series"
    if kind == "histogram_quantile":
        return _many_groups(node.args[1], without="le") if function(node.args[1]) == "sum" else ""
    if kind in _ROUND:
        return many(node.args[0])
    return ""


def _many_groups(node: Expr, without: str = "") -> str:
    node = bare(node)
    if not isinstance(node, pp.AggregateExpr) or function(node) in ("topk", "bottomk", "limitk", "count_values"):
        return ""
    if node.modifier is None:
        return ""
    labels = set(map(str, node.modifier.labels))
    if not str(node.modifier.type).endswith("By"):
        return ""
    pinned = [{label for label, sign, _ in matchers(each) if sign == "="} for each in selectors(node.expr)]
    free = {label for label in labels - {without} if not pinned or not all(label in each for each in pinned)}
    return f"by ({', '.join(sorted(free))}) gives one sample for each of them" if free else ""


def share(node: Expr) -> float | None:  # noqa: PLR0911 -- one line for each kind of node
    """What a whole is when the query is a part of a whole: 1 for a share, 100 for a percentage. None when it is neither."""
    node = bare(node)
    sign = operator(node)
    if sign == "*":
        for factor, rest in ((node.lhs, node.rhs), (node.rhs, node.lhs)):
            scale, whole = number(factor), share(rest)
            if scale is not None and whole is not None:
                return whole * scale
    if sign == "/":
        scale, whole = number(node.rhs), share(node.lhs)
        if scale and whole is not None:
            return whole / scale
        return _quotient(node)
    if sign == "-" and number(node.lhs) is not None:
        whole = share(node.rhs)
        return whole if whole == number(node.lhs) else None
    if sign == "or" and function(node.rhs) == "vector":
        return share(node.lhs)
    if sign in _FILTERS and is_scalar(node.rhs) and not _returns_bool(node):
        return share(node.lhs)
    return share(node.args[0]) if function(node) == "round" else None


def _quotient(node: Expr) -> float | None:
    """`part / whole` of one metric, where the part's selector asks for more than the whole's."""
    part, scale = node.lhs, 1.0
    if operator(part) == "*":
        for factor, rest in ((bare(part).lhs, bare(part).rhs), (bare(part).rhs, bare(part).lhs)):
            if number(factor) is not None:
                part, scale = rest, float(number(factor) or 0)
    part = bare(part)
    if operator(part) == "or" and function(part.rhs) == "vector":
        part = bare(part.lhs)
    ours, theirs = selectors(part), selectors(node.rhs)
    if not (len(ours) == len(theirs) == 1 and _counts(part) and _counts(node.rhs)):
        return None
    if _SUFFIX.sub("", name(ours[0])) != _SUFFIX.sub("", name(theirs[0])) or not name(ours[0]):
        return None
    if name(ours[0]).endswith("_sum"):
        return None  # a mean, not a share
    ours_set, theirs_set = (
        {each for each in matchers(one[0]) if each[0] != "__name__"} for one in (ours, theirs)
    )
    return scale if theirs_set <= ours_set else None


def _counts(node: Expr) -> bool:
    """Whether it adds requests up and does nothing else to them."""
    return all(
        isinstance(each, pp.ParenExpr | pp.VectorSelector | pp.MatrixSelector) or function(each) in ({"sum"} | _RATES)
        for each in walk(node)
    )


@dataclass(frozen=True, kw_only=True)
class Quantile:
    """A `histogram_quantile`: its histogram's series, and by how much its value is multiplied before it is compared."""

    metric: str
    scale: float


def quantiles(node: Expr) -> list[Quantile]:
    """The quantiles of classic histograms whose value is the query's own, but for a factor."""
    node, scale = bare(node), 1.0
    while True:
        sign = operator(node)
        factor = None
        if sign in ("*", "/"):
            factor = number(node.rhs)
            node_next = node.lhs
            if factor is None and sign == "*":
                factor, node_next = number(node.lhs), node.rhs
            if not factor:
                return []
            scale *= factor if sign == "*" else 1 / factor
            node = bare(node_next)
        elif sign in _FILTERS or (sign == "or" and function(node.rhs) == "vector"):
            node = bare(node.lhs)
        elif function(node) in ("round", "max", "min", "avg", "sum", "scalar"):
            node = bare(parts(node)[0] if isinstance(node, pp.Call) else node.expr)
        else:
            break
    if function(node) != "histogram_quantile":
        return []
    names = {name(each) for each in selectors(node)}
    return [Quantile(metric=each, scale=scale) for each in sorted(names) if each.endswith("_bucket")]


def ranges(node: Expr) -> list[tuple[str, float]]:
    """(function, seconds) of each rate-like function over a range of raw samples."""
    return [
        (function(each), bare(each.args[0]).range.total_seconds())
        for each in walk(node)
        if function(each) in _RATES and isinstance(each, pp.Call) and isinstance(bare(each.args[0]), pp.MatrixSelector)
    ]


def reach(node: Expr, picks: bool = False) -> float:
    """Seconds that the query looks back at most; 0 when it looks at the present alone.

    `last_over_time(x[5m] offset 1m)` is the value of a minute ago, however old it may be: only the offset counts.
    """
    far = 0.0
    if isinstance(node, pp.VectorSelector | pp.SubqueryExpr) and node.offset:
        far += max(node.offset.total_seconds(), 0.0)
    if isinstance(node, pp.MatrixSelector | pp.SubqueryExpr) and node.range and not picks:
        far += node.range.total_seconds()
    last = function(node) == "last_over_time"
    return far + max((reach(part, picks=last) for part in parts(node)), default=0.0)
