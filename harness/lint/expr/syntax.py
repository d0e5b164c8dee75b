"""PURE: the language of conditions (expr-lang), as far as conditions use it: text → tree.

Precedences and forms are those of expr-lang 1.17, which Argo Rollouts 1.10 compiles in; tests hold them against the real one.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
      | (?P<number>0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+
          |(?:\d[\d_]*)?\.\d[\d_]*(?:[eE][+-]?\d+)?|\d[\d_]*(?:\.(?!\.))?(?:[eE][+-]?\d+)?)
      | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
      | (?P<word>[A-Za-z_$][A-Za-z0-9_$]*)
      | (?P<sign>\?\.|\?\?|\.\.|\*\*|&&|\|\||==|!=|<=|>=|::|[-+*/%^<>!?:.,;|()\[\]{}\#=])
    """,
    re.VERBOSE | re.DOTALL,
)
_BINARY = {
    "|": 0, "or": 10, "||": 10, "and": 15, "&&": 15, "==": 20, "!=": 20, "<": 20, ">": 20, ">=": 20, "<=": 20, "in": 20,
    "matches": 20, "contains": 20, "startsWith": 20, "endsWith": 20, "..": 25, "+": 30, "-": 30, "*": 60, "/": 60, "%": 60,
    "**": 100, "^": 100, "??": 500,
}
_RIGHT = {"**", "^"}
_UNARY = {"not": 50, "!": 50, "-": 90, "+": 90}
_NEGATED = {"in", "matches", "contains", "startsWith", "endsWith"}
_COMPARISONS = {"<", ">", "<=", ">="}
# Far from any condition; what comes after parsing recurses into the tree.
_DEPTH_AT_MOST = 60
_TOKENS_AT_MOST = 250


class Malformed(ValueError):
    """The condition is not an expression of the language."""


class Unknown(Exception):
    """Nothing certain can be said of it."""


@dataclass(frozen=True)
class Node:
    """One node.

    `kind` says what `value` and `parts` hold: literal, name, unary, binary, if, index, member, optional, slice, call, list, map,
    pointer or let.
    """

    kind: str
    value: Any = None
    parts: tuple[Node, ...] = ()


@functools.lru_cache(maxsize=512)
def parse(text: str) -> Node:
    """The tree of a condition.

    Raises:
        Malformed: it is none.
        Unknown: it is too large to be looked at.

    """
    parser = _Parser(_tokens(text))
    node = parser.expression()
    if parser.peek() != ("end", ""):
        raise Malformed(f"unexpected {parser.peek()[1]!r}")
    return node


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match or match.end() == at:
            raise Malformed(f"unexpected {text[at]!r}")
        if match.lastgroup != "space":
            found.append((str(match.lastgroup), match.group()))
        if len(found) > _TOKENS_AT_MOST:
            raise Unknown
        at = match.end()
    return [*found, ("end", "")]


class _Parser:
    """Precedence climbing over tokens."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def peek(self) -> tuple[str, str]:
        return self._tokens[self._at]

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _is(self, *signs: str) -> bool:
        kind, value = self.peek()
        return kind in ("sign", "word") and value in signs

    def _expect(self, sign: str) -> None:
        if not self._is(sign):
            found = repr(self.peek()[1]) if self.peek()[1] else "the end"
            raise Malformed(f"{found} where {sign!r} is wanted")
        self._next()

    def expression(self, lowest: int = 0) -> Node:
        self._depth += 1
        if self._depth > _DEPTH_AT_MOST:
            raise Unknown
        if lowest == 0 and self._is("let"):
            node = self._let()
        elif lowest == 0 and self._is("if"):
            node = self._if()
        else:
            node = self._operators(self._operand(), lowest)
            if lowest == 0:
                node = self._conditional(node)
        self._depth -= 1
        return node

    def _let(self) -> Node:
        self._next()
        name = self._next()[1]
        self._expect("=")
        value = self.expression()
        self._expect(";")
        return Node("let", name, (value, self.expression()))

    def _if(self) -> Node:
        self._next()
        condition = self.expression()
        self._expect("{")
        yes = self.expression()
        self._expect("}")
        self._expect("else")
        if self._is("if"):
            return Node("if", None, (condition, yes, self._if()))
        self._expect("{")
        no = self.expression()
        self._expect("}")
        return Node("if", None, (condition, yes, no))

    def _operators(self, left: Node, lowest: int) -> Node:
        before = ""
        while True:
            negated = self._is("not") and self._tokens[self._at + 1][1] in _NEGATED
            sign = self._tokens[self._at + negated][1] if self.peek()[0] in ("sign", "word") else ""
            rank = _BINARY.get(sign, -1)
            if rank < lowest or rank < 0:
                return left
            self._at += 1 + negated
            if sign == "|":
                left = self._pipe(left)
                continue
            if before == "??" and sign != "??":
                raise Malformed(f"?? beside {sign} needs parentheses")
            before = sign
            right = self.expression(rank if sign in _RIGHT else rank + 1)
            left = self._chained(left, sign, right)
            if negated:
                left = Node("unary", "!", (left,))

    def _chained(self, left: Node, sign: str, right: Node) -> Node:
        # `1 < x < 5` compares its middle twice.
        if sign in _COMPARISONS and left.kind == "binary" and left.value in _COMPARISONS:
            return Node("binary", "&&", (left, Node("binary", sign, (left.parts[1], right))))
        return Node("binary", {"and": "&&", "or": "||", "^": "**"}.get(sign, sign), (left, right))

    def _pipe(self, left: Node) -> Node:
        kind, name = self._next()
        if kind != "word":
            raise Malformed(f"{name!r} where a function is wanted after '|'")
        self._expect("(")
        return self._postfix(Node("call", name, (left, *self._list(")"))))

    def _conditional(self, node: Node) -> Node:
        while self._is("?"):
            self._next()
            if self._is(":"):
                self._next()
                yes = node
            else:
                yes = self.expression()
                self._expect(":")
            node = Node("if", None, (node, yes, self.expression()))
        return node

    def _operand(self) -> Node:
        kind, value = self.peek()
        if kind in ("sign", "word") and value in _UNARY:
            self._next()
            inner = self.expression(_UNARY[value])
            return self._postfix(Node("unary", "!" if value == "not" else value, (inner,)))
        return self._postfix(self._primary())

    def _primary(self) -> Node:
        kind, value = self._next()
        if kind == "number":
            return Node("literal", _number(value))
        if kind == "text":
            return Node("literal", value[1:-1] if value[0] == "`" else re.sub(r"\\(.)", r"\1", value[1:-1]))
        if kind == "word":
            if value in ("true", "false", "nil"):
                return Node("literal", {"true": True, "false": False, "nil": None}[value])
            if self._is("("):
                self._next()
                return Node("call", value, tuple(self._list(")")))
            if value in _BINARY or value in ("let", "if", "else"):
                raise Malformed(f"unexpected {value!r}")
            return Node("name", value)
        return self._bracket(value)

    def _bracket(self, value: str) -> Node:
        if value == "(":
            node = self.expression()
            self._expect(")")
            return node
        if value == "[":
            return Node("list", None, tuple(self._list("]")))
        if value == "{":
            return self._braces()
        if value == "#":
            name = self._next()[1] if self.peek()[0] == "word" and self.peek()[1] not in _BINARY else ""
            return Node("pointer", name)
        if value == "." and self.peek()[0] == "word":
            return Node("member", self._next()[1], (Node("pointer", ""),))
        raise Malformed(f"unexpected {value!r}" if value else "it ends too early")

    def _braces(self) -> Node:
        """A map, or the body of a predicate."""
        if self._is("}"):
            self._next()
            return Node("map")
        kind, name = self.peek()
        if kind in ("word", "text", "number") and self._tokens[self._at + 1][1] == ":":
            parts: list[Node] = []
            while not self._is("}"):
                self._next()
                self._expect(":")
                parts.append(self.expression())
                if not self._is("}"):
                    self._expect(",")
            self._next()
            return Node("map", name, tuple(parts))
        node = self.expression()
        self._expect("}")
        return node

    def _postfix(self, node: Node) -> Node:
        while True:
            if self._is(".", "?."):
                optional = self._next()[1] == "?."
                if self._is("["):
                    continue
                kind, name = self._next()
                if kind != "word":
                    raise Malformed(f"{name!r} where a name is wanted")
                if self._is("("):
                    self._next()
                    node = Node("call", f".{name}", (node, *self._list(")")))
                else:
                    node = Node("member", name, (node,)) if not optional else Node("optional", name, (node,))
            elif self._is("["):
                self._next()
                node = self._index(node)
            else:
                return node

    def _index(self, node: Node) -> Node:
        if self._is(":"):
            self._next()
            end = () if self._is("]") else (self.expression(),)
            self._expect("]")
            return Node("slice", None, (node, Node("literal", 0), *end))
        start = self.expression()
        if self._is(":"):
            self._next()
            end = () if self._is("]") else (self.expression(),)
            self._expect("]")
            return Node("slice", None, (node, start, *end))
        self._expect("]")
        return Node("index", None, (node, start))

    def _list(self, closing: str) -> list[Node]:
        found: list[Node] = []
        while not self._is(closing):
            if found:
                self._expect(",")
                if self._is(closing):
                    break
            found.append(self.expression())
        self._next()
        return found


def _number(text: str) -> int | float:
    plain = text.replace("_", "")
    try:
        if plain[:2].lower() in ("0x", "0b", "0o"):
            return int(plain, 0)
        return float(plain) if set(plain) & set(".eE") else int(plain)
    except ValueError:
        raise Malformed(f"{text!r} is no number") from None


def literals(node: Node) -> list[float]:
    """Every number that is written in it."""
    number = node.kind == "literal" and isinstance(node.value, int | float) and not isinstance(node.value, bool)
    return ([float(node.value)] if number else []) + [each for part in node.parts for each in literals(part)]
