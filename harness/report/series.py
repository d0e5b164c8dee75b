"""What clients got over time, by who answered, in buckets of equal length. PURE: no I/O."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.observation.measure import candidate_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.observation import Observation, ResponseRecord

MAX_BUCKETS = 20_000
"""More than five hours by the second; beyond that buckets grow, so that a report stays one that can be opened."""

NICE_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, kw_only=True)
class Group:
    """One answerer's requests, by the bucket in which they were started. `p95_ms` is None where there was none."""

    requests: tuple[int, ...]
    failed: tuple[int, ...]
    p95_ms: tuple[float | None, ...]

    def failed_percent(self) -> tuple[float | None, ...]:
        """Percent of each bucket's requests that failed; None where there was none."""
        return tuple(100 * bad / n if n else None for n, bad in zip(self.requests, self.failed, strict=True))


@dataclass(frozen=True, kw_only=True)
class Series:
    """All requests from `start` on (seconds since the release was asked for, mostly negative), in whole buckets.

    `nobody` are requests that got no answer from either version: the gateway's own answers and broken connections. What the
    gateway is known to answer in the candidate's stead counts as the candidate's, as it does in the verdict.
    """

    start: float
    bucket_seconds: int
    stable: Group
    candidate: Group
    nobody: Group

    def __len__(self) -> int:
        """How many buckets."""
        return len(self.stable.requests)

    def middle(self, index: int) -> float:
        """The middle of a bucket, in seconds since the release."""
        return self.start + (index + 0.5) * self.bucket_seconds

    def total(self, index: int) -> int:
        """All requests of a bucket."""
        return sum(group.requests[index] for group in (self.stable, self.candidate, self.nobody))


def series_of(observation: Observation, *, bucket_seconds: int = 1) -> Series:
    """The requests of the whole load, those before the release too."""
    released = observation.release_started_at
    first, last = span_of(observation)
    before = math.ceil(max(0.0, released - first) / bucket_seconds)
    count = before + math.ceil(max(0.0, last - released) / bucket_seconds)
    if count > MAX_BUCKETS:
        return series_of(observation, bucket_seconds=bucket_seconds * math.ceil(count / MAX_BUCKETS))
    start = -before * bucket_seconds
    found: dict[str, dict[int, list[ResponseRecord]]] = defaultdict(lambda: defaultdict(list))
    answerer = answered_by(observation)
    for each in observation.responses:
        index = math.floor((each.started - released - start) / bucket_seconds)
        if 0 <= index < count:
            found[answerer(each)][index].append(each)
    groups = {name: _group(found[name], count) for name in ("stable", "candidate", "nobody")}
    return Series(start=start, bucket_seconds=bucket_seconds, **groups)


def answered_by(observation: Observation) -> Callable[[ResponseRecord], str]:
    """A function that tells whose a request is: `candidate`, `stable` or `nobody`."""
    is_candidate = candidate_version(observation)

    def answerer(response: ResponseRecord) -> str:
        if is_candidate(response):
            return "candidate"
        return "nobody" if response.pod is None else "stable"

    return answerer


def readable_bucket(candidate_rps: float, window_seconds: float, span_seconds: float) -> int:
    """Seconds a bucket for a plot: about 20 answers of the candidate in each (fewer say nothing about a 95th percentile),
    but at least four buckets a window, and at most 120 in all.
    """  # noqa: D205 -- one sentence
    wanted = min(20 / max(candidate_rps, 1e-9), window_seconds / 4)
    wanted = max(wanted, span_seconds / 120)
    return next((nice for nice in NICE_SECONDS if nice >= wanted * 0.999), math.ceil(wanted / 3600) * 3600)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile: the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def span_of(observation: Observation) -> tuple[float, float]:
    """When the load began and ended, in epoch seconds."""
    if observation.load is not None:
        return observation.load.started, observation.load.ended
    first = min((each.started for each in observation.responses), default=observation.release_started_at)
    return first, observation.ended_at


def _group(buckets: dict[int, list[ResponseRecord]], count: int) -> Group:
    slow = (percentile([each.latency_seconds for each in buckets.get(index, ())], 0.95) for index in range(count))
    return Group(
        requests=tuple(len(buckets.get(index, ())) for index in range(count)),
        failed=tuple(sum(each.failed for each in buckets.get(index, ())) for index in range(count)),
        p95_ms=tuple(None if seconds is None else round(seconds * 1000, 3) for seconds in slow),
    )
