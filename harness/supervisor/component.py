"""A program declared once, as data: how it is started, when it counts as ready, and what it needs."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Port:
    """A TCP port that a component listens on; the host is an address, and ``0.0.0.0`` or ``::`` means every interface."""

    name: str
    host: str
    number: int

    def __str__(self) -> str:
        """``host:number``, with brackets around an IPv6 address."""
        return address(self.host, self.number)


@dataclass(frozen=True, kw_only=True)
class HttpProbe:
    """Ready when a GET is answered with a status below 400.

    An ``https`` answer counts only if its certificate is signed by ``ca_file`` (by the system's trust store if None).
    """

    url: str
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __str__(self) -> str:
        """What is asked, for reports and errors."""
        return f"GET {self.url}"


@dataclass(frozen=True, kw_only=True)
class TcpProbe:
    """Ready when a TCP connection is accepted."""

    host: str
    port: int

    def __str__(self) -> str:
        """What is asked, for reports and errors."""
        return f"connect to {address(self.host, self.port)}"


@dataclass(frozen=True, kw_only=True)
class ExecProbe:
    """Ready when this program, run in the component's environment and folder, exits with 0."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        """What is asked, for reports and errors."""
        return f"run {shlex.join(self.argv)}"


@dataclass(frozen=True, kw_only=True)
class LogProbe:
    """Ready when a line of the component's own output, since its last start, matches this regular expression."""

    pattern: str

    def __str__(self) -> str:
        """What is asked, for reports and errors."""
        return f"log line matching {self.pattern!r}"


Probe = HttpProbe | TcpProbe | ExecProbe | LogProbe


@dataclass(frozen=True, kw_only=True)
class MetricsEndpoint:
    """Where Prometheus scrapes the component: the name of one of its ports, a path, and labels for the target."""

    port: str
    path: str = "/metrics"
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Take a copy of the labels that nobody can change."""
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))


@dataclass(frozen=True, kw_only=True)
class Component:
    """One program of the plan.

    ``env`` is the whole environment of the process: nothing is inherited. A ``service`` runs until it is stopped and is
    ready when its probe says so. A ``task`` runs to completion: exit code 0 makes it ready, any other is a failure, and
    its probe is None. Time-outs are seconds; ``start_timeout`` is also the time that a task may run.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    cwd: Path | None = None
    ports: tuple[Port, ...] = ()
    ready: Probe | None = None
    needs: tuple[str, ...] = ()
    metrics: MetricsEndpoint | None = None
    kind: Literal["service", "task"] = "service"
    start_timeout: float = 30.0
    stop_timeout: float = 10.0
    stop_signal: signal.Signals = signal.SIGTERM

    def __post_init__(self) -> None:
        """Take a copy of the environment that nobody can change."""
        object.__setattr__(self, "env", MappingProxyType(dict(self.env)))


def address(host: str, number: int) -> str:
    """``host:number``, with brackets around an IPv6 address."""
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
