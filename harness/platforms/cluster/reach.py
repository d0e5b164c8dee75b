"""How the harness reaches a part of a cluster: by an address that the user gave, or through a port-forward to a Service."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import PlatformError, UsageError
from harness.names import is_label
from harness.platforms.cluster.access import Access
from harness.supervisor.ports import owned_by
from harness.supervisor.process import Process

LOOPBACK = "127.0.0.1"
READY_SECONDS = 20.0
STOP_SECONDS = 5.0
_SERVICE = re.compile(r"(?P<namespace>[^/]+)/(?P<name>[^/:]+):(?P<port>[0-9]{1,5})")
_HOST = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_LISTENS = re.compile(r"^Forwarding from 127\.0\.0\.1:(\d+) ->", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class At:
    """An address that the user named: http://HOST[:PORT]."""

    url: str

    @property
    def host(self) -> str:
        """The address' host."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The address' port."""
        return urlsplit(self.url).port or 80

    @property
    def inside(self) -> str:
        """The address as a client in the cluster has it, as far as anybody can tell: the same."""
        return self.url


@dataclass(frozen=True, kw_only=True)
class Forward:
    """A Service, reached through the API by a port of ours on loopback."""

    namespace: str
    name: str
    port: int

    @property
    def inside(self) -> str:
        """The Service's own address, for whoever is in the cluster."""
        return f"http://{self.name}.{self.namespace}.svc:{self.port}"


Reach = At | Forward


def at(url: str, *, option: str) -> At:
    """An address from the command line. Raises UsageError."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "http" and _HOST.fullmatch(parts.netloc) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise UsageError(f"{option} {url}: give http://HOST:PORT, without path or user name")
    return At(url=url.rstrip("/"))


def forward(service: str, *, option: str) -> Forward:
    """A Service from the command line. Raises UsageError."""
    match = _SERVICE.fullmatch(service)
    named = match is not None and is_label(match["namespace"]) and is_label(match["name"])
    if match is None or not named or not 0 < int(match["port"]) < 65536:
        raise UsageError(f"{option} {service}: give NAMESPACE/NAME:PORT, such as istio-system/istio-ingressgateway:80")
    return Forward(namespace=match["namespace"], name=match["name"], port=int(match["port"]))


def is_loopback(host: str) -> bool:
    """Whether this host is the harness' own machine."""
    return host in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A part that can be asked at `url` while it is held open."""

    name: str
    url: str
    process: Process | None = None

    def gone(self) -> str | None:
        """In one line how the way to it ended; None while it stands."""
        if self.process is None or self.process.poll() is None:
            return None
        return f"the port-forward to the {self.name} has ended ({_last(self.process)})"

    def ours(self) -> bool:
        """Whether nobody but our own port-forward answers there; always so for an address that the user gave."""
        if self.process is None:
            return True
        pid = self.process.pid
        return pid is not None and owned_by(pid, LOOPBACK, urlsplit(self.url).port or 0)


@contextlib.contextmanager
def reached(reach: Reach, *, name: str, access: Access, kubectl: Path, folder: Path) -> Iterator[Reached]:
    """Hold the way to a part open for a `with` block; logs go into `folder`. Raises PlatformError when there is none."""
    if isinstance(reach, At):
        yield Reached(name=name, url=reach.url)
        return
    log = folder / f"forward-{name}.log"
    log.unlink(missing_ok=True)
    # kubectl chooses the port, and so nobody can come between the choice and the listening.
    argv = (
        str(kubectl), f"--kubeconfig={access.kubeconfig}", f"--context={access.context}", f"--namespace={reach.namespace}",
        "port-forward", f"--address={LOOPBACK}", f"service/{reach.name}", f":{reach.port}",
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("KUBE")} | {"KUBERC": "off"}
    process = Process(argv, env=env, cwd=folder, log=log)
    try:
        process.start()
        port = _listening(process, f"the {name} ({reach.namespace}/{reach.name}:{reach.port})")
        yield Reached(name=name, url=f"http://{LOOPBACK}:{port}", process=process)
    finally:
        process.stop(timeout=STOP_SECONDS)


def _listening(process: Process, what: str) -> int:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        if match := _LISTENS.search("\n".join(process.log_tail())):
            return int(match[1])
        if ended:
            break
        time.sleep(0.05)
    raise PlatformError(f"no port-forward to {what} came about within {READY_SECONDS:.0f} s: {_last(process)}")


def _last(process: Process) -> str:
    return next((line.strip() for line in reversed(process.log_tail()) if line.strip()), "it said nothing")

