"""The platforms behind one small protocol. Nothing outside this package asks which platform it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Images:
    """Where the images of the two versions come from: built and pushed, or there already."""

    registry: str = ""
    """The registry as image references name it, such as localhost:5001."""
    push_registry: str = ""
    """The same as the harness reaches it; empty: by that name too."""
    base: str = ""
    """An image with Python that ours are put on top of; empty: they have no interpreter, and the node brings it."""
    stable: str = ""
    """A reference with a tag to an image that is there already, with `candidate`: nothing is built then."""
    candidate: str = ""


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
    images: Images | None = None
    """Where images come from, when it is not simply `registry`."""
    makes_namespace: bool = True
    """Whether the namespace is made with the release; False where it is there, and making one may not be allowed."""
    ready_seconds: float = 60.0
    """How long the stable version may take to be served, its image's way to the nodes included."""
    load_host: str = ""
    """A host beyond loopback that the user named as the one to load; empty: loopback only."""
    one_gateway: bool = False
    """Whether one program alone serves `gateway_url`, so that none of several can lag behind the others unseen."""
    gitops: GitOps | None = None
    """Where Argo CD is, on a platform that has it."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a platform that can be looked at, and whether it is well. `told` is one line for people."""

    name: str
    well: bool
    told: str
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Downtime:
    """For how long a part was away on purpose: seconds since the epoch, None for what did not happen (yet)."""

    down_at: float | None
    up_at: float | None
    problem: str


class Hand(Protocol):
    """What breaks parts of a platform on purpose, and starts them again."""

    def disturb(self, components: tuple[str, ...], *, seconds: float, empty: bool) -> str:
        """Have these parts, by names as `plan` shows them, killed and started again so many seconds later.

        Returns at once, with a key to ask by. `empty` has what they stored removed meanwhile.
        """
        ...

    def downtime(self, key: str) -> Downtime | None:
        """What became of it; None while it has not begun."""
        ...


class Platform(Protocol):
    """What a scenario needs of a platform."""

    name: str

    @property
    def most_lanes(self) -> int:
        """How many lanes a session can have at once."""
        ...

    def foresee(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Be told, before a session, what the chart is going to render to."""
        ...

    def session(self, say: Say, *, keep: bool) -> AbstractContextManager[Endpoints]:
        """The platform, up for a `with` block: started if need be, and then stopped afterwards unless `keep`."""
        ...

    def lane(self, name: str, endpoints: Endpoints) -> AbstractContextManager[Endpoints]:
        """Endpoints of their own within a session, for releases side by side: no lane sees another's pods, answers or metrics."""
        ...

    def check(self) -> None:
        """Raise PlatformError when a part of the platform has died, Inconclusive when it was what the gate measures with."""
        ...

    def hand(self) -> Hand | None:
        """What breaks parts of this platform on purpose while it is up; None where nobody may."""
        ...

    def verify_load_target(self, endpoints: Endpoints) -> None:
        """Raise PlatformError unless what answers at the gateway belongs to this platform."""
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
