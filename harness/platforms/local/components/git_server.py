"""The Git server that Argo CD pulls from. A component of its own: it must be there for as long as Argo CD is, scenario or not."""

from __future__ import annotations

from harness.platforms.local.config import LOOPBACK, LocalConfig
from harness.supervisor.component import Component, HttpProbe, Port


def components(config: LocalConfig) -> tuple[Component, ...]:
    """Smart HTTP on loopback, for reading only: whoever may push writes into the folder of the repositories."""
    assert config.gitops  # noqa: S101 -- asked for on a platform with GitOps only
    return (
        Component(
            name="git-server",
            argv=(
                str(config.python), "-m", "harness.gitops.server", f"--root={config.git_root}",
                f"--port={config.ports.git}", f"--git={config.gitops.git}",
            ),
            env={"PYTHONPATH": str(config.source), "PYTHONUNBUFFERED": "1", "HOME": str(config.git_root)},
            cwd=config.git_root,
            ports=(Port(name="http", host=LOOPBACK, number=config.ports.git),),
            ready=HttpProbe(url=f"http://{LOOPBACK}:{config.ports.git}/healthz"),
        ),
    )
