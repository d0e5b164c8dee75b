"""kube-controller-manager, with the controllers that a rollout rests on."""

from __future__ import annotations

from harness.platforms.local.config import LocalConfig
from harness.supervisor.component import Component, LogProbe

# The endpoint controllers stay off: the API refuses loopback addresses in endpoints (WorkloadEntries stand in for them).
CONTROLLERS = ("replicaset", "deployment", "garbagecollector", "namespace", "disruption")


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One controller manager that opens no port."""
    return (
        Component(
            name="kube-controller-manager",
            argv=(
                str(config.binaries["kube-controller-manager"]),
                f"--kubeconfig={config.kubeconfig('kube-controller-manager')}", f"--controllers={','.join(CONTROLLERS)}",
                # Each controller acts by its own service account, with the role that Kubernetes gives that controller.
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={config.paths.pki / 'service-accounts.key'}",
                "--leader-elect=false", "--secure-port=0", "--profiling=false",
            ),
            ready=LogProbe(pattern=r"Started controller.*replicaset|Starting controller.*replicaset"),
            needs=("roles",),
        ),
    )
