"""The image registry of the specification, localhost:5001."""

from __future__ import annotations

from pathlib import Path

import yaml

from harness.platforms.local.config import LOOPBACK, LocalConfig
from harness.supervisor.component import Component, HttpProbe, Port


def components(config: LocalConfig) -> tuple[Component, ...]:
    """Upstream's `distribution`, with its files in the run's folder."""
    return (
        Component(
            name="registry",
            argv=(str(config.binaries["registry"]), "serve", str(config.paths.config / "registry.yml")),
            env={"OTEL_TRACES_EXPORTER": "none"},
            ports=(Port(name="http", host=LOOPBACK, number=config.ports.registry),),
            ready=HttpProbe(url=f"http://{LOOPBACK}:{config.ports.registry}/v2/"),
        ),
    )


def files(config: LocalConfig) -> dict[Path, str]:
    """The registry's configuration."""
    settings = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(config.paths.data / "registry")}},
        "http": {"addr": f"{LOOPBACK}:{config.ports.registry}"},
    }
    return {config.paths.config / "registry.yml": yaml.safe_dump(settings)}
