"""Releases side by side: each lane is a thread with a namespace, a host name and a Prometheus of its own."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from harness.campaign.throttle import Sample, Throttle
from harness.errors import HarnessError, Interrupted, UsageError
from harness.observation import Observation
from harness.platforms import Endpoints, Platform, Say
from harness.release import merged
from harness.report_folder import clear_report
from harness.run import Options, Stage
from harness.scenario import Scenario
from harness.verdict import Verdict, judge

LOOK_SECONDS = 1.0
STARVED = frozenset({"offered load", "load after the abort"})
"""Checks that fail when the machine carries too much."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One release to run. `key` is unique within the campaign and safe as a file's name."""

    key: str
    scenario: Scenario
    report_dir: Path
    user_values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Done:
    """A release that has ended. `verdict` is None when `error` says why there is none."""

    job: Job
    observation: Observation | None
    verdict: Verdict | None
    error: HarnessError | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class LaneFacts:
    """How the campaign ran: the most lanes at once, what bounded them, and how long it all took in seconds."""

    lanes_at_most: int
    bounded_by: str
    seconds: float


Source = Callable[[], Job | None]
"""The next job; None when there is none now. It is asked again after a job has ended, because that may call for another."""


def source_of(jobs: Iterable[Job]) -> Source:
    """The jobs of a list, one after the other."""
    iterator = iter(jobs)
    return lambda: next(iterator, None)


def run_jobs(
    jobs: Iterable[Job] | Source, options: Options, platform: Platform, endpoints: Endpoints, *, lanes: int | None,
    most: int = 16, say: Say, finished: Callable[[Done], None],
) -> LaneFacts:
    """Run jobs until there are none, `lanes` at once, or as many as the machine carries (None, and then at most `most`).

    `finished` is called in this thread, once for each job. Whatever ends the platform ends all lanes and is raised here.
    """
    if lanes is not None and lanes > platform.most_lanes:
        raise UsageError(f"--lanes {lanes}: this platform has room for {platform.most_lanes} at once")
    most = min(most, platform.most_lanes)
    return _Campaign(
        source=jobs if callable(jobs) else source_of(jobs), options=options, platform=platform, endpoints=endpoints,
        say=say, finished=finished, fixed=lanes is not None,
        throttle=Throttle(most=lanes or most, cores=os.cpu_count() or 1, allowed=lanes or 0),
    ).run()  # fmt: skip


class _LanePlatform:
    """The platform as a lane sees it: the same, but its check also ends the lane when the campaign is being stopped."""

    def __init__(self, platform: Platform, stop: threading.Event) -> None:
        self._platform, self._stop = platform, stop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._platform, name)

    def check(self) -> None:
        if self._stop.is_set():
            raise Interrupted("the campaign is being stopped")
        self._platform.check()


@dataclass(kw_only=True)
class _Campaign:
    source: Source
    options: Options
    platform: Platform
    endpoints: Endpoints
    say: Say
    finished: Callable[[Done], None]
    throttle: Throttle
    fixed: bool
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _events: queue.SimpleQueue[Done | BaseException | None] = field(default_factory=queue.SimpleQueue)
    _lanes: dict[int, threading.Thread] = field(default_factory=dict)
    _busy: int = 0

    def run(self) -> LaneFacts:
        started = time.monotonic()
        psutil.cpu_percent()  # the first call only sets its mark
        try:
            self._loop()
        finally:
            self._stop.set()
            for thread in self._lanes.values():
                thread.join()
        bounded = self.throttle.reason or "the number of releases"
        return LaneFacts(
            lanes_at_most=self.throttle.peak, bounded_by="--lanes" if self.fixed else bounded, seconds=time.monotonic() - started
        )

    def _loop(self) -> None:
        idle = False
        looked = time.monotonic()
        while True:
            if not idle and not self._start_lanes():
                idle = True
            if idle and self._busy == 0 and self._events.empty():
                return
            with contextlib.suppress(queue.Empty):
                event = self._events.get(timeout=LOOK_SECONDS)
                idle = False
                self._take(event)
            self.platform.check()
            if not self.fixed and time.monotonic() - looked >= LOOK_SECONDS:
                looked = time.monotonic()
                sample = Sample(at=looked, cpu_percent=psutil.cpu_percent(), available_bytes=psutil.virtual_memory().available)
                self.throttle.look(sample, active=self._busy)

    def _take(self, event: Done | BaseException | None) -> None:
        if isinstance(event, BaseException):
            raise event
        if event is None:
            return
        starved = event.verdict is not None and any(check.name in STARVED for check in event.verdict.failures)
        if starved and not self.fixed:
            self.throttle.starved()
        self.finished(event)

    def _start_lanes(self) -> bool:
        """Give free lanes work; returns whether every lane that may run has some."""
        for number in range(1, self.throttle.allowed + 1):
            if number in self._lanes and self._lanes[number].is_alive():
                continue
            with self._lock:
                job = self.source()
                self._busy += job is not None
            if job is None:
                return False
            self.say(f"lane {number} begins")
            thread = threading.Thread(target=self._lane, args=(number, job), name=f"lane-{number}", daemon=True)
            self._lanes[number] = thread
            thread.start()
        return True

    def _lane(self, number: int, first: Job) -> None:
        """One lane's life: jobs, until there are none for it."""
        try:
            with self.platform.lane(f"lane-{number}", self.endpoints) as own:
                job: Job | None = first
                while job is not None:
                    self._events.put(self._play(job, own))
                    job = self._next(number)
        except BaseException as error:
            self._events.put(error)
        finally:
            with self._lock:
                self._busy -= 1
            self._events.put(None)

    def _next(self, number: int) -> Job | None:
        # Another job in the same lane saves a Prometheus' start; the source is asked under a lock, for lanes are threads.
        with self._lock:
            return None if self._stop.is_set() or number > self.throttle.allowed else self.source()

    def _play(self, job: Job, own: Endpoints) -> Done:
        started = time.monotonic()
        values = merged(self.options.user_values, job.user_values)
        options = replace(self.options, report_dir=job.report_dir, user_values=values, web_port=None)
        # What is there is of a release that was interrupted, and is run again.
        clear_report(job.report_dir)
        job.report_dir.mkdir(parents=True, exist_ok=True)
        platform: Any = _LanePlatform(self.platform, self._stop)
        stage = Stage(
            scenario=job.scenario, options=options, platform=platform, endpoints=own,
            say=lambda _: None, show=lambda *_: None,
        )  # fmt: skip
        observation = verdict = error = None
        try:
            observation = stage.play()
            verdict = judge(job.scenario, observation)
        except (Interrupted, UsageError):
            raise
        except HarnessError as failure:
            # A platform that has died ends the campaign; what went wrong with one release does not.
            with contextlib.suppress(Interrupted):
                self.platform.check()
            error = failure
        return Done(job=job, observation=observation, verdict=verdict, error=error, seconds=time.monotonic() - started)
