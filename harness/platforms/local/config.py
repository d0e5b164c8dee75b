"""What the local platform is made of this time: folders, ports, programs. Plain data, handed to each component's function."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from harness.platforms.local.binaries import Binaries
from harness.platforms.local.gitops_programs import GitOpsPrograms
from harness.platforms.local.paths import RunPaths

LOOPBACK = "127.0.0.1"
GATEWAY_PORT = 8081
REGISTRY_PORT = 5001
CLUSTER = "gateproof"
NODE = "local"
MESH_NAMESPACE = "istio-system"
ROLLOUTS_NAMESPACE = "argo-rollouts"
APP_NAMESPACE = "webapp"
ARGOCD_NAMESPACE = "argocd"
SCRAPE_INTERVAL_SECONDS = 1


@dataclass(frozen=True, kw_only=True)
class Ports:
    """TCP ports on 127.0.0.1. The gateway's and the registry's are the specification's, the others are free ones.

    Those of GitOps are there in any case, and used where the platform has it.
    """

    apiserver: int
    etcd: int
    etcd_peer: int
    istiod_grpc: int
    istiod_http: int
    envoy_admin: int
    prometheus: int
    rollout_metrics: int
    git: int
    redis: int
    argocd_repo: int
    argocd_repo_metrics: int
    argocd_api: int
    argocd_api_metrics: int
    gateway: int = GATEWAY_PORT
    registry: int = REGISTRY_PORT

    @classmethod
    def free_names(cls) -> tuple[str, ...]:
        """The ports for which any free number will do."""
        return tuple(f.name for f in fields(cls) if f.name not in ("gateway", "registry"))


@dataclass(frozen=True, kw_only=True)
class LocalConfig:
    """Everything that the components' functions need; two equal configurations give the same plan, byte for byte."""

    paths: RunPaths
    ports: Ports
    binaries: Binaries
    envoy: Path
    python: Path
    source: Path
    """The folder that holds the package `harness`: child Python programs import it from there."""
    image_store: Path
    address_range: str = "127.77.0.0/16"
    """Loopback addresses for pods; none is given out twice while the platform lives."""

    seed: Path | None = None
    """What etcd starts with, so that the CRDs and roles need not be applied; None for an empty one."""
    gitops: GitOpsPrograms | None = None
    """What a platform with Argo CD needs beyond the others; None for one without."""

    @property
    def kubectl_env(self) -> dict[str, str]:
        """The whole environment of kubectl. Without a home of the run's it reads .kube/kuberc of wherever it is started."""
        return {"HOME": str(self.paths.data), "KUBERC": "off"}

    @property
    def git_root(self) -> Path:
        """The folder of the platform's Git repositories."""
        return self.paths.data / "git"

    @property
    def redis_credentials(self) -> Path:
        """A folder with Redis' password, in the form in which Argo CD reads it."""
        return self.paths.pki / "redis"

    @property
    def apiserver_url(self) -> str:
        """The API's own address, verified by the run's CA."""
        return f"https://{LOOPBACK}:{self.ports.apiserver}"

    @property
    def prometheus_url(self) -> str:
        """Prometheus' HTTP API."""
        return f"http://{LOOPBACK}:{self.ports.prometheus}"

    def kubeconfig(self, identity: str) -> Path:
        """The kubeconfig of one component's identity."""
        return self.paths.pki / f"{identity}.kubeconfig"

    def cert(self, name: str) -> Path:
        """A certificate of the run's own CA."""
        return self.paths.pki / f"{name}.crt"

    def key(self, name: str) -> Path:
        """A private key, readable by its owner alone."""
        return self.paths.pki / f"{name}.key"
