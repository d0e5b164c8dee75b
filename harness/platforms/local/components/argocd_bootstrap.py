"""What must be in the API before Argo CD starts: its CRDs, upstream's roles, its settings, and the secrets of this run."""

from __future__ import annotations

from pathlib import Path

from harness.platforms.local import identities
from harness.platforms.local.components.bootstrap import ACCEPTED
from harness.platforms.local.config import ARGOCD_NAMESPACE, LocalConfig
from harness.supervisor.component import Component

SERVED = ("applications.argoproj.io", "appprojects.argoproj.io", "applicationsets.argoproj.io")


def components(config: LocalConfig) -> tuple[Component, ...]:
    """Tasks, beside the platform's own bootstrap."""
    assert config.gitops  # noqa: S101 -- asked for on a platform with GitOps only
    cache = config.paths.data / "kubectl-argocd"
    kubectl = (str(config.binaries["kubectl"]), f"--kubeconfig={config.paths.kubeconfig}", f"--cache-dir={cache}")
    env = config.kubectl_env
    apply = (*kubectl, "apply", "--server-side", "--field-manager=gateproof")
    wait = (*kubectl, "wait", "--timeout=30s")
    return (
        Component(
            name="argocd-settings",
            argv=(
                # Upstream's roles name no namespace: they belong to whichever they are applied in.
                *apply, f"--namespace={ARGOCD_NAMESPACE}", f"--filename={config.paths.config / 'argocd.yaml'}",
                f"--filename={config.gitops.roles}", f"--filename={config.paths.pki / 'argocd-secrets.yaml'}",
            ),
            kind="task", env=env, needs=("roles",),
        ),
        Component(
            name="crds-argocd", argv=(*apply, f"--filename={config.gitops.crds}"), kind="task", env=env,
            needs=("roles",),
        ),
        Component(
            name="argocd-crds-accepted", argv=(*wait, f"--for={ACCEPTED}", "crd", *SERVED), kind="task", env=env,
            needs=("crds-argocd",), start_timeout=35.0,
        ),
        Component(
            name="argocd-crds-served", argv=(*wait, "--for=condition=Established", "crd", *SERVED), kind="task", env=env,
            needs=("argocd-crds-accepted",), start_timeout=35.0,
        ),
    )


def files(config: LocalConfig) -> dict[Path, str]:
    """Argo CD's namespace, settings and bindings."""
    return {config.paths.config / "argocd.yaml": identities.gitops_manifests()}


def environment(config: LocalConfig, part: str) -> dict[str, str]:
    """What every part of Argo CD is told by its environment; `part` is the name that upstream's images call it by."""
    assert config.gitops  # noqa: S101 -- asked for on a platform with GitOps only
    folder = config.paths.data / part
    path = (config.gitops.path, config.binaries["helm"].parent, config.gitops.git.parent, "/usr/bin", "/bin")
    return {
        "ARGOCD_BINARY_NAME": part, "HOME": str(folder), "TMPDIR": str(folder), "PATH": ":".join(map(str, path)),
        "REDIS_CREDS_DIR_PATH": str(config.redis_credentials), "ARGOCD_GPG_ENABLED": "false",
        # Files that upstream's images have and nobody needs here are looked for below this folder.
        "ARGOCD_APP_CONF_PATH": str(folder), "ARGOCD_TLS_DATA_PATH": str(folder), "ARGOCD_SSH_DATA_PATH": str(folder),
    }
