"""Where the page's data comes from: the API by a watch, Prometheus by queries, and the platform's own word."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import requests

from harness.dashboard.logs import tail
from harness.dashboard.model import Measured, Objects, page
from harness.dashboard.promises import queries, read_gate, share_query
from harness.errors import HarnessError
from harness.loopback import local_session
from harness.platforms import Endpoints, Part
from harness.release import RELEASE
from harness.watch import KINDS, Watcher

FRESH_SECONDS = 0.8
"""Everybody who asks within this time gets the same answer, so that many open pages cost no more than one."""
PARTS_SECONDS = 4.0
"""How old a look at the parts may be: it costs a dozen requests."""
QUERY_SECONDS = 3.0
SHARE_SECONDS = 300
SHARE_STEP_SECONDS = 3
LOCUST_URL = "http://127.0.0.1:8089/"
TEMPLATES = "analysistemplates"


@runtime_checkable
@runtime_checkable
class Watchable(Protocol):
    """What the page needs of a platform."""

    def endpoints(self) -> Endpoints:
        """Where it can be reached."""
        ...

    def parts(self) -> list[Part]:
        """Each part, and whether it is well."""
        ...

    def logs(self) -> Mapping[str, Path]:
        """Every log by a name of its own."""
        ...


class Source:
    """Reads on demand; one instance serves all requests, from any thread."""

    def __init__(self, platform: Watchable) -> None:
        self._platform = platform
        self._endpoints = platform.endpoints()
        self._watcher = Watcher(
            kubeconfig=self._endpoints.kubeconfig, context=self._endpoints.context, namespace=self._endpoints.namespace,
            kinds=(*KINDS, TEMPLATES), keep_history=False,
        )
        self._lock = threading.Lock()
        self._page: dict[str, Any] = {}
        self._page_at = self._parts_at = float("-inf")
        self._parts: list[Part] = []
        self._gaps = 0

    def start(self) -> None:
        """Begin to follow the API. Raises PlatformError when it does not answer."""
        self._watcher.start()

    def stop(self) -> None:
        """Stop following."""
        self._watcher.stop()

    def state(self) -> dict[str, Any]:
        """The page's data, at most FRESH_SECONDS old."""
        with self._lock:
            if time.monotonic() - self._page_at >= FRESH_SECONDS:
                self._page, self._page_at = self._read(), time.monotonic()
            return self._page

    def log(self, name: str) -> list[str] | None:
        """The last lines of a log that the platform names; None for any other name."""
        path = self._platform.logs().get(name)
        if path is None:
            return None
        try:
            return tail(path)
        except OSError as error:
            return [f"({path.name} cannot be read: {error.strerror})"]

    def _read(self) -> dict[str, Any]:
        latest = {kind: tuple(self._watcher.latest(kind)) for kind in (*KINDS, TEMPLATES)}
        objects = Objects(
            rollout=self._watcher.get("rollouts", RELEASE), replica_sets=latest["replicasets"], pods=latest["pods"],
            analysis_runs=latest["analysisruns"], virtual_service=self._watcher.get("virtualservices", RELEASE),
            templates=latest[TEMPLATES],
        )
        gate = read_gate(objects.templates)
        measured, told = self._measure(gate.bound)
        parts = [*self._parts_now(), told, self._watch_part()]
        return page(objects, measured, gate, parts, self._platform.logs(), now=time.time())

    def _parts_now(self) -> list[Part]:
        if time.monotonic() - self._parts_at >= PARTS_SECONDS:
            try:
                self._parts = [*self._platform.parts(), *locust()]
            except HarnessError as error:
                self._parts = [Part(name="platform", well=False, told=str(error))]
            self._parts_at = time.monotonic()
        return self._parts

    def _watch_part(self) -> Part:
        """A watch that broke off is taken up again by itself: it is not well only while it keeps breaking off."""
        gaps = len(self._watcher.gaps)
        broken, self._gaps = gaps > self._gaps, gaps
        told = "the API breaks off: what is shown may be old" if broken else f"follows namespace {self._endpoints.namespace}"
        return Part(name="this page's watch", well=not broken, told=told)

    def _measure(self, bound: str) -> tuple[Measured, Part]:
        namespace, now = self._endpoints.namespace, time.time()
        base = f"{self._endpoints.prometheus_url}/api/v1"
        name = "this page's figures"
        session = local_session()
        try:
            instant = {
                key: _result(session, f"{base}/query", {"query": query}) for key, query in queries(namespace, bound).items()
            }
            span = {"start": f"{now - SHARE_SECONDS:.0f}", "end": f"{now:.0f}", "step": str(SHARE_STEP_SECONDS)}
            shares = _result(session, f"{base}/query_range", {"query": share_query(namespace), **span})
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            told = f"Prometheus does not answer ({type(error).__name__})"
            return Measured(instant={}), Part(name=name, well=False, told=told)
        seen = any(instant.values())
        return Measured(instant=instant, shares=shares), Part(
            name=name, well=True, told="measured" if seen else "no version has answered anything yet"
        )


def _result(session: requests.Session, url: str, given: Mapping[str, str]) -> tuple[Any, ...]:
    answer = session.get(url, params=given, timeout=QUERY_SECONDS)
    answer.raise_for_status()
    return tuple(answer.json()["data"]["result"])


def locust() -> list[Part]:
    """Locust's web UI, where one is open; it is open only while a load with `--web` runs."""
    try:
        found = local_session().get(LOCUST_URL, timeout=1)
    except requests.RequestException:
        return []
    return [Part(name="Locust", well=True, told="a load runs", url=LOCUST_URL)] if "locust" in found.text.lower() else []
