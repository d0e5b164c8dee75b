"""Keeps the agent told of all pods: list, then watch, again and again, through restarts of the API server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from harness.platforms.local.node.api import Api
from harness.platforms.local.node.workers import run_logged

PODS = "/api/v1/pods"
WATCH_SECONDS = 240
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0


class Expired(Exception):
    """The API server no longer knows our resourceVersion (410 Gone): list again."""


class PodWatch:
    """Calls `listed` with all pods after each list, and `changed` with (event type, pod) after it. In a thread of its own."""

    def __init__(
        self,
        api: Api,
        *,
        listed: Callable[[list[Mapping[str, Any]]], None],
        changed: Callable[[str, Mapping[str, Any]], None],
        log: Callable[[str], None],
    ) -> None:
        self._api, self._listed, self._changed, self._log = api, listed, changed, log
        self._version = ""
        self._pause = 0.0
        self._down = False
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="pod-watch", daemon=True).start()

    def stop(self) -> None:
        """Begin no further watch; the present one ends with the process."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            # Without this thread the agent is blind: even after a fault of its own it must go on, from a fresh list.
            run_logged(self._follow, self._log)
            self._version = ""
            self._stop.wait(LONGEST_PAUSE)

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                if not self._version:
                    self._list()
                self._watch()
            except Expired:
                self._version = ""
            except ConnectionError as error:
                if not self._down:
                    self._log(f"API server {self._api.host} does not answer the pod watch ({error}); trying again")
                    self._down = True
                self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
                self._stop.wait(self._pause)

    def _up(self) -> None:
        self._pause = 0.0
        if self._down:
            self._log("API server answers again")
            self._down = False

    def _list(self) -> None:
        answer = self._api.list_pods()
        if not answer.ok:
            raise ConnectionError(answer.why)
        self._up()
        self._listed(list(answer.body.get("items") or ()))
        self._version = answer.body["metadata"]["resourceVersion"]

    def _watch(self) -> None:
        for event in self._api.watch(PODS, resource_version=self._version, seconds=WATCH_SECONDS):
            kind, pod = event["type"], event["object"]
            if kind == "ERROR":
                if pod.get("code") == 410:
                    raise Expired
                raise ConnectionError(pod.get("message") or f"status {pod.get('code')}")
            self._up()
            self._version = pod["metadata"]["resourceVersion"]
            if kind != "BOOKMARK":
                self._changed(kind, pod)
        self._up()
        # An API server that is stopping ends a watch cleanly: do not knock at once.
        self._stop.wait(0.05)
