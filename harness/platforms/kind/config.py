"""What a kind platform is made of this time: names, ports, programs, upstream's texts. PURE data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = "127.0.0.1"
CLUSTER = "gateproof"
"""The name of the kind cluster, and the beginning of the name of whatever Docker holds for us."""
NETWORK = "kind"
"""kind's own network, which all its clusters on this machine share."""
OWNER_LABEL = "io.gateproof.cluster"
FINGERPRINT_LABEL = "io.gateproof.fingerprint"
NETWORK_LABEL = "io.gateproof.network"
"""On the registry's container: `made` where there was no network of kind's before us, else `found`."""

OWN_NAMESPACE = "gateproof"
RECORD = "gateproof-setup"
"""A ConfigMap in OWN_NAMESPACE: by step, the fingerprint of what was installed last."""
MESH_NAMESPACE = "istio-system"
ROLLOUTS_NAMESPACE = "argo-rollouts"
ARGOCD_NAMESPACE = "argocd"
MONITORING_NAMESPACE = "monitoring"
APP_NAMESPACE = "webapp"
GATEWAY = "istio-ingressgateway"
MONITORING = "kube-prometheus"
PROMETHEUS_URL = f"http://{MONITORING}-prometheus.{MONITORING_NAMESPACE}.svc.cluster.local:9090"
"""For whoever is in the cluster."""
SCRAPE_SECONDS = 2
"""How often Prometheus asks the proxies: an analysis window wants at least four scrapes."""
GATEWAY_CONTAINER_PORT = 8081
"""The gateway's port inside the cluster, whatever it is outside."""
GIT_MOUNT = "/gateproof/git"
"""Where the cluster's node, and Argo CD's repo-server on it, have the folder of the repository, for reading."""
REPOSITORY = "webapp.git"
REPOSITORY_URL = f"file://{GIT_MOUNT}/{REPOSITORY}"
"""The repository as Argo CD reads it."""
GIT_SETTINGS = "gateproof-git"
"""A ConfigMap beside Argo CD: what its git must be told."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """TCP ports on 127.0.0.1 of this machine: the specification's, and Prometheus' own for its API."""

    gateway: int = 8081
    registry: int = 5001
    argocd: int = 8080
    rollouts: int = 3100
    grafana: int = 3000
    kiali: int = 20001
    prometheus: int = 9090


NODE_PORTS = {"gateway": 30081, "argocd": 30080, "rollouts": 30310, "grafana": 30300, "kiali": 30201, "prometheus": 30090}
"""Where the node of the cluster answers; kind maps each of our ports to one of these."""


@dataclass(frozen=True, kw_only=True)
class Programs:
    """The programs that are called, as they are called."""

    docker: str = "docker"
    kind: str = "kind"
    kubectl: str = "kubectl"
    helm: str = "helm"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Upstream's manifests, as texts, and the folder with Istio's charts (base, istiod, gateway)."""

    argo_cd: str
    argo_rollouts: str
    argo_rollouts_dashboard: str
    kiali: str
    charts: Path


@dataclass(frozen=True, kw_only=True)
class KindConfig:
    """Everything that the steps need; two equal configurations give the same steps, byte for byte."""

    folder: Path
    """Where the files that the commands name are written: values, manifests, kind's configuration, logs."""
    kubeconfig: Path
    sources: Sources
    git: Path
    """The folder of the repository in which releases are commits; the cluster's node has it too. The one around it is private."""
    programs: Programs = field(default_factory=Programs)
    ports: Ports = field(default_factory=Ports)
    cluster: str = CLUSTER
    source: Path = Path()
    """The repository, with the Dockerfile of the web app."""
    makes_network: bool = True
    """Whether kind's network was not there before this platform."""

    @property
    def context(self) -> str:
        """The kubeconfig's context, as kind names it."""
        return f"kind-{self.cluster}"

    @property
    def node(self) -> str:
        """The container that is the cluster's one node, as kind names it."""
        return f"{self.cluster}-control-plane"

    @property
    def registry(self) -> str:
        """The registry's container, which is also its host name for the nodes."""
        return f"{self.cluster}-registry"

    def image(self, version: str) -> str:
        """The web app's image of a version, by the name under which it is pushed here and pulled in the cluster."""
        return f"localhost:{self.ports.registry}/webapp:{version}"

    @property
    def files(self) -> Path:
        """The folder for the files that the commands name."""
        return self.folder / "files"
