"""PURE: YAML text as plain values, each of which knows the line it stands on, and the comments that switch rules off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from harness.lint.model import Path
from harness.plain import PARSER, Unbounded, look_through

_IGNORE = re.compile(r"#\s*gateproof:\s*ignore\b[:=]?[ \t]*([\w\-, \t]*)")
_ALL = "*"


class Unreadable(ValueError):
    """The text is not YAML. One line: what is wrong and where."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One object. `lines` maps the path of each value inside it to its line; `ignored` a line to the rules that are off there."""

    file: str
    value: dict[str, Any]
    lines: dict[Path, int]
    ignored: dict[int, frozenset[str]] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest one around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def ignores(self, path: Path, names: set[str]) -> bool:
        """Whether a comment at this value, or at one around it, switches a rule of one of these names off."""
        for length in range(len(path) + 1):
            line = self.lines.get(path[:length])
            if line is not None and self.ignored.get(line, frozenset()) & (names | {_ALL}):
                return True
        return False


def documents(file: str, text: str) -> list[Document]:
    """The objects of a file: each YAML document, and each item of a List.

    Raises:
        Unreadable: the text is not YAML.

    """
    ignored = _comments(text)
    found: list[Document] = []
    try:
        look_through(text)
        for node in yaml.compose_all(text, Loader=PARSER):
            if node is not None:
                reader = _Reader()
                value = reader.read(node, ())
                found += _objects(Document(file=file, value=value, lines=reader.lines, ignored=ignored)) if value else []
    except yaml.YAMLError as error:
        raise Unreadable(_told(error)) from None
    except Unbounded as error:
        raise Unreadable(str(error)) from None
    return found


def _told(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return " ".join(f"{problem}{where}".split())


def _objects(document: Document) -> Iterator[Document]:
    value = document.value
    if not isinstance(value, dict):
        return
    items = value.get("items")
    if not (isinstance(items, list) and str(value.get("kind", "")).endswith("List")):
        yield document
        return
    for index, item in enumerate(items):
        root: Path = ("items", index)
        lines = {path[2:]: line for path, line in document.lines.items() if path[:2] == root}
        yield from _objects(Document(file=document.file, value=item, lines=lines, ignored=document.ignored))


def _comments(text: str) -> dict[int, frozenset[str]]:
    """Line → rules that are off there. A comment on a line of its own counts for the next line that holds something."""
    ignored: dict[int, frozenset[str]] = {}
    waiting: frozenset[str] = frozenset()
    for number, line in enumerate(text.splitlines(), 1):
        match = _IGNORE.search(line)
        names = frozenset(name.lower() for name in re.split(r"[,\s]+", match[1]) if name) or {_ALL} if match else frozenset()
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", "---", "%")):
            waiting |= names
            continue
        if names | waiting:
            ignored[number] = frozenset(names | waiting)
        waiting = frozenset()
    return ignored


class _Reader:
    """Builds values from nodes and notes where each stood. The text was looked through: it is neither too deep nor too large."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self._scalars = yaml.SafeLoader("")

    def read(self, node: yaml.Node, path: Path, line: int | None = None) -> Any:
        self.lines[path] = node.start_mark.line + 1 if line is None else line
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(each, (*path, index)) for index, each in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        value: dict[str, Any] = {}
        own = []
        for key_node, value_node in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag == "tag:yaml.org,2002:merge":
                merged = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for each in reversed(merged):  # the first of several wins
                    found = self.read(each, path, self.lines[path])
                    value |= found if isinstance(found, dict) else {}
            else:
                own.append((key_node, value_node))
        for key_node, value_node in own:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            # The line of the key, not of the value: a block text starts on the line below.
            value[key] = self.read(value_node, (*path, key), key_node.start_mark.line + 1)
        return value

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError):
            return str(node.value)
        # JSON, and so the API server, knows no dates, sets or bytes.
        return value if value is None or isinstance(value, str | bool | int | float) else str(node.value)
