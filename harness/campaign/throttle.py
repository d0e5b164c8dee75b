"""How many lanes the machine carries: decided from what was measured, one step at a time. PURE: no I/O and no clock.

A lane costs CPU in bursts (a load generator and two pods start, helm renders) and memory steadily. The number goes up while there
is room, and down when a release failed for want of CPU or the machine is full: what is decided there says little of a gate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

BUSY_PERCENT = 75.0
"""Mean CPU over the look-back below which one more lane is tried."""
FULL_PERCENT = 92.0
"""Above this one lane fewer runs: load and scrapes would come late."""
LOOK_BACK_SECONDS = 20.0
"""Long enough to average over a release's bursts."""
LANE_BYTES = 700 * 1024 * 1024
"""Memory that a lane may take: two pods, Locust, a Prometheus."""
FIRST_LANES = 2


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at the machine: epoch-free seconds, CPU in percent of all cores, memory that is available in bytes."""

    at: float
    cpu_percent: float
    available_bytes: int


@dataclass(kw_only=True)
class Throttle:
    """The number of lanes that may run now, at most `most`."""

    most: int
    cores: int
    allowed: int = 0
    peak: int = 0
    reason: str = ""
    _samples: deque[Sample] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Begin with a few."""
        self.allowed = self.peak = self.allowed or max(1, min(FIRST_LANES, self.most))

    def look(self, sample: Sample, *, active: int) -> None:
        """Take one look, with so many lanes at work, and change the number if it is time to."""
        self._samples.append(sample)
        while self._samples[0].at < sample.at - LOOK_BACK_SECONDS:
            self._samples.popleft()
        if sample.at - self._samples[0].at < LOOK_BACK_SECONDS * 0.9 or active < self.allowed:
            return
        busy = sum(each.cpu_percent for each in self._samples) / len(self._samples)
        told = f"{busy:.0f} % of {self.cores} cores busy with {self.allowed} lanes"
        if busy > FULL_PERCENT:
            self._set(self.allowed - 1, f"CPU: {told}")
        elif busy > BUSY_PERCENT:
            self.reason = f"CPU: {told}"
        elif self.allowed >= self.most:
            self.reason = f"the number of releases: no more than {self.most} at once were wanted ({told})"
        elif sample.available_bytes < LANE_BYTES:
            self.reason = f"memory: {sample.available_bytes / 2**20:.0f} MiB left with {self.allowed} lanes"
        else:
            self._set(self.allowed + 1, f"CPU: {told}")

    def starved(self) -> None:
        """A release failed because its load or its answers came too slowly."""
        self._set(self.allowed - 1, f"load: a release fell short of its rate with {self.allowed} lanes")

    def _set(self, lanes: int, reason: str) -> None:
        self.reason = reason
        if 1 <= lanes <= self.most:
            self.allowed, self.peak = lanes, max(self.peak, lanes)
            # What was seen with another number of lanes says nothing of this one.
            self._samples.clear()
