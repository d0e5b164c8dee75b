"""Who a certificate speaks for, and the files that hold it: what needs no cryptography, which takes 0.07 s to import."""

from __future__ import annotations

import base64
import datetime
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

VALID_FOR = datetime.timedelta(days=7)
"""A platform lives for minutes to days; a key that leaks is worth nothing after a week."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who a certificate speaks for: Kubernetes reads the user from the common name and the groups from the organizations."""

    name: str
    common_name: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    """DNS names and IP addresses of a server; empty for a client."""

    valid_for: datetime.timedelta = VALID_FOR


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def kubeconfig(*, cluster: str, server: str, ca: bytes, user: str, cert: bytes, key: bytes) -> bytes:
    """A kubeconfig with everything inside it, so that the one file is enough."""

    def b64(data: bytes) -> str:
        return base64.b64encode(data).decode()

    return yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": cluster,
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": b64(ca)}}],
        "users": [{"name": user, "user": {"client-certificate-data": b64(cert), "client-key-data": b64(key)}}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
    }).encode()
