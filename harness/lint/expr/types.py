"""PURE: the types of a condition, as the rollouts controller's expression compiler checks them before it evaluates anything.

A mistake in a branch that is never reached spoils the whole condition there, so it does here.
"""

from __future__ import annotations

from harness.lint.expr.syntax import Node, Unknown

_NUMBERS = {"int", "float", "any"}
_HOLDERS = {"vector", "list", "any"}
# Functions of expr-lang that are real, and not needed here: an expression with one of them is left unjudged.
_REAL = frozenset(
    """
    groupBy sortBy reduce find findIndex findLast findLastIndex sort reverse concat flatten uniq take keys values
    toPairs fromPairs type split splitAfter join replace repeat indexOf lastIndexOf hasPrefix hasSuffix upper lower trim
    trimPrefix trimSuffix toJSON fromJSON toBase64 fromBase64 now duration date timezone bitand bitor bitxor bitnand
    bitnot bitshl bitshr bitushr get filter map median string
    """.split()  # noqa: SIM905 -- a list of sixty quoted words says less
)
PREDICATES = {"all", "any", "none", "one", "count"}
_ORDER = {"<", "<=", ">", ">="}
_ARITY = {
    "len": 1, "isNaN": 1, "isInf": 1, "isNil": 1, "asInt": 1, "asFloat": 1, "default": 2, "abs": 1, "ceil": 1, "floor": 1,
    "round": 1, "int": 1, "float": 1, "first": 1, "last": 1,
}
_ARTICLE = {
    "vector": "the whole result (a list of numbers)", "float": "a number", "int": "a number", "bool": "true or false",
    "string": "a text", "list": "a list", "nil": "nil",
}


class Refused(ValueError):
    """The controller would get an error instead of an answer."""


def check(node: Node, kind: str) -> str:
    """The static type of an expression over a result of type `kind`: int, float, bool, string, nil, vector, list or any.

    Raises:
        Refused: the compiler refuses it.
        Unknown: it uses something that is not modelled here.

    """
    return _Types({"result": kind}).of(node)


class _Types:
    def __init__(self, names: dict[str, str], item: str = "") -> None:
        self._names = names
        self._item = item

    def of(self, node: Node) -> str:
        return str(getattr(self, f"_{node.kind}")(node))

    def _literal(self, node: Node) -> str:
        return {bool: "bool", int: "int", float: "float", str: "string"}.get(type(node.value), "nil")

    def _name(self, node: Node) -> str:
        if node.value not in self._names:
            raise Refused(f"there is no {node.value!r} here, only 'result'")
        return self._names[node.value]

    def _unary(self, node: Node) -> str:
        inner = self.of(node.parts[0])
        if node.value == "!":
            self._want(inner, {"bool", "any"}, "'!'")
            return "bool"
        return self._want(inner, _NUMBERS, f"'{node.value}'")

    def _want(self, kind: str, allowed: set[str], where: str) -> str:
        if kind not in allowed:
            raise Refused(f"{where} cannot take {_ARTICLE.get(kind, kind)}")
        return kind

    def _binary(self, node: Node) -> str:  # noqa: C901, PLR0911, PLR0912 -- one line for each family of operators
        sign = node.value
        left, right = (self.of(part) for part in node.parts)
        if sign in ("&&", "||"):
            for each in (left, right):
                self._want(each, {"bool", "any"}, f"'{sign}'")
            return "bool"
        if sign in ("==", "!="):
            if not _comparable(left, right):
                raise Refused(f"'{sign}' cannot compare {_ARTICLE.get(left, left)} with {_ARTICLE.get(right, right)}")
            return "bool"
        if sign in _ORDER:
            texts = {left, right} <= {"string", "any"}
            if not texts and not {left, right} <= _NUMBERS:
                raise Refused(f"'{sign}' cannot compare {_ARTICLE.get(left, left)} with {_ARTICLE.get(right, right)}")
            return "bool"
        if sign == "??":
            return right if left == "nil" else left if left == right else "any"
        if sign == "in":
            return "bool"
        if sign in ("matches", "contains", "startsWith", "endsWith"):
            for each in (left, right):
                self._want(each, {"string", "any"}, f"'{sign}'")
            return "bool"
        if sign == "+" and {left, right} <= {"string", "any"}:
            return "string" if left == right == "string" else "any"
        for each in (left, right):
            self._want(each, _NUMBERS, f"'{sign}'")
        if sign == "..":
            return "list"
        if sign in ("/", "**"):
            return "float"
        return "any" if "any" in (left, right) else "float" if "float" in (left, right) else "int"

    def _if(self, node: Node) -> str:
        condition, yes, no = (self.of(part) for part in node.parts)
        self._want(condition, {"bool", "any"}, "'?'")
        return yes if yes == no else "any"

    def _index(self, node: Node) -> str:
        base, index = (self.of(part) for part in node.parts)
        if base == "vector":
            self._want(index, {"int", "any"}, "an index")
            return "float"
        self._want(base, {"any", "list", "string"}, "an index")
        return "any"

    def _slice(self, node: Node) -> str:
        kind, *bounds = (self.of(part) for part in node.parts)
        for bound in bounds:
            self._want(bound, {"int", "any"}, "a slice")
        return self._want(kind, {"vector", "any", "list", "string"}, "a slice")

    def _member(self, node: Node) -> str:
        self._want(self.of(node.parts[0]), {"any"}, f"'.{node.value}'")
        return "any"

    _optional = _member

    def _list(self, node: Node) -> str:
        for part in node.parts:
            self.of(part)
        return "list"

    def _map(self, node: Node) -> str:
        for part in node.parts:
            self.of(part)
        return "any"

    def _pointer(self, node: Node) -> str:
        if node.value:
            raise Unknown
        if not self._item:
            raise Refused("'#' stands outside of a predicate")
        return self._item

    def _let(self, node: Node) -> str:
        kind = self.of(node.parts[0])
        return _Types({**self._names, node.value: kind}, self._item).of(node.parts[1])

    def _call(self, node: Node) -> str:  # noqa: C901, PLR0911 -- a table of functions
        name, parts = node.value, node.parts
        if name.startswith(".") or name in _REAL:
            raise Unknown
        if name in PREDICATES or name == "sum":
            if len(parts) == 1 and name in ("count", "sum"):
                self._want(self.of(parts[0]), _HOLDERS, f"{name}()")
                return "any"
            answer = self._predicate(node)
            if name != "sum":
                self._want(answer, {"bool", "any"}, f"{name}()")
            return "any" if name == "sum" else "int" if name == "count" else "bool"
        kinds = [self.of(part) for part in parts]
        if name not in _ARITY and name not in ("min", "max", "mean"):
            raise Refused(f"there is no function {name!r}")
        if name in _ARITY and len(kinds) != _ARITY[name]:
            raise Refused(f"{name}() takes {_ARITY[name]}, not {len(kinds)}")
        if name == "len":
            self._want(kinds[0], _HOLDERS | {"string"}, "len()")
            return "int"
        if name in ("isNaN", "isInf"):
            if kinds[0] == "int":
                raise Unknown  # a written whole number becomes a float, another one does not
            self._want(kinds[0], {"float", "any"}, f"{name}()")
            return "bool"
        if name in ("first", "last"):
            self._want(kinds[0], _HOLDERS, f"{name}()")
            return "any"
        if name in ("ceil", "floor", "round", "abs"):
            self._want(kinds[0], _NUMBERS, f"{name}()")
            return kinds[0] if name == "abs" else "float"
        return {"isNil": "bool", "asInt": "int", "asFloat": "float", "int": "int", "float": "float"}.get(name, "any")

    def _predicate(self, node: Node) -> str:
        if len(node.parts) != 2:
            raise Refused(f"{node.value}() takes 2, not {len(node.parts)}")
        holder = self._want(self.of(node.parts[0]), _HOLDERS, f"{node.value}()")
        return _Types(self._names, "float" if holder == "vector" else "any").of(node.parts[1])


def _comparable(left: str, right: str) -> bool:
    if "any" in (left, right) or "nil" in (left, right) or left == right:
        return True
    return {left, right} <= {"int", "float"} or {left, right} <= {"vector", "list"}
