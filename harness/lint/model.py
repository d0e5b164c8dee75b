"""PURE: what a rule is, and what it finds."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field


class Severity(enum.IntEnum):
    """How sure it is that a gate decides wrongly; a higher number is worse."""

    NOTE = 1
    WARNING = 2
    ERROR = 3

    @property
    def word(self) -> str:
        """The name as it is printed and as options take it."""
        return self.name.lower()


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One trap. `why` says what the controller, the mesh or Prometheus really does; `see` cites where that is known from."""

    id: str
    name: str
    title: str
    severity: Severity
    why: str
    fix: str
    see: str = ""


Path = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One place where a rule is broken. `subject` names the object and the part of it; `line` counts from 1."""

    rule: Rule
    severity: Severity
    file: str
    line: int
    subject: str
    message: str

    @property
    def order(self) -> tuple[str, int, str, str]:
        """By place first, as one reads a file."""
        return (self.file, self.line, self.rule.id, self.message)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user knows and a template does not say.

    `buckets` are the bounds of every histogram, in the unit of its metric (seconds for `_seconds`); empty means: only those
    that are known by the metric's name. `scrape_interval` is in seconds. `ignore` holds rule ids or names.
    """

    buckets: tuple[float, ...] = ()
    scrape_interval: float = 15.0
    ignore: frozenset[str] = field(default_factory=frozenset)


# (rule, path inside the document, message, severity when it is not the rule's own) → None
Tell = Callable[..., None]
