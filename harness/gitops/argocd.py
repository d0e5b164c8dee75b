"""Argo CD as its own API objects: projects and Applications, a refresh, a sync. On any cluster that has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from harness.errors import PlatformError

GROUP, VERSION = "argoproj.io", "v1alpha1"
REFRESH = "argocd.argoproj.io/refresh"
TIMEOUT_SECONDS = 10.0
NOT_FOUND = 404
UNWELL = frozenset({429, *range(500, 600)})
"""Answers of an API that is too busy, or just starting or ending: another time it may answer."""
ROLES_UNKNOWN = frozenset({401, 403})
"""What kube-apiserver answers to anybody for a moment after its start, until it has read who may do what."""


class Unanswered(PlatformError):
    """The API did not answer, or not this time."""


class ArgoCd:
    """The objects of one Argo CD. A call that the API refuses raises PlatformError, one that it does not answer Unanswered."""

    def __init__(self, *, kubeconfig: Path, context: str, namespace: str) -> None:
        try:
            connection = config.new_client_from_config(config_file=str(kubeconfig), context=context)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise PlatformError(f"Argo CD cannot be asked: {kubeconfig}: {error}") from None
        self._api = client.CustomObjectsApi(connection)
        self._namespace = namespace
        self._welcome = False

    def put(self, plural: str, wanted: Mapping[str, Any]) -> None:
        """Create an object, or give the one that is there this spec."""
        name = str(wanted["metadata"]["name"])
        found = self.get(plural, name)
        if found is None:
            self._call("create_namespaced_custom_object", plural, body=dict(wanted))
        else:
            version = found["metadata"]["resourceVersion"]
            metadata = {**wanted["metadata"], "resourceVersion": version}
            self._call("replace_namespaced_custom_object", plural, name=name, body={**wanted, "metadata": metadata})

    def get(self, plural: str, name: str) -> Mapping[str, Any] | None:
        """One object, or None where there is none."""
        found: Mapping[str, Any] | None = self._call("get_namespaced_custom_object", plural, name=name, missing=True)
        return found

    def refresh(self, name: str) -> None:
        """Have the Application compared at once with what Git holds now."""
        self._patch(name, {"metadata": {"annotations": {REFRESH: "normal"}}})

    def sync(self, name: str, *, revision: str, options: Sequence[str], by: str) -> None:
        """Have this commit applied now, whatever differs."""
        operation = {"initiatedBy": {"username": by}, "sync": {"revision": revision, "syncOptions": list(options)}}
        self._patch(name, {"operation": operation})

    def delete(self, plural: str, name: str) -> bool:
        """Delete an object, an Application with all that it brought. Returns whether there was one."""
        return self._call("delete_namespaced_custom_object", plural, name=name, missing=True) is not None

    def _patch(self, name: str, change: Mapping[str, Any]) -> None:
        self._call("patch_namespaced_custom_object", "applications", name=name, body=change)

    def _call(self, verb: str, plural: str, *, missing: bool = False, **arguments: Any) -> Any:
        try:
            answer = getattr(self._api, verb)(
                group=GROUP, version=VERSION, namespace=self._namespace, plural=plural,
                _request_timeout=TIMEOUT_SECONDS, **arguments,
            )  # fmt: skip
        except client.ApiException as error:
            if missing and error.status == NOT_FOUND:
                return None
            told = str(error.body or error.reason).splitlines()[0]
            # Who was let in before has hardly lost the right to it: it is the API that has just been started again.
            unwell = error.status in UNWELL or (self._welcome and error.status in ROLES_UNKNOWN)
            kind = Unanswered if unwell else PlatformError
            raise kind(f"{verb.partition('_')[0]} {plural} {arguments.get('name', '')}: {error.status} {told}") from None
        except HTTPError as error:
            raise Unanswered(f"{verb.partition('_')[0]} {plural}: the API does not answer ({error})") from None
        self._welcome = True
        return answer
