"""What Argo CD finds in its namespace, and the secrets of one run: Redis' password, a key for sessions, access to the cluster."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

import yaml

from harness.platforms.local.config import ARGOCD_NAMESPACE, CLUSTER, LOOPBACK, LocalConfig
from harness.platforms.local.identity import write_private
from harness.platforms.local.paths import make_private

PART_OF = {"app.kubernetes.io/part-of": "argocd"}
CONTROLLER = "argocd-application-controller"


def settings() -> list[dict[str, Any]]:
    """The ConfigMaps without which no part of Argo CD starts."""
    data = {
        # The address of the API inside a cluster leads nowhere here: nothing of ours runs in a pod.
        "argocd-cm": {"cluster.inClusterEnabled": "false"},
        "argocd-rbac-cm": {},
        "argocd-cmd-params-cm": {},
        "argocd-ssh-known-hosts-cm": {},
        "argocd-tls-certs-cm": {},
    }
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(name), "data": its} for name, its in data.items()]


def write(config: LocalConfig, authority: bytes) -> None:
    """Write the run's secrets, each readable by its owner alone; `authority` is the run's CA as PEM."""
    make_private(config.redis_credentials)
    password = secrets.token_urlsafe(24)
    write_private(config.redis_credentials / "auth", password.encode())
    write_private(config.paths.pki / "redis.conf", redis_settings(config, password).encode())
    tls = {
        "caData": _encoded(authority), "certData": _encoded(config.cert(CONTROLLER).read_bytes()),
        "keyData": _encoded(config.key(CONTROLLER).read_bytes()),
    }
    cluster = {"name": CLUSTER, "server": config.apiserver_url, "config": json.dumps({"tlsClientConfig": tls})}
    objects = [
        _secret("argocd-secret", {"server.secretkey": secrets.token_urlsafe(32)}),
        _secret("cluster-gateproof", cluster, labels={"argocd.argoproj.io/secret-type": "cluster"}),
    ]
    write_private(config.paths.pki / "argocd-secrets.yaml", yaml.safe_dump_all(objects).encode())


def redis_settings(config: LocalConfig, password: str) -> str:
    """Redis' configuration: loopback only, nothing written to disk, and nobody without the password."""
    return "\n".join((
        f"bind {LOOPBACK}", f"port {config.ports.redis}", "protected-mode yes", f"requirepass {password}",
        f"dir {config.paths.data / 'redis'}", 'save ""', "appendonly no", "loglevel notice", "daemonize no", "",
    ))  # fmt: skip


def _secret(name: str, data: dict[str, str], *, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Secret", "metadata": _metadata(name, labels), "type": "Opaque",
        "data": {key: _encoded(value.encode()) for key, value in data.items()},
    }


def _metadata(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"name": name, "namespace": ARGOCD_NAMESPACE, "labels": {**PART_OF, **(labels or {})}}


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
