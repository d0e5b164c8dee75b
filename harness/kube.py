"""What of the Kubernetes client is used to watch: any kind as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client import ApiException
from kubernetes.watch import Watch

__all__ = ["ApiException", "Watch", "objects"]


class _AnyGroup(client.ApiClient):
    """Lets Kubernetes' own kinds be asked for like custom objects.

    The client has a class for each of them, and importing these takes a second of CPU and 25 MB. The group without a name is
    the one that has another path.
    """

    def param_serialize(self, method: str, resource_path: str, path_params: Any = None, *rest: Any, **more: Any) -> Any:
        """As the client's, for any group."""
        if path_params and path_params.get("group") == "":
            resource_path = resource_path.replace("/apis/{group}/", "/api/", 1)
        return super().param_serialize(method, resource_path, path_params, *rest, **more)


def objects(kubeconfig: Path, context: str | None) -> client.CustomObjectsApi:
    """The API of a cluster. Raises what the client raises for a kubeconfig that it cannot use."""
    api = config.new_client_from_config(config_file=str(kubeconfig), context=context, persist_config=False)
    return client.CustomObjectsApi(_AnyGroup(api.configuration))
