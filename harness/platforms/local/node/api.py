"""The few requests to the API server that the agent makes, in plain dicts.

The typed models of the client library would cost some 25 MiB and add nothing: only its transport is used (TLS, kubeconfig).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import load_kube_config
from kubernetes.config.config_exception import ConfigException

from harness.errors import UsageError

MANAGER = "gateproof-node-agent"
STRATEGIC, MERGE, APPLY = (
    "application/strategic-merge-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
)
TIMEOUT = 10.0
ENTRIES = "/apis/networking.istio.io/v1"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer of the API server; `status` 0 means that there was none, and `reason` says why."""

    status: int
    body: Mapping[str, Any]
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the request was carried out."""
        return 200 <= self.status < 300

    @property
    def why(self) -> str:
        """One line on what went wrong."""
        return self.reason or f"{self.status} {self.body.get('message') or ''}".strip()


class Api:
    """Requests to one API server. Thread-safe. Nothing is retried here: the plan asks again."""

    def __init__(self, kubeconfig: Path) -> None:
        config = Configuration()
        # A closed keep-alive connection must be an answer, not three silent attempts; proxies are for the internet.
        config.retries = False
        config.connection_pool_maxsize = 32
        config.proxy = None
        try:
            load_kube_config(config_file=str(kubeconfig), client_configuration=config, persist_config=False)  # type: ignore[no-untyped-call]
        except (ConfigException, yaml.YAMLError, OSError, KeyError, TypeError) as error:
            raise UsageError(f"--kubeconfig {kubeconfig}: cannot be used: {error}") from None
        self.host = config.host
        self._client = ApiClient(configuration=config)
        self._client.rest_client.pool_manager.connection_pool_kw["retries"] = False

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content_type: str = "application/json",
        timeout: float = TIMEOUT,
        **query: str,
    ) -> Answer:
        """One request. It does not raise for what a network or a server can do."""
        payload = None if body is None else json.dumps(body)
        try:
            response = self._send(method, path, payload, content_type, timeout, query)
            data = response.read()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Answer(status=0, body={}, reason=_short(error))
        return Answer(status=response.status, body=_parse(data))

    def watch(self, path: str, *, resource_version: str, seconds: int) -> Iterator[Mapping[str, Any]]:
        """Watch events as they come, for at most `seconds`. Raises ConnectionError; an HTTP error is an event of type ERROR."""
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        try:
            response = self._send("GET", path, None, "application/json", (TIMEOUT, seconds + TIMEOUT), query)
            if response.status != 200:
                yield {"type": "ERROR", "object": _parse(response.read()) or {"code": response.status}}
                return
            rest = b""
            for chunk in response.stream(amt=None, decode_content=False):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines if line.strip())
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ConnectionError(_short(error)) from None

    def _send(  # noqa: PLR0917 - a private detail of the two methods above
        self, method: str, path: str, body: str | None, content_type: str, timeout: Any, query: Mapping[str, str]
    ) -> Any:
        url = f"{self.host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "User-Agent": MANAGER}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        if body is not None:
            headers["Content-Type"] = content_type
        return self._client.rest_client.pool_manager.request(
            method, url, body=body, headers=headers, timeout=_timeout(timeout), preload_content=False
        )

    def list_pods(self) -> Answer:
        """All pods of the cluster."""
        return self.call("GET", "/api/v1/pods")


def _timeout(value: float | tuple[float, float]) -> urllib3.Timeout:
    if isinstance(value, tuple):
        return urllib3.Timeout(connect=value[0], read=value[1])
    return urllib3.Timeout(total=value)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data or b"{}")
    except ValueError:
        value = {"message": data[:200].decode(errors="replace")}
    return value if isinstance(value, dict) else {}


def _short(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.rpartition(": Failed to establish a new connection: ")[2] or text
