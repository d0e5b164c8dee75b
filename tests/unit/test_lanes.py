"""Lanes with releases that are no releases: who runs when, what ends a campaign, and that nothing is lost or run twice."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import verdict_world as w

from harness.campaign import lanes
from harness.campaign.lanes import Done, Job, run_jobs
from harness.errors import Inconclusive, PlatformError, UsageError
from harness.platforms import Endpoints
from harness.run import Options

LIMIT = 20.0


class Platform:
    """Lanes with names; it can die."""

    most_lanes = 32

    def __init__(self) -> None:
        self.dead = False
        self.open: set[str] = set()
        self.opened: list[str] = []

    @contextlib.contextmanager
    def lane(self, name: str, endpoints: Endpoints) -> Iterator[Endpoints]:
        assert name not in self.open, "two releases in one namespace"
        self.open.add(name)
        self.opened.append(name)
        try:
            yield replace(endpoints, namespace=name)
        finally:
            self.open.discard(name)

    def check(self) -> None:
        if self.dead:
            raise PlatformError("istiod has died")


class Stage:
    """A release that waits for its cue. `cue` is called with the namespace and the job's scenario name."""

    cue: Callable[[str], Any]

    def __init__(self, *, endpoints: Endpoints, platform: Any, **_: Any) -> None:
        self.namespace, self.platform = endpoints.namespace, platform

    def play(self) -> Any:
        Stage.cue(self.namespace)
        self.platform.check()
        return w.good_promote().observation()


@pytest.fixture
def endpoints(tmp_path: Path) -> Endpoints:
    return Endpoints(
        kubeconfig=tmp_path / "kubeconfig", context="c", gateway_url="", prometheus_url="", registry="", namespace="",
        scratch=tmp_path,
    )  # fmt: skip


@pytest.fixture
def campaign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, endpoints: Endpoints) -> Callable[..., Any]:
    monkeypatch.setattr(lanes, "Stage", Stage)
    options = Options(chart=tmp_path, report_dir=tmp_path, cache=tmp_path)

    def run(platform: Platform, jobs: Any, *, count: int | None, finished: Callable[[Done], None], cue: Any) -> Any:
        monkeypatch.setattr(Stage, "cue", staticmethod(cue), raising=False)
        return run_jobs(jobs, options, platform, endpoints, lanes=count, say=lambda _: None, finished=finished)  # type: ignore[arg-type]

    return run


def job(tmp_path: Path, number: int) -> Job:
    return Job(key=f"job-{number}", scenario=w.PROMOTED_SCENARIO, report_dir=tmp_path / f"job-{number}")


def test_each_job_runs_once_and_so_many_at_once_as_there_are_lanes(campaign: Callable[..., Any], tmp_path: Path) -> None:
    platform, done, together = Platform(), [], threading.Barrier(3, timeout=LIMIT)
    facts = campaign(
        platform, [job(tmp_path, n) for n in range(6)], count=3, finished=done.append, cue=lambda _: together.wait()
    )
    assert sorted(each.job.key for each in done) == [f"job-{n}" for n in range(6)]
    assert all(each.verdict is not None and each.error is None for each in done)
    assert set(platform.opened) == {"lane-1", "lane-2", "lane-3"}
    assert platform.open == set()
    assert (facts.lanes_at_most, facts.bounded_by) == (3, "--lanes")


def test_what_an_interrupted_release_left_is_cleared(campaign: Callable[..., Any], tmp_path: Path) -> None:
    left = tmp_path / "job-0" / "load" / "answers.jsonl"
    left.parent.mkdir(parents=True)
    left.write_text("{}\n")
    seen: list[bool] = []
    campaign(Platform(), [job(tmp_path, 0)], count=1, finished=lambda _: None, cue=lambda _: seen.append(left.exists()))
    assert seen == [False]


def test_a_release_that_breaks_is_told_and_the_others_go_on(campaign: Callable[..., Any], tmp_path: Path) -> None:
    done: list[Done] = []
    calls = iter([Inconclusive("Prometheus is gone"), None, None])

    def cue(_: str) -> None:
        if (error := next(calls)) is not None:
            raise error

    campaign(Platform(), [job(tmp_path, n) for n in range(3)], count=1, finished=done.append, cue=cue)
    assert [str(each.error) if each.error else None for each in done] == ["Prometheus is gone", None, None]


def test_a_source_is_asked_again_after_each_job(campaign: Callable[..., Any], tmp_path: Path) -> None:
    """As trials do: how many more are wanted is known only when those under way have ended."""
    done: list[Done] = []
    given: list[int] = []

    def source() -> Job | None:
        if len(given) > len(done) or len(done) >= 4:
            return None
        given.append(len(given))
        return job(tmp_path, given[-1])

    campaign(Platform(), source, count=3, finished=done.append, cue=lambda _: None)
    assert len(done) == len(given) == 4


def test_a_platform_that_dies_ends_every_lane(campaign: Callable[..., Any], tmp_path: Path) -> None:
    platform = Platform()
    running = threading.Barrier(2, timeout=LIMIT)

    def cue(_: str) -> None:
        running.wait()
        platform.dead = True

    with pytest.raises(PlatformError, match="istiod has died"):
        campaign(platform, [job(tmp_path, n) for n in range(9)], count=2, finished=lambda _: None, cue=cue)
    assert platform.open == set()


def test_what_finished_raises_stops_the_campaign_and_leaves_no_lane(campaign: Callable[..., Any], tmp_path: Path) -> None:
    platform = Platform()

    def enough(_: Done) -> None:
        raise Inconclusive("enough")

    with pytest.raises(Inconclusive, match="enough"):
        campaign(platform, [job(tmp_path, n) for n in range(50)], count=2, finished=enough, cue=lambda _: None)
    assert platform.open == set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lane-") and thread.is_alive()]


def test_an_interrupt_ends_lanes_in_the_middle_of_a_release(
    campaign: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    stopped: list[str] = []

    class Waiting(Stage):
        def play(self) -> Any:
            begun.set()
            deadline = time.monotonic() + LIMIT
            while time.monotonic() < deadline:
                try:
                    self.platform.check()
                except BaseException as error:
                    stopped.append(str(error))
                    raise
                time.sleep(0.01)
            pytest.fail("nobody stopped this release")

    class Interrupted(Platform):
        def check(self) -> None:
            if threading.current_thread() is threading.main_thread() and begun.is_set():
                raise KeyboardInterrupt

    platform = Interrupted()
    monkeypatch.setattr(lanes, "Stage", Waiting)
    with pytest.raises(KeyboardInterrupt):
        campaign(platform, [job(tmp_path, 1)], count=2, finished=lambda _: None, cue=lambda _: None)
    assert stopped == ["the campaign is being stopped"]
    assert platform.open == set()


def test_there_are_no_more_lanes_than_the_platform_has_room_for(campaign: Callable[..., Any], tmp_path: Path) -> None:
    platform, done = Platform(), []
    platform.most_lanes = 1
    with pytest.raises(UsageError, match=r"--lanes 2: this platform has room for 1 at once"):
        campaign(platform, [job(tmp_path, 1)], count=2, finished=done.append, cue=lambda _: None)
    campaign(platform, [job(tmp_path, n) for n in range(3)], count=None, finished=done.append, cue=lambda _: None)
    assert len(done) == 3
    assert set(platform.opened) == {"lane-1"}
