"""kube-apiserver, with RBAC, certificates of the run's own CA and no anonymous access."""

from __future__ import annotations

from harness.platforms.local.config import LOOPBACK, LocalConfig
from harness.supervisor.component import Component, HttpProbe, Port


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One API server on loopback."""
    pki = config.paths.pki
    return (
        Component(
            name="kube-apiserver",
            # The CRDs' schemas make it by far the largest part. Collected more often it stays smaller, for 1 % of a core under
            # load; the limit is a soft one, beyond which it collects harder rather than grow.
            env={"GOGC": "50", "GOMEMLIMIT": "400MiB"},
            argv=(
                str(config.binaries["kube-apiserver"]),
                f"--etcd-servers=https://{LOOPBACK}:{config.ports.etcd}", f"--etcd-cafile={pki / 'etcd-ca.crt'}",
                f"--etcd-certfile={config.cert('etcd-client')}", f"--etcd-keyfile={config.key('etcd-client')}",
                f"--bind-address={LOOPBACK}", f"--secure-port={config.ports.apiserver}", f"--advertise-address={LOOPBACK}",
                f"--tls-cert-file={config.cert('apiserver')}", f"--tls-private-key-file={config.key('apiserver')}",
                f"--client-ca-file={pki / 'ca.crt'}", "--anonymous-auth=false", "--authorization-mode=RBAC",
                f"--service-account-key-file={pki / 'service-accounts.pub'}",
                f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
                "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/16",
                # There is no kubelet that could mount a token, and no endpoints controller (see node_agent.py).
                "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none",
                "--profiling=false",
            ),
            ports=(Port(name="https", host=LOOPBACK, number=config.ports.apiserver),),
            ready=HttpProbe(
                url=f"{config.apiserver_url}/readyz", ca_file=pki / "ca.crt",
                cert_file=config.cert("admin"), key_file=config.key("admin"),
            ),
            needs=("etcd",),
            start_timeout=60.0,
            # It would wait a minute for watches that are still open, and everybody has one. Its data ends with it: no harm done.
            stop_timeout=2.0,
        ),
    )
