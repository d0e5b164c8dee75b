"""What must be in the API before anyone uses it: CRDs and roles, as upstream ships them, and our namespaces."""

from __future__ import annotations

from pathlib import Path

from harness.platforms.local import identities
from harness.platforms.local.config import LocalConfig
from harness.supervisor.component import Component


def components(config: LocalConfig) -> tuple[Component, ...]:
    """Three tasks: roles and CRDs side by side, then a wait until the API serves every CRD."""
    cache = config.paths.data / "kubectl"
    kubectl = (str(config.binaries["kubectl"]), f"--kubeconfig={config.paths.kubeconfig}", f"--cache-dir={cache}")
    apply = (*kubectl, "apply", "--server-side", "--field-manager=gateproof")
    manifest = config.binaries.manifest
    return (
        Component(
            name="roles",
            argv=(
                *apply, f"--filename={config.paths.config / 'platform.yaml'}",
                f"--filename={manifest('role-argo-rollouts.yaml')}", f"--filename={manifest('role-istiod.yaml')}",
            ),
            kind="task", needs=("kube-apiserver",),
        ),
        Component(
            name="crds",
            argv=(*apply, f"--filename={manifest('crds-argo-rollouts.yaml')}", f"--filename={manifest('crds-istio.yaml')}"),
            kind="task", needs=("kube-apiserver",),
        ),
        Component(
            name="crds-served",
            argv=(*kubectl, "wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"),
            kind="task", needs=("crds",), start_timeout=35.0,
        ),
    )


def files(config: LocalConfig) -> dict[Path, str]:
    """Our namespaces, roles and bindings."""
    return {config.paths.config / "platform.yaml": identities.manifests()}
