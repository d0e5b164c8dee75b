"""The node agent: the one part of the platform that is the project's own. It makes pods real processes."""

from __future__ import annotations

from harness.platforms.local.config import NODE, LocalConfig
from harness.supervisor.component import Component, LogProbe


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One node."""
    return (
        Component(
            name="node-agent",
            argv=(
                str(config.python), "-m", "harness.platforms.local.node", f"--kubeconfig={config.kubeconfig('node-agent')}",
                f"--node-name={NODE}", f"--state-dir={config.paths.data / 'node'}", f"--crane={config.binaries['crane']}",
                f"--image-store={config.image_store}", f"--address-range={config.address_range}",
            ),
            env={"PYTHONPATH": str(config.source), "PYTHONUNBUFFERED": "1", "HOME": str(config.paths.data),
                 "PATH": f"{config.python.parent}:/usr/local/bin:/usr/bin:/bin"},
            cwd=config.paths.data,
            ready=LogProbe(pattern=r"node agent ready"),
            needs=("crds-served", "roles", "registry"),
            # It takes its pods along: each may use its own grace period.
            stop_timeout=30.0,
        ),
    )
