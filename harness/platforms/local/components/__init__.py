"""The platform's components, each declared once by a PURE function from the configuration."""

from __future__ import annotations

from pathlib import Path

from harness.platforms.local.components import (
    apiserver,
    argocd_bootstrap,
    argocd_controller,
    argocd_repo_server,
    argocd_server,
    bootstrap,
    controller_manager,
    etcd,
    gateway,
    git_server,
    istiod,
    node_agent,
    prometheus,
    redis,
    registry,
    rollout_metrics,
    rollouts,
)
from harness.platforms.local.config import LocalConfig
from harness.supervisor.component import Component

_MODULES = (
    etcd, apiserver, bootstrap, controller_manager, rollouts, istiod, gateway, registry, prometheus, node_agent,
    rollout_metrics,
)
_GITOPS = (git_server, redis, argocd_bootstrap, argocd_repo_server, argocd_controller, argocd_server)


def components(config: LocalConfig) -> tuple[Component, ...]:
    """Every component, in the order in which a reader would tell of them; the start order comes from their needs."""
    modules = (*_MODULES, *(_GITOPS if config.gitops else ()))
    return tuple(component for module in modules for component in module.components(config))


def files(config: LocalConfig) -> dict[Path, str]:
    """Every generated configuration file, by its path."""
    declared = components(config)
    return {
        **bootstrap.files(config),
        **istiod.files(config),
        **gateway.files(config),
        **registry.files(config),
        **prometheus.files(config, declared),
        **(argocd_bootstrap.files(config) if config.gitops else {}),
    }
