"""Watches the API objects of one release and keeps every version of each, with the moment it was seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import PlatformError

SERVER_TIMEOUT_SECONDS = 30
"""The API ends each watch after this long and it is taken up again where it stopped; so a stopped watcher's thread ends soon."""
RETRY_SECONDS = 0.5
GONE = 410
"""The API's answer when it is asked about a past that it keeps no more."""
MOST_LISTS = 300
"""Lists of the past that one break of a watch is worth: more than that, and what was missed stays missed."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One version of one object. `at` is the harness' own clock in epoch seconds; `kind` is the plural resource name."""

    at: float
    kind: str
    deleted: bool
    object: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.object.get("metadata", {}).get("name", ""))


GROUPS = {
    "rollouts": ("argoproj.io", "v1alpha1"), "analysisruns": ("argoproj.io", "v1alpha1"),
    "analysistemplates": ("argoproj.io", "v1alpha1"), "virtualservices": ("networking.istio.io", "v1"),
    "replicasets": ("apps", "v1"), "pods": ("", "v1"),
}  # fmt: skip
"""Group and version of each kind that can be followed."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """All objects of one kind, as of one version of the API's store."""

    version: int
    objects: Mapping[tuple[str, str, str], Mapping[str, Any]]

    @property
    def marks(self) -> frozenset[tuple[str, str]]:
        """What tells two lists apart: which objects there are, and the version of each."""
        return frozenset((str(each["metadata"].get("uid", "")), _version(each)) for each in self.objects.values())


TIMED = frozenset({"rollouts", "virtualservices"})
LATE_SECONDS = 3.0
"""How much later than it was written a version of these may be seen. The API notes whole seconds: one of them is that."""
KINDS = ("rollouts", "analysisruns", "virtualservices", "replicasets", "pods")


class Watcher:
    """Follows some kinds of objects of one namespace (None: of all), each in a thread of its own.

    Without `keep_history` only what there is now is kept, as is right for whoever looks on for hours.
    """

    def __init__(
        self, *, kubeconfig: Path, context: str | None = None, namespace: str | None, kinds: Iterable[str] = KINDS,
        keep_history: bool = True,
    ) -> None:
        from harness import kube  # noqa: PLC0415 -- 0.3 s, during which a run has other things to do (harness.run loads it)

        self._kube, self._api = kube, kube.objects(kubeconfig, context)
        self._namespace, self._keep_history = namespace, keep_history
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        self._latest: dict[tuple[str, str, str], Seen] = {}
        self._stop = threading.Event()
        self._error: str | None = None
        self._gaps: list[float] = []
        self._broken: dict[str, float] = {}
        """Since when each watch that is broken off now has been."""
        self._clock_ahead = _clock_ahead()
        self._versions: dict[str, int] = {}
        """Up to which version of the API's store each kind was followed without a gap."""
        self._sources = {kind: self._source(kind) for kind in kinds}
        self._synced = {kind: threading.Event() for kind in self._sources}

    def _source(self, kind: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        group, version = GROUPS[kind]
        resource = {"group": group, "version": version, "plural": kind}
        if self._namespace is None:
            return self._api.list_cluster_custom_object, resource
        return self._api.list_namespaced_custom_object, resource | {"namespace": self._namespace}

    def start(self, timeout: float = 15.0) -> None:
        """Begin, and return once every kind was read for the first time. Raises PlatformError when the API does not answer."""
        for kind, (function, arguments) in self._sources.items():
            threading.Thread(target=self._follow, args=(kind, function, arguments), daemon=True, name=f"watch-{kind}").start()
        deadline = time.monotonic() + timeout
        for kind, event in self._synced.items():
            if not event.wait(max(0.0, deadline - time.monotonic())):
                raise PlatformError(f"the API did not let us watch {kind} within {timeout:.0f} s ({self._error or 'no answer'})")

    @property
    def gaps(self) -> tuple[float, ...]:
        """When a watch broke off whose misses were not fetched afterwards, or too late to say when they were; epoch seconds."""
        return (*self._gaps, *self._broken.copy().values())

    @property
    def clock_step(self) -> float:
        """By how many seconds the clock was set since this watcher was made, as seen by a clock that nobody can set."""
        return _clock_ahead() - self._clock_ahead

    def stop(self) -> None:
        """Stop following; what was seen stays."""
        self._stop.set()

    def history(self, kind: str) -> list[Seen]:
        """Every version that was seen of this kind, in the order of time."""
        with self._lock:
            return [seen for seen in self._seen if seen.kind == kind]

    def latest(self, kind: str) -> list[Mapping[str, Any]]:
        """The objects of this kind that exist now."""
        with self._lock:
            return [seen.object for (its_kind, *_), seen in self._latest.items() if its_kind == kind and not seen.deleted]

    def get(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """One object of the one namespace as it is now, or None."""
        with self._lock:
            seen = self._latest.get((kind, self._namespace or "", name))
        return None if seen is None or seen.deleted else seen.object

    def _follow(self, kind: str, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
        while not self._stop.is_set():
            try:
                listed = self._list(kind, function, arguments)
                broke_at, known = self._broken.get(kind), len(self._seen)
                if broke_at is not None:
                    fetched = self._fetch_missed(kind, function, arguments, listed)
                    if not fetched or self._too_late(kind, self._seen[known:]):
                        self._gaps.append(broke_at)
                    del self._broken[kind]
                self._follow_from(kind, function, arguments, listed)
            except Exception as error:
                self._error = f"{type(error).__name__}: {error}".splitlines()[0]
                self._broken.setdefault(kind, time.time())
                self._stop.wait(RETRY_SECONDS)

    def _too_late(self, kind: str, seen: Iterable[Seen]) -> bool:
        """Whether one of these versions, of what tells steps and weights apart, was written well before it was seen."""
        return kind in TIMED and any(each.kind == kind and each.at - written_at(each.object) > LATE_SECONDS for each in seen)

    def _list(self, kind: str, function: Callable[..., Any], arguments: dict[str, Any], version: int | None = None) -> Listed:
        """The objects there are, or were at this version of the API's store."""
        past = {} if version is None else {"resource_version": str(version), "resource_version_match": "Exact"}
        raw = function(**arguments, **past, _request_timeout=(3, 10))
        return Listed(version=int(raw["metadata"]["resourceVersion"]), objects={_key(kind, each): each for each in raw["items"]})

    def _fetch_missed(self, kind: str, function: Callable[..., Any], arguments: dict[str, Any], now: Listed) -> bool:
        """Fetch every version between the last that was followed and this list; returns whether all are had.

        The API's store numbers all its changes, keeps them for minutes, and lists as of any of these numbers. Where two lists are
        the same, none of their objects changed in between; elsewhere the middle tells more. What came and went between two lists
        that are the same is all that can escape.
        """
        last, lists = self._versions.get(kind), 0
        if last is None or not self._keep_history or now.version < last:
            return False
        spans = [(Listed(version=last, objects=self._objects(kind)), now)]
        try:
            while spans:
                before, after = spans.pop()
                if before.marks == after.marks:
                    continue
                if after.version - before.version <= 1:
                    self._take(kind, after)
                    # Should this break off too, it goes on from here.
                    self._versions[kind] = after.version
                    continue
                lists += 1
                if lists > MOST_LISTS or self._stop.is_set():
                    return False
                middle = self._list(kind, function, arguments, (before.version + after.version) // 2)
                spans += [(middle, after), (before, middle)]
        except self._kube.ApiException as error:
            if error.status != GONE:
                raise  # an API that is just coming back: once more, from the beginning
            return False
        return True

    def _objects(self, kind: str) -> dict[tuple[str, str, str], Mapping[str, Any]]:
        with self._lock:
            return {key: seen.object for key, seen in self._latest.items() if key[0] == kind and not seen.deleted}

    def _take(self, kind: str, listed: Listed) -> None:
        """Keep what a list shows, and that what it does not show any more is gone."""
        before = self._objects(kind)
        for each in listed.objects.values():
            self._keep(kind, each, deleted=False)
        for key, each in before.items():
            if key not in listed.objects:
                self._keep(kind, each, deleted=True)

    def _follow_from(self, kind: str, function: Callable[..., Any], arguments: dict[str, Any], listed: Listed) -> None:
        self._take(kind, listed)
        self._versions[kind] = listed.version
        self._synced[kind].set()
        version = str(listed.version)
        while not self._stop.is_set():
            stream = self._kube.Watch()
            for event in stream.stream(
                function, **arguments, resource_version=version, timeout_seconds=SERVER_TIMEOUT_SECONDS,
                # In a namespace where nothing happens, the last version seen grows too old to go on from, while others write.
                allow_watch_bookmarks=True,
                _request_timeout=(3, SERVER_TIMEOUT_SECONDS + 5),
            ):
                if self._stop.is_set():
                    return
                found = event["raw_object"]
                version = found["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._keep(kind, found, deleted=event["type"] == "DELETED")
                self._versions[kind] = int(version)

    def _keep(self, kind: str, found: Mapping[str, Any], *, deleted: bool) -> None:
        seen = Seen(at=time.time(), kind=kind, deleted=deleted, object=found)
        with self._lock:
            key = _key(kind, found)
            before = self._latest.get(key)
            if before and not deleted and _version(before.object) == _version(found) and not before.deleted:
                return
            if self._keep_history:
                self._seen.append(seen)
            elif deleted:
                self._latest.pop(key, None)
                return
            self._latest[key] = seen


def written_at(found: Mapping[str, Any]) -> float:
    """When an object was last written, as the API noted it, in epoch seconds; now where it noted nothing."""
    noted = [each["time"] for each in found.get("metadata", {}).get("managedFields") or () if each.get("time")]
    return max((datetime.fromisoformat(str(each)).timestamp() for each in noted), default=time.time())


def _clock_ahead() -> float:
    return time.time() - time.monotonic()


def _key(kind: str, found: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = found.get("metadata", {})
    return kind, str(metadata.get("namespace", "")), str(metadata.get("name", ""))


def _version(found: Mapping[str, Any]) -> str:
    return str(found.get("metadata", {}).get("resourceVersion", ""))
