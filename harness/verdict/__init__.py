"""Was it the right decision, for the right reason, in an experiment that can tell? PURE: no I/O.

`judge(scenario, observation)` answers with a `Verdict`: named checks with expected, actual and evidence, and one of three
outcomes. When several things are wrong at once, **a broken experiment beats the decision**: a gate that was fed too little
traffic, a dead Prometheus or a helping hand proves nothing about the gate, neither for it nor against it.

1. A check of the *experiment* failed, or any check could not be made (`passed` is None): INCONCLUSIVE, exit 3. This holds
   for a decision that the gate did not take: aborted or promoted by hand, progress deadline, analysis phase Error.
2. Otherwise a check of the *decision* failed: OTHER_DECISION, exit 1. This holds for another decision, for the right one
   with a wrong reason, and for the right one that harmed users (failed requests, the bad version served too long).
3. Otherwise: EXPECTED, exit 0.
"""

from harness.verdict.judge import judge
from harness.verdict.model import Check, Kind, Outcome, Taken, Verdict

__all__ = ["Check", "Kind", "Outcome", "Taken", "Verdict", "judge"]
