"""PURE: what a gate does to releases: the answer of the exact figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.oc.gate import Cause
from harness.oc.query import Floats


@dataclass(frozen=True, kw_only=True)
class Characteristic:
    """What a gate does, for each of many versions (one per column of `by_step` and per entry of the rest).

    `by_cause` splits `rollback` by what a measurement failed for: too little traffic, whatever else; then errors; then latency.
    `seconds` is the expected time from the first weight to the decision, without the time that pods and controller take.
    `failed` are the users' requests in error expected until then; what users get after a promotion is not in it.
    """

    rollback: Floats
    by_step: Floats
    by_cause: Mapping[Cause, Floats]
    seconds: Floats
    failed: Floats

    @property
    def caught(self) -> Floats:
        """P(rolled back for what the version does): without those for lack of traffic, which are right by accident only."""
        found: Floats = self.by_cause[Cause.ERRORS] + self.by_cause[Cause.LATENCY]
        return found
