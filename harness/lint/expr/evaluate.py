"""PURE: what a condition says of a measured value, as the rollouts controller's expression engine would.

What this file does not know raises Unknown, so that no rule judges by a guess.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from typing import Any

from harness.lint.expr.syntax import Node, Unknown
from harness.lint.expr.types import PREDICATES, Refused, check

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}
_Names = dict[str, Any]


def holds(node: Node, result: Any, kind: str) -> bool:
    """Whether a condition is true of a measured value, of static type `kind`: vector (a list of numbers), float, nil or any.

    Raises:
        Refused: evaluating it is an error.
        Unknown: it uses something that is not modelled here.

    """
    check(node, kind)
    try:
        value = _value(node, {"result": result})
    except (OverflowError, RecursionError, re.error):
        raise Unknown from None
    if not isinstance(value, bool):
        raise Refused(f"it gives {_told(value)}, not true or false")
    return value


def _told(value: Any) -> str:
    if value is None:
        return "nothing"
    names = {int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "something else")


def _value(node: Node, names: _Names) -> Any:
    return _KINDS[node.kind](node, names)


def _name(node: Node, names: _Names) -> Any:
    return names[node.value]


def _unary(node: Node, names: _Names) -> Any:
    inner = _value(node.parts[0], names)
    if node.value == "!":
        return not _truth(inner)
    return -_number(inner) if node.value == "-" else _number(inner)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Refused(f"{_told(value)} where true or false is wanted")
    return value


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{_told(value)} where a number is wanted")
    return value


def _binary(node: Node, names: _Names) -> Any:  # noqa: PLR0911 -- one line for each family of operators
    sign = node.value
    left = _value(node.parts[0], names)
    if sign in ("&&", "||"):
        # The right side is not looked at when the left one decides.
        return _truth(left) if _truth(left) == (sign == "||") else _truth(_value(node.parts[1], names))
    if sign == "??":
        return _value(node.parts[1], names) if left is None else left
    right = _value(node.parts[1], names)
    if sign in ("==", "!="):
        same = left == right if type(left) is not bool and type(right) is not bool else left is right
        return same == (sign == "==")
    if sign in _COMPARE:
        if isinstance(left, str) and isinstance(right, str):
            return _COMPARE[sign](left, right)
        return _COMPARE[sign](_number(left), _number(right))
    if sign == "in":
        if not isinstance(right, list | dict):
            raise Unknown
        return left in right
    if sign in ("matches", "contains", "startsWith", "endsWith"):
        return _text(sign, left, right)
    return _arithmetic(sign, left, right)


def _text(sign: str, left: Any, right: Any) -> bool:
    if not (isinstance(left, str) and isinstance(right, str)):
        raise Refused(f"'{sign}' is for texts")
    if sign == "matches":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return re.search(right, left) is not None
    return {"contains": right in left, "startsWith": left.startswith(right), "endsWith": left.endswith(right)}[sign]


def _arithmetic(sign: str, left: Any, right: Any) -> Any:
    if sign == "+" and isinstance(left, str) and isinstance(right, str):
        return left + right
    a, b = _number(left), _number(right)
    if sign in ("%", ".."):
        raise Unknown
    if sign == "/":
        if b:
            return a / b
        return math.nan if not a or a != a else math.copysign(math.inf, a) * math.copysign(1, b)  # noqa: PLR0124 -- NaN
    if sign == "**":
        try:
            power = float(a) ** float(b)
        except ArithmeticError:
            raise Unknown from None
        return math.nan if isinstance(power, complex) else power
    return {"+": a + b, "-": a - b, "*": a * b}[sign]


def _if(node: Node, names: _Names) -> Any:
    return _value(node.parts[1 if _truth(_value(node.parts[0], names)) else 2], names)


def _index(node: Node, names: _Names) -> Any:
    base, index = (_value(part, names) for part in node.parts)
    if isinstance(base, list):
        at = _number(index)
        if not -len(base) <= at < len(base):
            raise Refused(f"index {at} of a result with {len(base)} values")
        return base[int(at)]
    if isinstance(base, dict):
        return base.get(index)
    if base is None:
        raise Refused("an index of nothing")
    raise Unknown


def _slice(node: Node, names: _Names) -> Any:
    base, *bounds = (_value(part, names) for part in node.parts)
    if not isinstance(base, list) or any(not isinstance(bound, int) or bound < 0 for bound in bounds):
        raise Unknown
    return base[bounds[0] : bounds[1] if len(bounds) > 1 else None]


def _member(node: Node, names: _Names) -> Any:
    base = _value(node.parts[0], names)
    if isinstance(base, dict):
        return base.get(node.value)
    if base is None and node.kind == "optional":
        return None
    raise Refused(f".{node.value} of {_told(base)}")


def _unknown(_node: Node, _names: _Names) -> Any:
    raise Unknown


def _let(node: Node, names: _Names) -> Any:
    return _value(node.parts[1], {**names, node.value: _value(node.parts[0], names)})


def _call(node: Node, names: _Names) -> Any:
    name, parts = node.value, node.parts
    if name in PREDICATES or name == "sum":
        return _predicate(name, parts, names)
    arguments = [_value(part, names) for part in parts]
    if name == "default":
        # The controller's own function looks at the result alone, whatever its first argument is.
        return arguments[1] if names["result"] is None else names["result"]
    if name == "isNil":
        return names["result"] is None
    if name not in _FUNCTIONS:
        raise Unknown
    return _FUNCTIONS[name](arguments[0])


def _predicate(name: str, parts: tuple[Node, ...], names: _Names) -> Any:
    holder = _value(parts[0], names)
    if not isinstance(holder, list):
        raise Refused(f"{name}() of {_told(holder)}")
    values = [_value(parts[1], {**names, "#": each}) for each in holder] if len(parts) > 1 else holder
    if name == "sum":
        return sum(_number(value) for value in values)
    truths = [_truth(value) for value in values]
    found = {"all": all(truths), "any": any(truths), "none": not any(truths), "one": truths.count(True) == 1}
    return found.get(name, truths.count(True))


def _len(value: Any) -> int:
    if not isinstance(value, list | str | dict):
        raise Refused(f"len() of {_told(value)}")
    return len(value)


def _float(value: Any) -> float:
    try:
        return float(value if isinstance(value, str) else _number(value))
    except ValueError:
        raise Refused("a text that is no number") from None


def _exact(value: Any) -> float:
    if isinstance(value, int) and not isinstance(value, bool):
        raise Unknown  # an int where a float64 is wanted: it depends on what the compiler knew
    return _number(value)


def _int(value: Any) -> int:
    found = _float(value)
    return int(found) if math.isfinite(found) else -(2**63)


def _end(at: int) -> Callable[[Any], Any]:
    def function(value: Any) -> Any:
        if not isinstance(value, list):
            raise Refused(f"first() or last() of {_told(value)}")
        return value[at] if value else None

    return function


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "len": _len,
    "isNaN": lambda value: math.isnan(_exact(value)),
    "isInf": lambda value: math.isinf(_exact(value)),
    "asFloat": _float, "float": _float, "asInt": _int, "int": _int, "abs": lambda value: abs(_number(value)),
    "first": _end(0), "last": _end(-1),
}
_KINDS: dict[str, Callable[[Node, _Names], Any]] = {
    "literal": lambda node, _: node.value,
    "name": _name, "unary": _unary, "binary": _binary, "if": _if, "index": _index, "slice": _slice, "member": _member,
    "optional": _member, "let": _let, "call": _call, "map": _unknown,
    "list": lambda node, names: [_value(part, names) for part in node.parts],
    "pointer": lambda _, names: names["#"],
}
