"""The platforms behind one small protocol. Nothing outside this package asks which platform it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class GitOps:
    """How a release is handed over as a commit: a Git repository that the harness writes and Argo CD pulls."""

    push_url: str
    """The repository as the harness pushes to it: a URL, or the path of a bare repository."""
    repo_url: str
    """The same repository as Argo CD reads it."""
    namespace: str
    """Where Argo CD looks for Applications."""
    destination: str
    """The cluster to deploy to, as Argo CD knows it: the address of its API."""
    git: Path
    """The program that commits."""
    branch: str = "main"


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Where a platform that is up can be reached."""

    kubeconfig: Path
    context: str
    gateway_url: str
    """Where users' requests go in; the host name they ask for is the chart's."""
    prometheus_url: str
    """As the harness reaches it."""
    registry: str
    """The registry as image references name it, such as localhost:5001."""
    namespace: str
    scratch: Path
    """A folder for files of the programs that the harness calls; it ends with the platform."""
    host: str = "webapp.local"
    """The host name that users ask for, and that nobody else's release on this platform answers to."""
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What the chart must be told about these endpoints beyond the platform's own values."""
    gitops: GitOps | None = None
    """Where Argo CD is, on a platform that has it."""


class Platform(Protocol):
    """What a scenario needs of a platform."""

    name: str

    def session(self, say: Say, *, keep: bool) -> AbstractContextManager[Endpoints]:
        """The platform, up for a `with` block: started if need be, and then stopped afterwards unless `keep`."""
        ...

    def lane(self, name: str, endpoints: Endpoints) -> AbstractContextManager[Endpoints]:
        """Endpoints of their own within a session, for releases side by side: no lane sees another's pods, answers or metrics."""
        ...

    def check(self) -> None:
        """Raise PlatformError when a part of the platform has died, Inconclusive when it was what the gate measures with."""
        ...

    def verify_load_target(self) -> None:
        """Raise PlatformError unless the gateway's port is served by a process of this platform."""
        ...

    def setup(self, say: Say) -> None:
        """Have everything built that a session needs."""
        ...

    def values_files(self) -> tuple[Path, ...]:
        """The chart's values files for this platform."""
        ...

    def values(self) -> Mapping[str, Any]:
        """The chart's values that are known only once the platform is up."""
        ...

    def tools(self) -> Mapping[str, Path]:
        """The programs that the harness calls: helm, crane."""
        ...

    def facts(self) -> Mapping[str, str]:
        """Versions of every part, for the report."""
        ...
