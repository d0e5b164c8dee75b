"""The platforms by name: a literal dict, and the one place where a name is turned into a platform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.platforms.local.platform import LocalPlatform


@dataclass(frozen=True, kw_only=True)
class PlatformOptions:
    """What the command line says about the platform."""

    name: str
    run_dir: Path
    gateway_port: int
    registry_port: int
    gitops: bool = False
    """Whether the platform must have Argo CD."""


PLATFORMS: dict[str, Callable[[PlatformOptions], LocalPlatform]] = {
    "local": lambda options: LocalPlatform(
        run_dir=options.run_dir, gateway_port=options.gateway_port, registry_port=options.registry_port, gitops=options.gitops
    ),
}


def make(options: PlatformOptions) -> LocalPlatform:
    """The platform that was asked for."""
    return PLATFORMS[options.name](options)
