"""The platforms by name: a literal dict, and the one place where a name is turned into a platform."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from harness.errors import UsageError
from harness.platforms import Platform, Say
from harness.platforms.existing import options as existing
from harness.platforms.local.platform import LocalPlatform
from harness.platforms.local.ready import named

PORTS = frozenset({"gateway_port", "registry_port"})
GITOPS = "gitops"
READY = frozenset({"binaries", "sha256"})


@dataclass(frozen=True, kw_only=True)
class PlatformOptions:
    """What the command line says about the platform."""

    name: str
    run_dir: Path
    gateway_port: int
    registry_port: int
    gitops: bool = False
    """Whether the platform must have Argo CD."""
    given: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """The options beyond --platform and --run-dir that were typed, by their keywords."""


class ManagedPlatform(Platform, Protocol):
    """A platform with what the commands around a scenario need of it."""

    def up(self, say: Say, *, detach: bool = True) -> object:
        """Start it and leave it running. Raises UsageError where that is not ours to do."""
        ...

    def down(self) -> bool:
        """Remove all that was made; returns whether there was anything."""
        ...

    def healthy(self) -> bool:
        """Whether it can be used."""
        ...

    def status(self) -> dict[str, Any]:
        """Its state, as data."""
        ...

    def describe(self) -> str:
        """Its state, for people."""
        ...

    def dashboards(self) -> tuple[list[str], bool]:
        """A line for each thing that can be looked at, and whether all of them answer."""
        ...

    def plan(self) -> str:
        """What would be made, as text. Nothing is."""
        ...


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How a platform is made of options, and which ones it takes besides --platform and --run-dir."""

    make: Callable[[PlatformOptions], ManagedPlatform]
    takes: frozenset[str]


def _local(options: PlatformOptions) -> ManagedPlatform:
    return LocalPlatform(
        run_dir=options.run_dir, gateway_port=options.gateway_port, registry_port=options.registry_port, gitops=options.gitops,
        ready=named(options.given.get("binaries"), options.given.get("sha256")) if READY & options.given.keys() else None,
    )


def _existing(options: PlatformOptions) -> ManagedPlatform:
    from harness.platforms.existing.platform import make as made  # noqa: PLC0415 -- what it imports takes a while

    return made(options.given, run_dir=options.run_dir)


def _kind(options: PlatformOptions) -> ManagedPlatform:
    from harness.platforms.kind.config import Ports  # noqa: PLC0415 -- what they import takes a while
    from harness.platforms.kind.platform import KindPlatform  # noqa: PLC0415

    ports = Ports(gateway=options.gateway_port, registry=options.registry_port)
    return KindPlatform(run_dir=options.run_dir, ports=ports, gitops=options.gitops)


PLATFORMS: dict[str, Entry] = {
    "local": Entry(make=_local, takes=PORTS | {GITOPS} | READY),
    "kind": Entry(make=_kind, takes=PORTS | {GITOPS}),
    "existing": Entry(make=_existing, takes=existing.NAMES),
}


def make(options: PlatformOptions) -> ManagedPlatform:
    """The platform that was asked for. Raises UsageError for options that it does not have, or cannot use."""
    refuse_foreign(options)
    return PLATFORMS[options.name].make(options)


def refuse_foreign(options: PlatformOptions) -> None:
    """Raise UsageError for options of another platform: who gives them means something that would not happen."""
    entry = PLATFORMS[options.name]
    given = {*options.given, *([GITOPS] if options.gitops else [])}
    foreign = sorted(f"--{name.replace('_', '-')}" for name in given - entry.takes)
    if foreign:
        owners = sorted(name for name, its in PLATFORMS.items() if its.takes & given - entry.takes)
        raise UsageError(
            f"--platform {options.name} has no {', '.join(foreign)}: that is for --platform {' or '.join(owners)}"
        )
