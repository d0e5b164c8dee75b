"""What must be in the API before anyone uses it: CRDs and roles, as upstream ships them, and our namespaces."""

from __future__ import annotations

from pathlib import Path

from harness.platforms.local import identities
from harness.platforms.local.config import LocalConfig
from harness.supervisor.component import Component

SERVED = (
    "analysisruns.argoproj.io", "rollouts.argoproj.io", "destinationrules.networking.istio.io", "gateways.networking.istio.io",
    "virtualservices.networking.istio.io", "workloadentries.networking.istio.io",
)
"""The CRDs without which nothing works here; not all 20, because kubectl asks for one after the other, 0.1 s each."""

ACCEPTED = "jsonpath={.status.acceptedNames.listKind}"
"""Asked for first: kubectl gives up on a condition of an object that is so new that it has no conditions yet, but waits for a
field that is not there yet. This one comes together with the conditions."""

INSTALLING = ("roles", "crds-argo-rollouts", "crds-istio")
"""The tasks that act as nobody may afterwards (identities.BOOTSTRAP): its kubeconfig is removed when the last of them is done."""


def components(config: LocalConfig) -> tuple[Component, ...]:
    """Tasks: roles and CRDs side by side, then a wait until the API serves what everything here rests on."""
    if config.seed:
        return _seeded(config)
    cache = config.paths.data / "kubectl"
    program, its_cache = str(config.binaries["kubectl"]), f"--cache-dir={cache}"
    kubectl = (program, f"--kubeconfig={config.paths.kubeconfig}", its_cache)
    env = config.kubectl_env
    first = config.kubeconfig(identities.BOOTSTRAP.name)
    apply = (program, f"--kubeconfig={first}", its_cache, "apply", "--server-side", "--field-manager=gateproof")
    manifest = config.binaries.manifest
    return (
        Component(
            name="roles",
            argv=(
                *apply, f"--filename={config.paths.config / 'platform.yaml'}",
                f"--filename={manifest('role-argo-rollouts.yaml')}", f"--filename={manifest('role-istiod.yaml')}",
            ),
            kind="task", env=env, needs=("kube-apiserver",),
        ),
        *(
            Component(
                name=f"crds-{part}", argv=(*apply, f"--filename={manifest(f'crds-{part}.yaml')}"),
                kind="task", env=env, needs=("kube-apiserver",),
            )
            for part in ("argo-rollouts", "istio")
        ),
        Component(
            name="bootstrap-over", argv=("/bin/rm", "-f", str(first)), kind="task",
            needs=INSTALLING,
        ),
        *(
            Component(
                name=name, argv=(*kubectl, "wait", f"--for={state}", "--timeout=30s", "crd", *SERVED),
                kind="task", env=env, needs=needs, start_timeout=35.0,
            )
            for name, state, needs in (
                ("crds-accepted", ACCEPTED, INSTALLING),
                ("crds-served", "condition=Established", ("crds-accepted",)),
            )
        ),
    )


def _seeded(config: LocalConfig) -> tuple[Component, ...]:
    """The same names for whoever needs them; what the seed brought is asked for instead, so that a bad one is found at once."""
    kubectl = (str(config.binaries["kubectl"]), f"--kubeconfig={config.paths.kubeconfig}", "get", "--raw")
    asked = {
        "roles": "/apis/rbac.authorization.k8s.io/v1/clusterroles/gateproof-node-agent",
        "crds-served": "/apis/argoproj.io/v1alpha1/rollouts?limit=1",
    }
    return tuple(
        Component(name=name, argv=(*kubectl, path), kind="task", env=config.kubectl_env, needs=("kube-apiserver",))
        for name, path in asked.items()
    )


def files(config: LocalConfig) -> dict[Path, str]:
    """Our namespaces, roles and bindings."""
    return {config.paths.config / "platform.yaml": identities.manifests()}
