"""PURE: YAML that somebody else wrote, looked through before it is built: how deep it is, and how large its aliases make it.

libyaml's composer recurses without a limit and ends the whole process where the stack does; a few aliases of aliases unfold to
more than any memory holds. Both can be seen from the events of the parser, which does not recurse and unfolds nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import yaml

PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MERGE = "tag:yaml.org,2002:merge"
MOST_VALUES = 500_000
"""More than any set of manifests has."""
MOST_DEPTH = 200
"""The recursion of Python and of JSON schemas gets this far with room to spare."""


class Unbounded(ValueError):
    """The text is too deep, too large, or contains itself. One line."""


def look_through(text: str, *, most_values: int = MOST_VALUES, most_depth: int = MOST_DEPTH) -> None:
    """Raise Unbounded for a text that must not be built. One that is no YAML passes: whoever builds it says where."""
    count = _Count()
    for event in _events(text):
        count.take(event)
        where = f"(line {event.start_mark.line + 1})" if event.start_mark else ""
        if count.loop:
            raise Unbounded(f"an alias contains itself {where}")
        if len(count.around) > most_depth:
            raise Unbounded(f"the values are nested too deeply {where}")
        if count.values > most_values:
            raise Unbounded(f"there are more than {most_values} values, aliases counted as often as they stand {where}")


def _events(text: str) -> Iterator[yaml.Event]:
    with contextlib.suppress(yaml.YAMLError):
        yield from yaml.parse(text, Loader=PARSER)


class _Count:
    """What the events so far come to. `around` are the collections that are open: their anchors, and the values before each."""

    def __init__(self) -> None:
        self.values = 0
        self.loop = False
        self.around: list[tuple[str | None, int]] = []
        self._sizes: dict[str | None, int] = {}

    def take(self, event: yaml.Event) -> None:
        """One event more."""
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self.around.pop()
            if anchor:
                self._sizes[anchor] = self.values - before
        elif isinstance(event, yaml.AliasEvent):
            self.values += self._sizes.get(event.anchor, 1)
            self.loop = any(anchor == event.anchor for anchor, _ in self.around)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.around.append((event.anchor, self.values))
            self.values += 1
        elif isinstance(event, yaml.ScalarEvent):
            self.values += 1
            if event.anchor:
                self._sizes[event.anchor] = 1


def key_twice(text: str) -> str | None:
    """The first key that stands twice in one mapping, with its line; None where none does, or where it is no YAML.

    To be called for what was looked through only.
    """
    with contextlib.suppress(yaml.YAMLError):
        waiting, seen = list(yaml.compose_all(text, Loader=PARSER)), set[int]()
        while waiting:
            node = waiting.pop()
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, yaml.SequenceNode):
                waiting += node.value
            elif isinstance(node, yaml.MappingNode):
                keys = set[tuple[str, str]]()
                for key, _ in node.value:
                    if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                        continue
                    if (key.tag, key.value) in keys:
                        return f"{key.value} (line {key.start_mark.line + 1})"
                    keys.add((key.tag, key.value))
                waiting += [part for pair in node.value for part in pair]
    return None


def value_of(text: str) -> Any:
    """One YAML value that JSON can hold as well. Raises ValueError or yaml.YAMLError for any other."""
    look_through(text)
    try:
        value = yaml.safe_load(text)
        json.dumps(value, allow_nan=False)
    except (TypeError, RecursionError, AttributeError, OverflowError) as error:
        # YAML knows dates, binary data and more.
        raise ValueError(str(error)) from None
    return value
