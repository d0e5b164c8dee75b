"""How long users are watched after a decision: until the loser's silence is no accident any more. PURE: no I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import takewhile

from harness.faults import Effect, delay_quantiles
from harness.scenario import Decision, Scenario

AFTER_SECONDS = 2.0
"""Load beyond the time within which users must be safe, so that "the last bad answer" is not merely the last answer."""

DOUBT = 0.001
"""The probability that a loser which still gets its share is taken for gone."""

PATIENCE_SECONDS = 0.5
"""How long at the least a row must last beyond the loser's slowest answer."""

MOST_DELAY_MS = 500.0
"""A candidate slower than this may hold the answers that would give it away until after the end."""


def after_seconds(scenario: Scenario) -> float:
    """For how long users are watched after the decision where no row of answers settles it.

    They must be safe from a bad version within a limit; a good one has only to be seen serving.
    """
    return AFTER_SECONDS + (scenario.safe_within_seconds if scenario.expect is Decision.ROLLBACK else 0.0)


def quiet_row(scenario: Scenario) -> int | None:
    """How many answers in a row, all from the winner, show that the loser is gone; None where a row shows nothing.

    The loser would go on with the share that it had: the first step's for a candidate, what the last step leaves for the stable
    version. And the row must be longer than an answer of the loser's may take, or than a machine may stand still. A row shows
    nothing of a candidate that comes and goes, that answers late or has the gateway answer, or where parts of the platform are
    being killed.
    """
    slowest = delay_quantiles(scenario.fault.settings)[-1][1]
    if scenario.fault.effect not in {Effect.ANSWERS, Effect.UNSEEN} or slowest > MOST_DELAY_MS or scenario.disturbances:
        return None
    share = (scenario.steps[0] if scenario.expect is Decision.ROLLBACK else 100 - scenario.steps[-1]) / 100
    among = math.ceil(after_seconds(scenario) * scenario.rps)
    row = row_needed(share, among=among)
    longest = math.ceil((slowest / 1000 + PATIENCE_SECONDS) * scenario.rps)
    return None if row is None or longest > among else max(row, longest)


def row_needed(share: float, *, among: int, doubt: float = DOUBT) -> int | None:
    """The shortest row that a version with this share leaves to others among so many answers with at most this probability.

    A row of n begins at the first answer, or after one of the loser's: by the union bound over these places its probability is at
    most (1 - share)^n * (1 + (among - n) * share). None where even all of the answers are no such row.

    >>> row_needed(0.1, among=350), row_needed(0.4, among=100), row_needed(0.1, among=20)
    (97, 21, None)
    """
    return next((n for n in range(1, among + 1) if (1 - share) ** n * (1 + (among - n) * share) <= doubt), None)


def row_at_the_end(answers: Iterable[tuple[float, str | None]], winner: str) -> int:
    """How many of the requests that were started last were answered by the winner, up to the first that was not.

    Of each answer: when it was asked for, and its version.

    >>> row_at_the_end([(1, "v1.0"), (2, "v1.1"), (4, "v1.0"), (3, "v1.0")], "v1.0")
    2
    """
    latest_first = sorted(answers, key=lambda each: each[0], reverse=True)
    return sum(1 for _ in takewhile(lambda each: each[1] == winner, latest_first))
