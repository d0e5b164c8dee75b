"""What a person sees while a release runs: a live tree on a terminal, one line per change elsewhere.

`live_state` is pure: from API objects and load numbers to a `LiveState`. `make_progress` picks who shows it; what draws the tree
(rich) is imported only for a terminal.
"""

from harness.progress.plain import PlainProgress, changes
from harness.progress.show import Progress, make_progress
from harness.progress.state import AnalysisLine, LiveState, LoadNow, MetricLine, PodLine, Revision, live_state

__all__ = [
    "AnalysisLine",
    "LiveState",
    "LoadNow",
    "MetricLine",
    "PlainProgress",
    "PodLine",
    "Progress",
    "Revision",
    "changes",
    "live_state",
    "make_progress",
]
