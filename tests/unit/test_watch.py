"""The watch of the API: it goes on from the newest version that it was told of, and notes when it could not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import watch as module
from harness.watch import Watcher


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
            _synced={"pods": threading.Event()},
            _keep_history=keep_history,
        )  # fmt: skip
        api = Api(watcher, list(scripts))
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
        monkeypatch.setattr(module.watch, "Watch", lambda: api)
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
