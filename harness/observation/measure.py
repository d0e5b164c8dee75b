"""Numbers computed from an observation: shares, intervals, failures, times, rates. PURE: no I/O.

scipy is imported where it is used, and only its functions: its distributions take two seconds of CPU to import, between the
decision and the verdict.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

from harness.observation.facts import (
    TIMESTAMP_RESOLUTION_SECONDS,
    Observation,
    ResponseRecord,
    RolloutState,
    WeightChange,
)

CONFIDENCE = 0.999999
"""Of every acceptance interval: a sound platform is flagged by one such check at most once in a million times. A release has a
few of them, and a campaign or a suite hundreds of releases: at one in a thousand, one such suite in five fails by bad luck."""
ACCEPTED = f"{100 * CONFIDENCE:.6g} %"
"""The same in words: what part of sound runs lies inside."""

UNSCRAPED_SHARE = 0.1
"""Of a window's requests, those that a pod may answer before it is discovered and scraped for the first time."""

COUNT_SLACK = 1
"""Events at a window's edge that the bounds cannot place."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What clients saw while one weight was in force: requests started in [start, end), and how many the canary answered."""

    weight: int
    start: float
    end: float
    requests: int
    canary_requests: int

    @property
    def percent(self) -> float | None:
        """The canary's share in percent; None without a request."""
        return 100 * self.canary_requests / self.requests if self.requests else None


@dataclass(frozen=True, kw_only=True)
class FailedRequests:
    """Failed user requests by who answered. `without_version` are gateway answers and broken connections."""

    by_version: dict[str, int]
    without_version: int

    def of(self, version: str) -> int:
        """Failures that this version answered."""
        return self.by_version.get(version, 0)

    @property
    def total(self) -> int:
        """All of them."""
        return self.without_version + sum(self.by_version.values())


@dataclass(frozen=True, kw_only=True)
class AgreementBounds:
    """The fewest and the most events that a correct measurement may report, given what clients counted."""

    low: float
    high: float

    def hold(self, value: float) -> bool:
        """Whether the value lies inside, ends included."""
        return self.low <= value <= self.high


def acceptance_interval(n: int, p: float, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """The central interval [low, high] of a Binomial(n, p): outside lies at most 1 - confidence, split over both tails.

    Exact, from the binomial quantiles: P(X < low) <= (1 - confidence)/2 and P(X > high) <= (1 - confidence)/2.
    At p = 0 and p = 1 nothing but 0 and n is accepted. Raises ValueError outside 0 <= p <= 1 or n >= 0.
    """
    if n < 0 or not 0 <= p <= 1:
        raise ValueError(f"no binomial distribution has n={n}, p={p}")
    if n == 0 or p in {0, 1}:
        return (round(n * p), round(n * p))
    from scipy.special import bdtr, bdtrc  # noqa: PLC0415  (see the module's docstring)

    tail = (1 - confidence) / 2
    # From the normal distribution's quantile to the exact one, which is never far.
    near = NormalDist(n * p, math.sqrt(n * p * (1 - p)))
    low, high = (min(n, max(0, round(near.inv_cdf(each)))) for each in (tail, 1 - tail))
    while low > 0 and bdtr(low - 1, n, p) >= tail:
        low -= 1
    while bdtr(low, n, p) < tail:
        low += 1
    while high > 0 and bdtrc(high - 1, n, p) <= tail:
        high -= 1
    while bdtrc(high, n, p) > tail:
        high += 1
    return low, high


def weight_steps(observation: Observation) -> tuple[WeightChange, ...]:
    """The weights since the release, each once: repeated reports and the 0 % from before are left out.

    The weights that a release begins with are in force until the first change, so they are no step of it.
    """
    steps: list[WeightChange] = []
    for change in observation.weight_changes:
        if change.at < observation.release_started_at:
            continue
        previous = (steps[-1].stable, steps[-1].canary) if steps else (100, 0)
        if (change.stable, change.canary) == previous:
            continue
        if observation.interrupted and len(steps) > 1 and steps[-1].canary == 0:
            # The weight is back after an interruption: the step before it goes on, or the next one begins.
            steps.pop()
        if not steps or (change.stable, change.canary) != (steps[-1].stable, steps[-1].canary):
            steps.append(change)
    return tuple(steps)


def share_at(observation: Observation, step: int) -> Share | None:
    """What clients saw at the step with this index (0 is the first); None when the release never got there.

    Counted are requests *started* from `settle_seconds` after the weight was seen until the next weight was seen: a
    request in flight across a change belongs to neither. Broken connections count as requests that the canary did not
    answer; there must be none of them anyway.
    """
    changes = weight_steps(observation)
    if step >= len(changes):
        return None
    end = changes[step + 1].at if step + 1 < len(changes) else observation.ended_at
    stretches = tuple(_stretches(observation, changes[step], end))
    inside = [each for each in observation.responses if any(first <= each.started < last for first, last in stretches)]
    candidate = candidate_version(observation)
    canary = sum(candidate(each) for each in inside)
    start = changes[step].at + observation.settle_seconds
    return Share(weight=changes[step].canary, start=start, end=max(start, end), requests=len(inside), canary_requests=canary)


def _stretches(observation: Observation, step: WeightChange, end: float) -> Iterator[tuple[float, float]]:
    """When exactly this step's weights were in force and settled, up to `end`: one stretch, or several around interruptions."""
    since: float | None = None
    for change in observation.weight_changes:
        if not step.at <= change.at < end:
            continue
        same = (change.stable, change.canary) == (step.stable, step.canary)
        if same and since is None:
            since = change.at
        elif not same and since is not None:
            yield since + observation.settle_seconds, change.at
            since = None
    if since is not None:
        yield since + observation.settle_seconds, end


def candidate_version(observation: Observation) -> Callable[[ResponseRecord], bool]:
    """A test for answers of the candidate: by its pod's hash, which no image can fake.

    A pod is named <rollout>-<hash>-<suffix>. The version header is compared with it by a check of its own. Where the injected
    fault makes the gateway answer in the candidate's stead, such answers count as the candidate's: how many they are is checked.
    """
    mark, start = f"-{observation.candidate_hash}-", observation.release_started_at

    def is_candidate(response: ResponseRecord) -> bool:
        if response.pod is None:
            return response.version is None and response.status in observation.gateway_statuses and response.started >= start
        return mark in response.pod

    return is_candidate


def failed_requests(responses: Iterable[ResponseRecord]) -> FailedRequests:
    """Failed user requests, split by who answered them."""
    failures = Counter(each.version for each in responses if each.failed)
    without = failures.pop(None, 0)
    return FailedRequests(by_version={str(version): n for version, n in failures.items()}, without_version=without)


def abort_time(observation: Observation) -> float | None:
    """When the release was aborted, as exactly as can be told; None when it was not.

    `abortedAt` is cut to whole seconds, and the watch reports it a little late: the truth lies between the two.
    """
    aborted = next((state for state in observation.released_states if state.abort), None)
    if aborted is None:
        return None
    if aborted.aborted_at is None:
        return aborted.at
    return min(max(aborted.at, aborted.aborted_at), aborted.aborted_at + TIMESTAMP_RESOLUTION_SECONDS)


def time_to_detect(observation: Observation) -> float | None:
    """Seconds from the candidate's first answer to a user until the abort; None when either is missing."""
    aborted = abort_time(observation)
    first = min((each.at for each in observation.responses if candidate_version(observation)(each)), default=None)
    return None if aborted is None or first is None else aborted - first


def time_to_safe(observation: Observation) -> float | None:
    """Seconds from the abort until the last request that the candidate got (0 when none came later); None without an abort.

    By its start: what an abort can stop is the routing, not the delay of answers that are under way.

    Only meaningful when clients kept asking afterwards: the verdict checks that they did.
    """
    aborted = abort_time(observation)
    if aborted is None:
        return None
    is_candidate = candidate_version(observation)
    last = max((each.started for each in observation.responses if is_candidate(each)), default=aborted)
    return max(0.0, last - aborted)


def achieved_rate(responses: Iterable[ResponseRecord], start: float, end: float) -> float:
    """Requests per second that clients started in [start, end); 0 for an empty interval."""
    if end <= start:
        return 0.0
    return sum(start <= each.started < end for each in responses) / (end - start)


def achieved_per_second(responses: Iterable[ResponseRecord], start: float, end: float) -> tuple[int, ...]:
    """Requests started in each whole second of [start, end), for a plot and for gaps that an average hides."""
    seconds = [0] * max(0, math.floor(end - start))
    for each in responses:
        index = math.floor(each.started - start)
        if 0 <= index < len(seconds):
            seconds[index] += 1
    return tuple(seconds)


def metric_bounds(times: Iterable[float], measured_at: float, window_seconds: float, scrape_seconds: float) -> AgreementBounds:
    """How many of the events at these times a query over `window_seconds`, asked at `measured_at`, may have counted.

    The measurement's time is cut to whole seconds, and a scrape sees an event up to one interval late. So the window's
    edges are known to within e = 1 s + 1.5 scrape intervals: at least what happened in the window shrunk by e on both
    sides was counted (less `UNSCRAPED_SHARE`), at most what happened in the window widened by e. Upwards, `increase()`
    scales what lies between its first and last sample to the whole window: by at most window / (window - 2 intervals).
    """
    ordered = sorted(times)
    edge = TIMESTAMP_RESOLUTION_SECONDS + 1.5 * scrape_seconds

    def between(start: float, end: float) -> int:
        return max(0, bisect_left(ordered, end) - bisect_left(ordered, start))

    fewest = between(measured_at - window_seconds + edge, measured_at - edge)
    most = between(measured_at - window_seconds - edge, measured_at + edge)
    scale = window_seconds / max(window_seconds - 2 * scrape_seconds, scrape_seconds)
    return AgreementBounds(low=max(0.0, fewest * (1 - UNSCRAPED_SHARE) - COUNT_SLACK), high=most * scale + COUNT_SLACK)


def specs(states: Iterable[RolloutState]) -> tuple[str, ...]:
    """The fingerprints of the Rollout's specs that were seen, each once, in order: one release is one of them."""
    return tuple(dict.fromkeys(state.spec_digest for state in states))


def disturbances(observation: Observation) -> Iterator[tuple[float, str]]:
    """When parts of the platform were killed and were back, with a word on it."""
    for each in observation.disturbed:
        if each.down_at is not None:
            yield each.down_at, f"{each.kind} killed"
        if each.up_at is not None:
            yield each.up_at, f"{each.kind} back"
