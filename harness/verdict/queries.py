"""Can this query and this condition tell a bad candidate at all? Read as Prometheus and the controller do. PURE: no I/O."""

from __future__ import annotations

import re

from harness.lint import promql
from harness.lint.expr.evaluate import holds
from harness.lint.expr.syntax import Malformed, Unknown, parse
from harness.lint.expr.types import Refused

CANARY_CLUSTER, STABLE_CLUSTER = "|canary|", "|stable|"
"""How Istio names a subset's cluster in Envoy's metrics: outbound|80|canary|webapp.namespace.svc.cluster.local."""

FILTERS = frozenset({">", "<", ">=", "<=", "==", "!="})
"""Without `bool` these drop samples and leave the value of what stands on their left as it is."""


def scope_problem(query: str, candidate_hash: str, stable_hash: str) -> str:
    """Why a query's value is not that of the candidate and of nobody else; empty when it is.

    Every selector that gives values must name the candidate's revision, or the canary subset's cluster. A
    query that names it in a text, a comment or a branch that never counts gives a value that has nothing to do with it.
    """
    marks = (candidate_hash, CANARY_CLUSTER)
    if not any(mark in query for mark in marks):
        return f"does not ask for {candidate_hash}: {query or 'no query'}"
    if any(mark in query for mark in (stable_hash, STABLE_CLUSTER)):
        return f"also asks for {stable_hash}"
    try:
        tree = promql.parse(query)
    except promql.Malformed as error:
        return f"cannot be read as PromQL ({error})"
    except promql.TooLarge as error:
        return str(error)
    wide = [each for each in _giving(tree) if not _pinned(each, candidate_hash, stable_hash)]
    if wide:
        names = ", ".join(dict.fromkeys(promql.name(each) or "a selector without a name" for each in wide))
        return f"also asks for others than {candidate_hash}: {names}"
    return "" if depends(tree) else f"gives the same whatever the candidate does: {query}"


def _giving(node: promql.Expr) -> list[promql.Expr]:
    """The selectors from which a value can come: what stands to the right of `and` and `unless` only chooses among samples."""
    node = promql.bare(node)
    parts = [node.lhs] if promql.operator(node) in {"and", "unless"} else promql.parts(node)
    own = promql.selectors(node) if not parts else []
    return own + [each for part in parts for each in _giving(part)]


def _pinned(selector: promql.Expr, candidate_hash: str, stable_hash: str) -> bool:
    return any(_pins(sign, value, candidate_hash, stable_hash) for _, sign, value in promql.matchers(selector))


def _pins(sign: str, value: str, candidate_hash: str, stable_hash: str) -> bool:
    """Whether a matcher lets the candidate's series through and no others."""
    if sign == "=":
        return candidate_hash in value or CANARY_CLUSTER in value
    if sign != "=~" or not (candidate_hash in value or "canary" in value):
        return False
    try:
        # As `a.*|b` does, a pattern can name the candidate and yet let everybody through.
        foreign = (stable_hash, f"webapp-{stable_hash}-x0abc", "anybody", "", f"outbound|80|stable|webapp.{stable_hash}")
        return not any(re.fullmatch(value, each) for each in foreign)
    except re.error:
        return False


def depends(node: promql.Expr) -> bool:  # noqa: PLR0911 -- one line for each kind of node
    """Whether the value of a query can change with what its selectors find; False only where it certainly cannot."""
    node = promql.bare(node)
    if not promql.selectors(node):
        return False
    sign, kind = promql.operator(node), promql.function(node)
    if sign in {"or", "and", "unless"}:
        return depends(node.lhs)
    if sign in FILTERS and not (node.modifier is not None and node.modifier.return_bool):
        return depends(node.lhs)
    if sign in {"*", "^"} and (promql.number(node.rhs) == 0 or (sign == "*" and promql.number(node.lhs) == 0)):
        return False
    if sign in {"/", "-"} and str(node.lhs) == str(node.rhs):
        return False
    if sign:
        return depends(node.lhs) or depends(node.rhs)
    if kind in {"group", "present_over_time"}:
        return False
    if kind == "clamp" and promql.number(node.args[1]) == promql.number(node.args[2]) is not None:
        return False
    return any(depends(part) for part in promql.parts(node)) or not promql.parts(node)


def accepts(condition: str, value: float) -> bool | None:
    """Whether a success condition holds for this one value; None when it cannot be told."""
    try:
        return holds(parse(condition), [value], "vector")
    except (Malformed, Refused, Unknown):
        return None
