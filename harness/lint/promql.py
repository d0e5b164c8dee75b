"""PURE: PromQL as a tree, and the simple questions one asks a node of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser as pp

Expr = Any  # the parser's classes have no common base that knows its parts


# The parser recurses in native code, where too much ends the process; a gate's query is far from this.
_NESTING = re.compile(r"[-+*/%^(<>=!]|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_NESTING_AT_MOST = 500


class Malformed(ValueError):
    """The query does not parse. One line."""


class TooLarge(ValueError):
    """The query is too large to be parsed safely; nothing is said of it."""


def parse(text: str) -> Expr:
    """The tree of a query.

    Raises:
        Malformed: it does not parse.
        TooLarge: it is not tried.

    """
    if len(_NESTING.findall(text)) > _NESTING_AT_MOST:
        raise TooLarge("it has too many operators to be looked at")
    try:
        return pp.parse(text)
    except Exception as error:
        raise Malformed(" ".join(str(error).split()) or type(error).__name__) from None


def parts(node: Expr) -> list[Expr]:
    """A node's direct children."""
    if isinstance(node, pp.BinaryExpr):
        return [node.lhs, node.rhs]
    if isinstance(node, pp.AggregateExpr):
        return [each for each in (node.param, node.expr) if each is not None]
    if isinstance(node, pp.Call):
        return list(node.args)
    if isinstance(node, pp.ParenExpr | pp.UnaryExpr | pp.SubqueryExpr):
        return [node.expr]
    if isinstance(node, pp.MatrixSelector):
        return [node.vector_selector]
    return []


def walk(node: Expr) -> Iterator[Expr]:
    """A node and everything below it."""
    yield node
    for part in parts(node):
        yield from walk(part)


def bare(node: Expr) -> Expr:
    """Without parentheses around it."""
    while isinstance(node, pp.ParenExpr):
        node = node.expr
    return node


def function(node: Expr) -> str:
    """The name of a function call or an aggregation; empty for anything else."""
    node = bare(node)
    if isinstance(node, pp.Call):
        return str(node.func.name)
    return str(node.op).lower() if isinstance(node, pp.AggregateExpr) else ""


def operator(node: Expr) -> str:
    """The sign of a binary expression; empty for anything else."""
    node = bare(node)
    return str(node.op).lower() if isinstance(node, pp.BinaryExpr) else ""


def number(node: Expr) -> float | None:
    """The value of a number that is written there, or of vector(number)."""
    node = bare(node)
    if isinstance(node, pp.NumberLiteral):
        return float(node.val)
    if isinstance(node, pp.UnaryExpr):
        inner = number(node.expr)
        return None if inner is None else -inner
    return number(node.args[0]) if function(node) == "vector" and node.args else None


def selectors(node: Expr) -> list[Expr]:
    """Every vector selector below a node."""
    return [each for each in walk(node) if isinstance(each, pp.VectorSelector)]


def matchers(selector: Expr) -> list[tuple[str, str, str]]:
    """A selector's (label, sign, value), the metric's name among them as __name__."""
    found = [(m.name, _SIGNS[str(m.op).rpartition(".")[2]], m.value) for m in selector.matchers.matchers]
    return [("__name__", "=", selector.name), *found] if selector.name else found


_SIGNS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def name(selector: Expr) -> str:
    """A selector's metric; empty when it names none."""
    return next((value for label, sign, value in matchers(selector) if label == "__name__" and sign == "="), "")
