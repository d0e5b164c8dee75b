"""etcd: the API's store. It answers only to the API server's certificate, so other users of the machine cannot read it."""

from __future__ import annotations

from harness.platforms.local.config import LOOPBACK, LocalConfig
from harness.supervisor.component import Component, HttpProbe, Port


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One member, with mutual TLS on both of its ports."""
    client, peer = f"https://{LOOPBACK}:{config.ports.etcd}", f"https://{LOOPBACK}:{config.ports.etcd_peer}"
    ca, cert, key = config.paths.pki / "etcd-ca.crt", config.cert("etcd"), config.key("etcd")
    return (
        Component(
            name="etcd",
            argv=(
                str(config.binaries["etcd"]), "--name=local", f"--data-dir={config.paths.data / 'etcd'}",
                f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=local={peer}",
                f"--cert-file={cert}", f"--key-file={key}", f"--trusted-ca-file={ca}", "--client-cert-auth",
                f"--peer-cert-file={cert}", f"--peer-key-file={key}", f"--peer-trusted-ca-file={ca}", "--peer-client-cert-auth",
                # One member votes for itself, after a time-out that is meant for many, far apart: with this it leads at once.
                "--heartbeat-interval=20", "--election-timeout=200",
                # A run's data is worth nothing after the run: no fsync, and far fewer writes to a shared disk.
                # Of its log, 64 MB a file, it needs what came after the last snapshot: not five files, which fifty releases fill.
                "--max-wals=2", "--max-snapshots=2",
                "--unsafe-no-fsync", "--log-level=warn",
            ),
            ports=(
                Port(name="client", host=LOOPBACK, number=config.ports.etcd),
                Port(name="peer", host=LOOPBACK, number=config.ports.etcd_peer),
            ),
            ready=HttpProbe(
                url=f"{client}/health", ca_file=ca, cert_file=config.cert("etcd-client"), key_file=config.key("etcd-client")
            ),
        ),
    )
