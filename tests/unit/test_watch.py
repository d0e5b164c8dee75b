"""The watch of the API: it goes on from the newest version that it was told of, and notes when it could not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes.client import ApiException

from harness import kube
from harness import watch as module
from harness.watch import Seen, Watcher


def made(name: str, version: str, kind: str = "ADDED") -> dict[str, Any]:
    return {"type": kind, "raw_object": {"metadata": {"name": name, "resourceVersion": version}}}


class Api:
    """One kind of object; each watch plays the next script, then the watcher is stopped."""

    def __init__(self, watcher: Watcher, scripts: list[list[dict[str, Any] | Exception]]) -> None:
        self.watcher, self.scripts, self.asked = watcher, iter(scripts), list[str]()

    def list(self, **_: Any) -> dict[str, Any]:
        return {"items": [], "metadata": {"resourceVersion": "100"}}

    def stream(self, _function: Any, *, resource_version: str, allow_watch_bookmarks: bool, **_: Any) -> Iterator[dict[str, Any]]:
        assert allow_watch_bookmarks
        self.asked.append(resource_version)
        script = next(self.scripts, None)
        if script is None:
            self.watcher.stop()
            return
        for event in script:
            if isinstance(event, Exception):
                raise event
            yield event


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Watcher, Api]]:
    def run(*scripts: list[dict[str, Any] | Exception], keep_history: bool = True) -> tuple[Watcher, Api]:
        watcher = Watcher.__new__(Watcher)
        vars(watcher).update(
            _lock=threading.Lock(), _seen=[], _latest={}, _stop=threading.Event(), _error=None, _gaps=[],
            _versions={}, _broken={}, _kube=kube,
            _synced={"pods": threading.Event()},
            _keep_history=keep_history,
        )  # fmt: skip
        api = Api(watcher, list(scripts))
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
        monkeypatch.setattr(kube, "Watch", lambda: api)
        watcher._follow("pods", api.list, {})
        return watcher, api

    return run


def test_a_bookmark_moves_the_place_from_which_the_watch_goes_on(follow: Callable[..., tuple[Watcher, Api]]) -> None:
    watcher, api = follow([made("a", "101")], [made("", "900", "BOOKMARK")], [])
    assert api.asked == ["100", "101", "900", "900"]
    assert [seen.name for seen in watcher.history("pods")] == ["a"]
    assert watcher.gaps == ()


def test_a_watch_that_breaks_off_is_a_gap(follow: Callable[..., tuple[Watcher, Api]]) -> None:
    watcher, api = follow([made("a", "101"), ConnectionError("reset")], [])
    assert len(watcher.gaps) == 1
    assert api.asked == ["100", "100", "100"]  # listed again


def test_namesakes_in_two_namespaces_are_two(follow: Callable[..., tuple[Watcher, Api]]) -> None:
    one, other = made("a", "101"), made("a", "102")
    one["raw_object"]["metadata"]["namespace"], other["raw_object"]["metadata"]["namespace"] = "n", "m"
    watcher, _ = follow([one, other], [])
    assert len(watcher.latest("pods")) == 2


def test_without_history_only_what_is_there_is_kept(follow: Callable[..., tuple[Watcher, Api]]) -> None:
    script = [made("a", "101"), made("b", "102"), made("a", "103", "MODIFIED"), made("b", "104", "DELETED")]
    watcher, _ = follow(script, [], keep_history=False)
    assert watcher.history("pods") == []
    assert [found["metadata"]["resourceVersion"] for found in watcher.latest("pods")] == ["103"]
    assert len(watcher._latest) == 1


def test_a_watch_that_is_still_broken_when_somebody_asks_is_a_gap(follow: Callable[..., tuple[Watcher, Api]]) -> None:
    watcher, _ = follow([])
    watcher._broken["pods"] = 1700.0
    assert watcher.gaps == (1700.0,)


def test_a_weight_that_was_written_well_before_it_was_seen_is_late(follow: Callable[..., tuple[Watcher, Api]]) -> None:
    watcher, _ = follow([])

    def late(kind: str, seconds: float, **metadata: Any) -> bool:
        noted = datetime.fromtimestamp(1_700_000_000 - seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields = {"managedFields": [{"time": "2020-01-01T00:00:00Z"}, {"time": noted}]}
        found = {"metadata": {"name": "webapp", **fields, **metadata}}
        return watcher._too_late(kind, [Seen(at=1_700_000_000.0, kind=kind, deleted=False, object=found)])

    assert late("virtualservices", 8)
    assert late("rollouts", 8)
    assert not late("rollouts", 2)
    assert not late("pods", 8)
    assert not late("rollouts", 8, managedFields=None)  # nothing is noted, so nothing is known


class Past(Api):
    """… whose store remembers what it held at each version."""

    def __init__(self, watcher: Watcher, scripts: list[list[dict[str, Any] | Exception]]) -> None:
        super().__init__(watcher, scripts)
        self.store: dict[int, dict[str, str]] = {}
        """From a version on, the objects that there are, with the version of each."""
        self.lists = 0
        self.forgotten = 0
        self.away = frozenset[int]()
        """Which of the lists are not answered."""

    def list(self, resource_version: str | None = None, **_: Any) -> dict[str, Any]:
        self.lists += 1
        if self.lists in self.away:
            raise ApiException(status=503)
        at = int(resource_version or max(self.store))
        if at <= self.forgotten:
            raise ApiException(status=410)
        held = self.store[max(version for version in self.store if version <= at)]
        items = [{"metadata": {"name": name, "uid": name, "resourceVersion": version}} for name, version in held.items()]
        return {"items": items, "metadata": {"resourceVersion": str(at)}}


@pytest.fixture
def broken(follow: Callable[..., tuple[Watcher, Api]], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Watcher, Past]]:
    """A watch that breaks off at version 100, and a store that went on: `after` is what it held at which version."""

    def run(after: dict[int, dict[str, str]], *, forgotten: int = 0) -> tuple[Watcher, Past]:
        def break_off(past: Past) -> None:
            past.store |= after
            past.forgotten = forgotten

        class Breaking(Past):
            def __init__(self, watcher: Watcher, scripts: list[list[dict[str, Any] | Exception]]) -> None:
                super().__init__(watcher, scripts)
                self.store = {100: {"a": "90", "b": "95"}}

            def stream(self, *arguments: Any, **settings: Any) -> Iterator[dict[str, Any]]:
                try:
                    yield from super().stream(*arguments, **settings)
                except ConnectionError:
                    break_off(self)
                    raise

        monkeypatch.setattr(f"{__name__}.Api", Breaking)
        watcher, api = follow([ConnectionError("reset")], [])
        assert isinstance(api, Past)
        return watcher, api

    return run


def seen(watcher: Watcher) -> list[tuple[str, str, bool]]:
    return [(each.name, each.object["metadata"]["resourceVersion"], each.deleted) for each in watcher.history("pods")][2:]


def test_what_a_break_missed_is_fetched_from_the_stores_past(broken: Callable[..., tuple[Watcher, Past]]) -> None:
    watcher, api = broken({
        117: {"a": "117", "b": "95"}, 118: {"a": "118", "b": "95"}, 300: {"b": "95"},
        301: {"b": "95", "c": "301"}, 4000: {"c": "301"},
    })
    assert seen(watcher) == [("a", "117", False), ("a", "118", False), ("a", "118", True), ("c", "301", False), ("b", "95", True)]
    assert watcher.gaps == ()
    assert api.lists < 60


@pytest.mark.parametrize("away", range(3, 50, 2))
def test_an_api_that_goes_away_again_meanwhile_makes_no_version_come_twice(
    broken: Callable[..., tuple[Watcher, Past]], monkeypatch: pytest.MonkeyPatch, away: int
) -> None:
    made = Past.__init__

    def init(past: Past, *arguments: Any) -> None:
        made(past, *arguments)
        past.away = frozenset({away})

    monkeypatch.setattr(Past, "__init__", init)
    versions = (117, 130, 300, 310, 4000)
    watcher, _ = broken({version: {"a": str(version), "b": "95"} for version in versions})
    assert seen(watcher) == [("a", str(version), False) for version in versions]
    assert watcher.gaps == ()


def test_nothing_is_asked_of_the_past_where_nothing_changed(broken: Callable[..., tuple[Watcher, Past]]) -> None:
    watcher, api = broken({90_000: {"a": "90", "b": "95"}})
    assert seen(watcher) == []
    assert (watcher.gaps, api.lists) == ((), 2)


def test_a_past_that_is_forgotten_or_too_eventful_is_a_gap(broken: Callable[..., tuple[Watcher, Past]]) -> None:
    watcher, _ = broken({117: {"a": "117", "b": "95"}, 900: {"a": "900", "b": "95"}}, forgotten=800)
    assert len(watcher.gaps) == 1
    assert ("a", "900", False) in seen(watcher)
    watcher, api = broken({version: {"a": str(version)} for version in range(101, 700)})
    assert len(watcher.gaps) == 1
    assert api.lists <= module.MOST_LISTS + 3
    assert ("a", "699", False) in seen(watcher)


def test_a_store_that_went_back_in_time_is_a_gap(broken: Callable[..., tuple[Watcher, Past]]) -> None:
    watcher, api = broken({})
    assert watcher.gaps == ()
    api.store = {7: {"a": "7"}}
    assert not watcher._fetch_missed("pods", api.list, {}, watcher._list("pods", api.list, {}))
