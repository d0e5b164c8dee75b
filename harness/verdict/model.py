"""The types of a verdict. PURE: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from harness.errors import EXIT_INCONCLUSIVE, EXIT_OK, EXIT_OTHER_DECISION


class Outcome(Enum):
    """What the run as a whole says; the value is the exit code."""

    EXPECTED = EXIT_OK
    OTHER_DECISION = EXIT_OTHER_DECISION
    INCONCLUSIVE = EXIT_INCONCLUSIVE

    @property
    def headline(self) -> str:
        """The one word for people."""
        names = {Outcome.EXPECTED: "PASSED", Outcome.OTHER_DECISION: "FAILED", Outcome.INCONCLUSIVE: "INCONCLUSIVE"}
        return names[self]


class Taken(Enum):
    """The decision that was taken, by whomever."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    NONE = "none"


class Kind(Enum):
    """What a failed check says: the experiment is broken, or the gate (or what carries out its decision) is."""

    EXPERIMENT = "experiment"
    DECISION = "decision"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One row of the report. `passed` is None when it could not be told, which never counts as passed."""

    name: str
    kind: Kind
    passed: bool | None
    expected: str
    actual: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome, the decision that was taken, every check, and the whole in one sentence."""

    outcome: Outcome
    taken: Taken
    checks: tuple[Check, ...]
    summary: str

    @property
    def exit_code(self) -> int:
        """The process' exit code for this verdict."""
        return int(self.outcome.value)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)
