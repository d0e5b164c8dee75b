"""istiod: turns the VirtualService that Argo Rollouts writes into the gateway's configuration."""

from __future__ import annotations

from pathlib import Path

import yaml

from harness.platforms.local.config import CLUSTER, LOOPBACK, MESH_NAMESPACE, LocalConfig
from harness.supervisor.component import Component, HttpProbe, Port

MESH = {
    "defaultProviders": {},
    "enablePrometheusMerge": False,
    "rootNamespace": MESH_NAMESPACE,
    # With automatic mTLS istiod names an SDS cluster that no agent serves here, and Envoy never opens its listener.
    "enableAutoMtls": False,
    "accessLogFile": "",
}
NO_ADDRESS = "192.0.2.1"
"""istiod's introspection (ControlZ) has no switch. On its port 9876 a PUT from anybody sends istiod SIGUSR1, which ends it, and
it shows istiod's environment. An address that no machine has (RFC 5737) makes it log one error and stay down; istiod runs on."""


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One istiod: plain XDS and debug ports on loopback, no certificate authority, no webhooks."""
    folder = config.paths.data / "istiod"
    return (
        Component(
            name="istiod",
            argv=(
                str(config.binaries["pilot-discovery"]), "discovery", f"--kubeconfig={config.kubeconfig('istiod')}",
                f"--meshConfig={config.paths.config / 'mesh.yaml'}", f"--httpAddr={LOOPBACK}:{config.ports.istiod_http}",
                f"--grpcAddr={LOOPBACK}:{config.ports.istiod_grpc}", "--httpsAddr=", "--secureGRPCAddr=", "--monitoringAddr=",
                f"--ctrlz_address={NO_ADDRESS}",
                "--registries=Kubernetes", f"--clusterID={CLUSTER}", f"--namespace={MESH_NAMESPACE}",
            ),
            env={
                "HOME": str(folder), "POD_NAME": "istiod-local", "POD_NAMESPACE": MESH_NAMESPACE, "CLUSTER_ID": CLUSTER,
                "ENABLE_CA_SERVER": "false", "PILOT_CERT_PROVIDER": "istiod", "ENABLE_DEBUG_ON_HTTP": "false",
                "INJECTION_WEBHOOK_CONFIG_NAME": "",
                "VALIDATION_WEBHOOK_CONFIG_NAME": "", "PILOT_ENABLE_ALPN_FILTER": "false",
                "PILOT_ENABLE_METADATA_EXCHANGE": "false",
            },
            # istiod writes into the folder that it is started in.
            cwd=folder,
            ports=(
                Port(name="http", host=LOOPBACK, number=config.ports.istiod_http),
                Port(name="grpc", host=LOOPBACK, number=config.ports.istiod_grpc),
            ),
            ready=HttpProbe(url=f"http://{LOOPBACK}:{config.ports.istiod_http}/ready"),
            needs=("crds-served", "roles"),
        ),
    )


def files(config: LocalConfig) -> dict[Path, str]:
    """The mesh's configuration."""
    return {config.paths.config / "mesh.yaml": yaml.safe_dump(MESH)}
