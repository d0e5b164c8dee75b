"""The few requests to a cluster's API that are neither helm's nor the watcher's, in plain dicts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from harness.errors import PlatformError
from harness.platforms.cluster.access import TIMEOUT_SECONDS, Access
from harness.platforms.cluster.rights import Right

REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the API answered."""

    status: int
    body: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Whether the request was carried out."""
        return 200 <= self.status < 300

    @property
    def why(self) -> str:
        """One line on what was wrong."""
        return f"{self.status} {self.body.get('message') or ''}".strip()


class ClusterApi:
    """Requests with the rights of the context's user. Thread-safe. Nothing is retried."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._client = access.client()
        pool = self._client.rest_client.pool_manager.connection_pool_kw
        pool["retries"], pool["maxsize"] = False, AT_ONCE

    def call(self, method: str, path: str, *, body: object = None, **query: str) -> Answer:
        """One request. Raises PlatformError when nobody answers."""
        import urllib3  # noqa: PLC0415 -- comes with the Kubernetes client, which few commands need

        payload = None if body is None else json.dumps(body)
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "gateproof"}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, payload)
        url = f"{self._client.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            response = self._client.rest_client.pool_manager.request(
                method, url, body=payload, headers=headers, timeout=urllib3.Timeout(total=TIMEOUT_SECONDS)
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            why = str(error).rpartition(": Failed to establish a new connection: ")[2].splitlines()[0]
            raise PlatformError(
                f"the API of context {self._access.context} ({self._access.server}) does not answer: {why}"
            ) from None
        try:
            found = json.loads(response.data or b"{}")
        except ValueError:
            found = {"message": response.data[:200].decode(errors="replace")}
        return Answer(status=response.status, body=found if isinstance(found, dict) else {})

    def version(self) -> str:
        """The cluster's version, which everybody may ask for. Raises PlatformError."""
        answer = self.call("GET", "/version")
        if not answer.ok:
            raise PlatformError(f"context {self._access.context}: the API refuses us: {answer.why}")
        return str(answer.body.get("gitVersion", "unknown"))

    def refused(self, rights: Iterable[Right]) -> list[Right]:
        """Those of the rights that the user of the context does not have."""
        asked = list(rights)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [right for right, allowed in zip(asked, pool.map(self._may, asked), strict=True) if not allowed]

    def _may(self, right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        attributes = {
            "group": right.group, "resource": resource, "subresource": subresource, "verb": right.verb,
            "namespace": right.namespace,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
        }
        answer = self.call("POST", REVIEW, body=review)
        if not answer.ok:
            raise PlatformError(f"context {self._access.context}: the API does not say what we may do: {answer.why}")
        return bool(answer.body.get("status", {}).get("allowed"))

    def unknown(self, resources: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of the (group, resource) pairs that the API does not serve."""
        wanted = sorted(resources)
        served = {group: self._served(group) for group in {group for group, _ in wanted}}
        return [(group, resource) for group, resource in wanted if resource not in served[group]]

    def _served(self, group: str) -> set[str]:
        if not group:
            places = ["/api/v1"]
        else:
            versions = self.call("GET", f"/apis/{group}").body.get("versions") or ()
            places = [f"/apis/{each['groupVersion']}" for each in versions]
        lists = (self.call("GET", place).body.get("resources") or () for place in places)
        return {str(each["name"]) for its in lists for each in its}
