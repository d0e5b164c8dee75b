"""A bare Kubernetes API (etcd and kube-apiserver, nothing else) on loopback, for questions only the real one can answer."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Object = dict[str, Any]
DEADLINE = 60  # seconds


@dataclass(frozen=True, kw_only=True)
class Api:
    """The server, through kubectl."""

    kubectl: Path
    kubeconfig: Path

    def run(self, *arguments: str, given: object = None) -> str:
        """What kubectl prints; `given` is its standard input, as JSON."""
        done = subprocess.run(
            [self.kubectl, "--kubeconfig", self.kubeconfig, "--cache-dir", self.kubeconfig.parent / "cache", *arguments],
            input=None if given is None else json.dumps(given),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, resource: str, name: str, namespace: str) -> Object:
        found: Object = json.loads(self.run("get", resource, name, "--namespace", namespace, "--output", "json"))
        return found

    def replace(self, changed: Object, *, manager: str) -> None:
        """Write an object back as this field manager, the way controllers do."""
        self.run("replace", "--field-manager", manager, "--filename", "-", given=changed)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@contextlib.contextmanager
def process(folder: Path, argv: list[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that ends with the block; its output goes to <folder>/<name>.log."""
    with (folder / f"{Path(argv[0]).name}.log").open("wb") as log:
        started = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(timeout=10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextlib.contextmanager
def api_server(bin_dir: Path, folder: Path, definitions: list[Object], *, flags: Sequence[str] = ()) -> Iterator[Api]:
    """The API with these CustomResourceDefinitions and further flags, from ready until the block ends."""
    client_port, peer_port, api_port = free_ports(3)
    client, peer = (f"http://127.0.0.1:{port}" for port in (client_port, peer_port))
    key = folder / "service-account.key"
    key.write_bytes(
        rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    token = secrets.token_hex()
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    kubeconfig = folder / "kubeconfig.json"
    cluster = {"server": f"https://127.0.0.1:{api_port}", "certificate-authority": str(folder / "certs" / "apiserver.crt")}
    kubeconfig.write_text(
        json.dumps(
            {
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "admin", "user": {"token": token}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
                "current-context": "test",
            }
        )
    )
    etcd: list[str | Path] = [
        bin_dir / "etcd",
        "--data-dir=etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=error",
    ]
    apiserver: list[str | Path] = [
        bin_dir / "kube-apiserver",
        f"--etcd-servers={client}",
        "--cert-dir=certs",
        "--bind-address=127.0.0.1",
        f"--secure-port={api_port}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://test.invalid",
        "--token-auth-file=tokens.csv",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none",
        *flags,
    ]
    api = Api(kubectl=bin_dir / "kubectl", kubeconfig=kubeconfig)
    with process(folder, etcd), process(folder, apiserver) as server:
        _wait_ready(api, server, folder / "kube-apiserver.log")
        given = {"apiVersion": "v1", "kind": "List", "items": definitions}
        api.run("apply", "--server-side", "--filename", "-", given=given)
        # First a field that comes with the conditions: kubectl gives up on an object that has none yet.
        api.run("wait", "--for=jsonpath={.status.acceptedNames.listKind}", f"--timeout={DEADLINE}s", "crd", "--all")
        api.run("wait", "--for=condition=Established", f"--timeout={DEADLINE}s", "crd", "--all")
        yield api


def _wait_ready(api: Api, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            api.run("get", "--raw", "/readyz")
        except AssertionError:
            assert server.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.2)  # between two looks; the condition is the answer, not the time
        else:
            return
