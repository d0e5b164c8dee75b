"""A mesh without a container: the platform's API server and istiod, with istiod's authority on, and a sidecar as a pod has it.

Every program is upstream's. What a cluster does with kernel and kubelet is done here instead: the inbound port is one that the
sidecar itself listens on (a `Sidecar` resource) rather than one that iptables redirects, and the token, the root certificate and
the pod's labels are put where the agent looks for them.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pilot_agent
import yaml
from e2e_support import ROOT, wait_until
from mesh_agents import GATEWAY, POD_ADDRESS, STRANGER, WEBAPP, Account, caller, gateway, sidecar
from mesh_calls import Address, App

from harness.chart import Helm
from harness.loopback import local_session
from harness.platforms.local import binaries, seed
from harness.platforms.local.components import apiserver, bootstrap, etcd, istiod
from harness.platforms.local.config import APP_NAMESPACE, LOOPBACK, LocalConfig
from harness.platforms.local.paths import RunPaths
from harness.platforms.local.plan import configure, prepare
from harness.supervisor.component import Component, Port
from harness.supervisor.plan import plan
from harness.supervisor.ports import free_port
from harness.supervisor.process import runnable_programs
from harness.supervisor.supervisor import Supervisor

Object = dict[str, Any]
CHART = ROOT / "charts" / "webapp"
ROUTES = ("ServiceAccount", "Service", "Gateway", "VirtualService", "DestinationRule")
POLICIES = ("PeerAuthentication", "AuthorizationPolicy")
"""What of the chart is brought into the cluster: the way to its pods by the gateway, and who may speak to them, and how."""
SECONDS = 60.0


class Refused(NamedTuple):
    """Connections that a sidecar has ended without an answer."""

    no_tls: int
    """Where TLS is all that it has a use for."""
    no_certificate: int
    other_authority: int


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """The API, istiod, and one pod of the chart: its sidecar and the app behind it."""

    config: LocalConfig
    folder: Path
    agent: Path
    app: App
    grpc_port: int
    inbound_port: int
    gateway_port: int
    admin_port: int

    @property
    def inbound(self) -> Address:
        """Where the pod is called, which is the sidecar."""
        return POD_ADDRESS, self.inbound_port

    @property
    def users_way(self) -> Address:
        """Where the gateway is called."""
        return LOOPBACK, self.gateway_port

    @property
    def roots(self) -> Path:
        """The mesh's root certificates."""
        return self.folder / "root-cert.pem"

    def home(self, account: Account) -> Path:
        """The folder that this account's agent is started in."""
        return self.folder / account[1]

    def certificate(self, account: Account) -> Path:
        """The folder with the certificate that istiod gave to this account."""
        return self.home(account) / "certs"

    def kubectl(self, *arguments: str, given: object = None) -> str:
        """What kubectl prints."""
        argv = [str(self.config.binaries["kubectl"]), f"--kubeconfig={self.config.paths.kubeconfig}", *arguments]
        done = subprocess.run(
            argv, input=None if given is None else json.dumps(given), env=self.config.kubectl_env, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, *objects: Object) -> None:
        """Bring these objects into the cluster."""
        self.kubectl("apply", "--server-side", "--filename=-", given={"apiVersion": "v1", "kind": "List", "items": objects})

    def chart(self, **values: object) -> list[Object]:
        """The chart as the kind platform has it, with these values changed."""
        helm = Helm(binary=self.config.binaries["helm"], kubeconfig=Path("/dev/null"), home=self.folder / "helm")
        given = {
            "network.port": self.inbound_port, "gateway.port": self.gateway_port, "gateway.bind": LOOPBACK, **values,
        }  # fmt: skip
        return helm.template("webapp", APP_NAMESPACE, CHART, values_files=[CHART / "values-kind.yaml"], set_values=given)

    def release(self, *, mode: str, authorization: bool) -> None:
        """Bring the chart's mesh policies into the cluster with this mode, and with or without the list of who may call."""
        objects = self.chart(**{"peerAuthentication.mode": mode, "authorizationPolicy.enabled": authorization})
        self.apply(*(each for each in objects if each["kind"] in POLICIES))
        if not authorization:
            self.kubectl("delete", "authorizationpolicy", "--all", f"--namespace={APP_NAMESPACE}")

    def refused(self) -> Refused:
        """The connections that the sidecar has ended so far, by its own reasons."""
        prefix = f"listener.{POD_ADDRESS}_{self.inbound_port}."
        url = f"http://{LOOPBACK}:{self.admin_port}/stats?format=json&filter=^{prefix}(no_filter_chain_match|ssl.fail_verify_.*)$"
        told = local_session().get(url, timeout=SECONDS).json()["stats"]
        found = {each["name"].removeprefix(prefix): int(each["value"]) for each in told}
        return Refused(
            no_tls=found.get("no_filter_chain_match", 0), no_certificate=found.get("ssl.fail_verify_no_cert", 0),
            other_authority=found.get("ssl.fail_verify_error", 0),
        )


@contextlib.contextmanager
def running_mesh(folder: Path, programs: binaries.Binaries) -> Iterator[Mesh]:
    """All of it, until the block ends."""
    config = configure(RunPaths(root=folder / "run"), programs, seeded=seed.find(programs))
    prepare(config)
    with App().running() as app:
        mesh = Mesh(
            config=config, folder=folder, agent=pilot_agent.program(), app=app, grpc_port=free_port(),
            inbound_port=free_port(POD_ADDRESS), gateway_port=free_port(), admin_port=free_port(),
        )
        (config.paths.config / "mesh.yaml").write_text(yaml.safe_dump(istiod.MESH | {"enableAutoMtls": True}))
        declared = [each for module in (etcd, apiserver, bootstrap) for each in module.components(config)]
        with up([*declared, with_authority(mesh)], config):
            labels = prepare_cluster(mesh)
            with up([sidecar(mesh, labels), gateway(mesh, {"istio": "ingressgateway"}), caller(mesh, STRANGER)], config):
                yield mesh


@contextlib.contextmanager
def up(components: list[Component], config: LocalConfig) -> Iterator[None]:
    """These programs, from all ready until the block ends."""
    with Supervisor(plan(components, existing=runnable_programs(components)), config.paths.logs) as supervisor:
        supervisor.start()
        yield


def with_authority(mesh: Mesh) -> Component:
    """The platform's istiod, but with its certificate authority, and with the port on which sidecars ask for certificates."""
    (made,) = istiod.components(mesh.config)
    changed = {
        "--secureGRPCAddr=": f"--secureGRPCAddr={LOOPBACK}:{mesh.grpc_port}",
        # It keeps the authority's key in a Secret. The platform's istiod has none, and so no right to.
        f"--kubeconfig={mesh.config.kubeconfig('istiod')}": f"--kubeconfig={mesh.config.paths.kubeconfig}",
    }
    assert set(changed) <= set(made.argv)
    return replace(
        made, argv=tuple(changed.get(each, each) for each in made.argv), env={**made.env, "ENABLE_CA_SERVER": "true"},
        ports=(*made.ports, Port(name="secure-grpc", host=LOOPBACK, number=mesh.grpc_port)),
    )  # fmt: skip


def prepare_cluster(mesh: Mesh) -> dict[str, str]:
    """The chart's pod and the way to it, and the mesh's root certificate in a file. Returns the pod's labels."""
    objects = mesh.chart()
    (rollout,) = (each for each in objects if each["kind"] == "Rollout")
    template = rollout["spec"]["template"]
    labels: dict[str, str] = template["metadata"]["labels"] | {"rollouts-pod-template-hash": "abc123"}
    meta = {"name": "webapp-abc123", "namespace": APP_NAMESPACE, "labels": labels}
    mesh.apply(
        *(each for each in objects if each["kind"] in ROUTES),
        *(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": namespace, "name": name}}
            for namespace, name in (GATEWAY, STRANGER)
        ),
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]},
        *reachable(mesh, meta, rollout["spec"]["selector"]["matchLabels"]),
    )
    status = {"phase": "Running", "podIP": POD_ADDRESS, "podIPs": [{"ip": POD_ADDRESS}]}
    mesh.kubectl("patch", "pod", str(meta["name"]), f"--namespace={APP_NAMESPACE}", "--subresource=status",
                 f"--patch={json.dumps({'status': status})}")  # fmt: skip
    mesh.roots.write_text(wait_until(lambda: root_certificate(mesh), what="istiod's root certificate", timeout=SECONDS))
    return labels


def reachable(mesh: Mesh, meta: Object, selector: Mapping[str, str]) -> tuple[Object, Object]:
    """What the pod's sidecar listens on, and its address as the node agent writes it down: the API takes no endpoint here."""
    ingress = {
        "bind": POD_ADDRESS, "port": {"number": mesh.inbound_port, "protocol": "HTTP", "name": "http"},
        "defaultEndpoint": f"{LOOPBACK}:{mesh.app.port}",
    }  # fmt: skip
    listens = {"workloadSelector": {"labels": selector}, "ingress": [ingress], "egress": [{"hosts": ["~/*"]}]}
    ports = {"http": mesh.inbound_port}
    address = {"address": POD_ADDRESS, "labels": meta["labels"], "serviceAccount": WEBAPP[1], "ports": ports}
    return (
        {"apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": meta, "spec": listens},
        {"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": meta, "spec": address},
    )


def root_certificate(mesh: Mesh) -> str:
    """What istiod put into the namespace for sidecars to trust; nothing while it has not."""
    found = mesh.kubectl(
        "get", "configmap", "istio-ca-root-cert", f"--namespace={APP_NAMESPACE}", "--ignore-not-found",
        r"--output=jsonpath={.data.root-cert\.pem}",
    )  # fmt: skip
    return str(found)
