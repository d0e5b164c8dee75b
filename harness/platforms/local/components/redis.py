"""Argo CD's cache: Valkey, which speaks Redis' protocol."""

from __future__ import annotations

from harness.platforms.local.config import LOOPBACK, LocalConfig
from harness.supervisor.component import Component, LogProbe, Port


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One server with a password; its settings are with the run's keys, since they hold it."""
    assert config.gitops  # noqa: S101 -- asked for on a platform with GitOps only
    return (
        Component(
            name="redis",
            argv=(str(config.gitops.redis), str(config.paths.pki / "redis.conf")),
            cwd=config.paths.data / "redis",
            ports=(Port(name="redis", host=LOOPBACK, number=config.ports.redis),),
            ready=LogProbe(pattern=r"Ready to accept connections"),
        ),
    )
