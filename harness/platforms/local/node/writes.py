"""The plan's writes to the API server: bindings, statuses, WorkloadEntries, deletions, and events."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any

from harness.platforms.local.node import actions as act
from harness.platforms.local.node.api import APPLY, ENTRIES, MANAGER, MERGE, STRATEGIC, Answer, Api
from harness.platforms.local.node.facts import Fact, Op, OpDone
from harness.platforms.local.node.spec import Pod
from harness.platforms.local.node.status import rfc3339
from harness.platforms.local.node.workers import Workers


class Writes:
    """Each write is told as an OpDone. What goes wrong is logged once, and once more when it is over."""

    def __init__(self, api: Api, node: str, tell: Callable[[str, Fact], None], log: Callable[[str], None]) -> None:
        self._api, self._node, self._tell, self._log = api, node, tell, log
        self._workers = Workers("api", 6, log)
        # Events of their own: a flood of them must not hold up a status.
        self._event_workers = Workers("event", 1, log)
        self._lock = threading.Lock()
        self._trouble: dict[tuple[str, Op], str] = {}
        self._entry_uids: dict[str, str] = {}
        self._events: dict[str, int] = {}

    def carry_out(self, pod: Pod, action: act.Action) -> None:
        """Begin one write; it returns at once."""
        match action:
            case act.Bind():
                self._submit(pod, Op.BIND, lambda: self._bind(pod), fine=(409,))
            case act.PatchStatus():
                body = {"metadata": {"uid": pod.uid}, "status": action.status}
                path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/status"
                self._submit(pod, Op.STATUS, lambda: self._api.call("PATCH", path, body=body, content_type=STRATEGIC))
            case act.PutWorkloadEntry():
                self._submit(pod, Op.ENTRY, lambda: self._put_entry(pod, action.manifest))
            case act.DeleteWorkloadEntry():
                self._submit(pod, Op.ENTRY, lambda: self._delete_entry(pod), fine=(404, 409))
            case act.DeletePod():
                self._submit(pod, Op.DELETE, lambda: self._delete(pod))
            case act.Event():
                self._log(f"{pod.key}: {action.reason}: {action.message}")
                self._event_workers.submit(lambda: self._event(pod, action, time.time()))

    def forget(self, pod: Pod) -> None:
        """The pod is gone: let go of what was kept for it."""
        self._entry_uids.pop(pod.uid, None)
        with self._lock:
            for name in [n for n in self._events if n.startswith(f"{pod.uid}.")]:
                del self._events[name]
            for op in Op:
                self._trouble.pop((pod.uid, op), None)

    def _submit(self, pod: Pod, op: Op, request: Callable[[], Answer], fine: tuple[int, ...] = ()) -> None:
        def run() -> None:
            answer = request()
            ok = answer.ok or answer.status in fine
            # 409 on a status or a deletion: the name belongs to another pod by now. On an entry, 404 means a missing CRD.
            gone = not ok and answer.status in (404, 409) and op in {Op.BIND, Op.STATUS, Op.DELETE}
            self._report(pod, op, None if ok or gone else answer.why)
            self._tell(pod.uid, OpDone(op=op, ok=ok, gone=gone))

        self._workers.submit(run)

    def _report(self, pod: Pod, op: Op, why: str | None) -> None:
        with self._lock:
            before = self._trouble.get((pod.uid, op))
            if why is None:
                self._trouble.pop((pod.uid, op), None)
            else:
                self._trouble[pod.uid, op] = why
        if why is not None and before is None:
            self._log(f"{pod.key}: {op} failed: {why}; trying again until it works")
        elif why is None and before is not None:
            self._log(f"{pod.key}: {op} works again")

    def _bind(self, pod: Pod) -> Answer:
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self._node},
        }
        answer = self._api.call("POST", f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/binding", body=body)
        if answer.ok:
            self._log(f"{pod.key}: bound to {self._node}")
        return answer

    def _put_entry(self, pod: Pod, manifest: Any) -> Answer:
        path = f"{ENTRIES}/namespaces/{pod.namespace}/workloadentries/{pod.name}"
        answer = self._api.call("PATCH", path, body=manifest, content_type=APPLY, fieldManager=MANAGER, force="true")
        if answer.ok:
            self._entry_uids[pod.uid] = answer.body["metadata"]["uid"]
            self._log(f"{pod.key}: ready: traffic may reach {manifest['spec']['address']}")
        return answer

    def _delete_entry(self, pod: Pod) -> Answer:
        path = f"{ENTRIES}/namespaces/{pod.namespace}/workloadentries/{pod.name}"
        uid = self._entry_uids.get(pod.uid)
        body = {"preconditions": {"uid": uid}} if uid else {}
        answer = self._api.call("DELETE", path, body=body)
        if answer.ok:
            self._log(f"{pod.key}: not ready: its WorkloadEntry is deleted")
        return answer

    def _delete(self, pod: Pod) -> Answer:
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid}}
        answer = self._api.call("DELETE", f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", body=body)
        if answer.ok:
            self._log(f"{pod.key}: deleted")
        return answer

    def _event(self, pod: Pod, event: act.Event, now: float) -> None:
        """Post the event, or count it up. Best effort, as with kubelet: an event that is lost is no lost fact."""
        digest = hashlib.sha256(f"{event.reason} {event.container} {event.message}".encode()).hexdigest()[:16]
        cached = f"{pod.uid}.{digest}"
        count = self._events.get(cached, 0) + 1
        name, path = f"{pod.name[:200]}.{pod.uid[:8]}{digest}", f"/api/v1/namespaces/{pod.namespace}/events"
        if count > 1:
            body: dict[str, Any] = {"count": count, "lastTimestamp": rfc3339(now)}
            answer = self._api.call("PATCH", f"{path}/{name}", body=body, content_type=MERGE)
        else:
            answer = self._api.call("POST", path, body=self._event_body(pod, event, name, now))
        if answer.ok:
            with self._lock:
                self._events[cached] = count

    def _event_body(self, pod: Pod, event: act.Event, name: str, now: float) -> dict[str, Any]:
        involved = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
        if event.container:
            involved["fieldPath"] = f"spec.containers{{{event.container}}}"
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": pod.namespace},
            "involvedObject": involved,
            "reason": event.reason,
            "message": event.message[:1024],
            "type": "Warning" if event.warning else "Normal",
            "source": {"component": MANAGER, "host": self._node},
            "reportingComponent": MANAGER,
            "reportingInstance": self._node,
            "firstTimestamp": rfc3339(now),
            "lastTimestamp": rfc3339(now),
            "count": 1,
        }
