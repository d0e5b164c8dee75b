"""A real etcd, kube-apiserver and registry, and the node agent as a process: what test_node_agent.py runs against."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from harness.images import ImageConfig
from harness.images.build import push_image
from harness.images.layers import write_layer
from harness.platforms.local.certs import Authority, signing_key
from harness.platforms.local.identities import manifests
from harness.platforms.local.identity import Identity, kubeconfig, write_private
from harness.platforms.local.node.api import Api
from harness.platforms.local.node.processes import MARKER
from harness.supervisor.spawn import spawn

NODE = "e2e-node"
APP = """
import http.server, os, signal, sys, time
if "EXIT" in os.environ:
    print("leaving with", os.environ["EXIT"]); sys.exit(int(os.environ["EXIT"]))
notes = os.environ.get("NOTES")
def note(text):
    if notes:
        with open(notes, "a") as out: out.write(f"{time.time()} {text}\\n")
def term(*_):
    note("SIGTERM"); sys.exit(0)
signal.signal(signal.SIGTERM, term)
healthy = {"/readyz": 200, "/healthz": 200}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path.startswith("/set"):
            healthy[query.split("=")[0]] = int(query.split("=")[1])
        note(self.path)
        self.send_response(healthy.get(path, 200)); self.end_headers()
        self.wfile.write(repr(dict(os.environ)).encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""


def until(what: str, look: Callable[[], Any], seconds: float = 15.0) -> Any:
    """The first true value of `look`, or a failure that says what was waited for."""
    deadline, value = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        value = look()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s; last seen: {value!r}")


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


class Cluster:
    """The programs, and what tests do with them."""

    def __init__(self, folder: Path, bin_dir: Path, crd_dir: Path) -> None:
        self.folder, self.bin, self._crds = folder, bin_dir, crd_dir
        self.etcd_port, self.peer_port, self.api_port, self.registry_port = free_ports(4)
        self.kubeconfig, self.agent_kubeconfig = folder / "admin.kubeconfig", folder / "agent.kubeconfig"
        self._children: list[subprocess.Popen[bytes]] = []
        self._namespaces = 0
        self._write_pki()
        self.image = f"localhost:{self.registry_port}/app:v1"

    def _write_pki(self) -> None:
        authority = Authority("e2e")
        server = f"https://127.0.0.1:{self.api_port}"
        (self.folder / "ca.crt").write_bytes(authority.pem)
        cert, key = authority.issue(Identity(name="api", common_name="api", hosts=("127.0.0.1", "localhost")))
        write_private(self.folder / "api.crt", cert)
        write_private(self.folder / "api.key", key)
        private, public = signing_key()
        write_private(self.folder / "sa.key", private)
        write_private(self.folder / "sa.pub", public)
        for path, name, groups in (
            (self.kubeconfig, "admin", ("system:masters",)),
            (self.agent_kubeconfig, "gateproof-node-agent", ()),
        ):
            cert, key = authority.issue(Identity(name=name, common_name=name, groups=groups))
            write_private(path, kubeconfig(cluster="e2e", server=server, ca=authority.pem, user=name, cert=cert, key=key))

    def spawn(self, name: str, *argv: str) -> subprocess.Popen[bytes]:
        """Start a program that dies with this process; its output goes to `name`.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), "HOME": str(self.folder)}
            child = spawn(argv, env=env, cwd=self.folder, output=log).result()
        self._children.append(child)
        return child

    def start_apiserver(self) -> subprocess.Popen[bytes]:
        """A kube-apiserver with RBAC; returns once it is ready."""
        f = self.folder
        child = self.spawn(
            "apiserver", str(self.bin / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            "--bind-address=127.0.0.1", f"--secure-port={self.api_port}", f"--tls-cert-file={f}/api.crt",
            f"--tls-private-key-file={f}/api.key", f"--client-ca-file={f}/ca.crt", "--authorization-mode=RBAC",
            f"--service-account-key-file={f}/sa.pub", f"--service-account-signing-key-file={f}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/16",
            "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none", "--profiling=false",
        )  # fmt: skip
        api = Api(self.kubeconfig)
        until("kube-apiserver ready", lambda: api.call("GET", "/readyz").ok, 60)
        return child

    def start(self) -> None:
        """etcd, API server, registry, CRDs, roles, and the image of APP."""
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        self.spawn(
            "etcd", str(self.bin / "etcd"), f"--data-dir={self.folder / 'etcd'}", f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}", "--unsafe-no-fsync", "--log-level=warn",
            f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        )  # fmt: skip
        config = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "registry")}},
            "http": {"addr": f"127.0.0.1:{self.registry_port}"},
        }
        (self.folder / "registry.yml").write_text(yaml.safe_dump(config))
        self.spawn("registry", str(self.bin / "registry"), "serve", str(self.folder / "registry.yml"))
        self.apiserver = self.start_apiserver()
        crds = [
            c
            for c in yaml.safe_load_all((self._crds / "crds-istio.yaml").read_text())
            if c and c["spec"]["names"]["kind"] == "WorkloadEntry"
        ]
        (self.folder / "crds.yaml").write_text(yaml.safe_dump_all(crds))
        (self.folder / "roles.yaml").write_text(manifests())
        for name in ("crds.yaml", "roles.yaml"):
            subprocess.run(
                [self.bin / "kubectl", f"--kubeconfig={self.kubeconfig}", "apply", "-f", self.folder / name],
                check=True,
                timeout=60,
            )
        self.api = Api(self.kubeconfig)
        self.push("v1")

    def push(self, tag: str, marker: str = "") -> str:
        """Push APP as an image, another one for each `marker`; returns its reference by tag."""
        layer = write_layer(self.folder / "layer.tar", [("app/app.py", APP.encode())])
        config = ImageConfig(
            entrypoint=("python3", "/app/app.py"), env={"FROM_IMAGE": "yes", "MARKER": marker}, working_dir="/app"
        )
        reference = f"localhost:{self.registry_port}/app:{tag}"
        push_image(crane=self.bin / "crane", reference=reference, layers=[layer], config=config)
        return reference

    def start_agent(self) -> subprocess.Popen[bytes]:
        """The node agent as the platform starts it; returns once it says that it is ready."""
        log = self.folder / "agent.log"
        seen = log.read_text().count("node agent ready") if log.exists() else 0
        child = self.spawn(
            "agent", sys.executable, "-m", "harness.platforms.local.node",
            f"--kubeconfig={self.agent_kubeconfig}", f"--node-name={NODE}",
            f"--state-dir={self.folder / 'node'}", f"--crane={self.bin / 'crane'}", f"--image-store={self.folder / 'images'}",
            f"--address-range={self.address_range}",
        )  # fmt: skip
        until("node agent ready", lambda: log.read_text().count("node agent ready") > seen or child.poll() is not None, 30)
        assert child.poll() is None, self.agent_log()
        return child

    @property
    def address_range(self) -> str:
        """A range of its own for this test run, so that two runs on one machine do not meet."""
        return f"127.{100 + self.api_port % 100}.0.0/16"

    def agent_log(self) -> str:
        """What the agent said."""
        return (self.folder / "agent.log").read_text()

    def namespace(self) -> str:
        """A fresh namespace."""
        self._namespaces += 1
        name = f"t{self._namespaces}"
        assert self.api.call("POST", "/api/v1/namespaces", body={"metadata": {"name": name}}).ok
        return name

    def create(self, ns: str, name: str, container: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
        """POST a pod with one container of the test image, its address in POD_IP."""
        env = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, *container.get("env", ())]
        main = {"name": "app", "image": self.image, **container, "env": env}
        body = {"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [main], **spec}}
        answer = self.api.call("POST", f"/api/v1/namespaces/{ns}/pods", body=body)
        assert answer.ok, answer.why
        return dict(answer.body)

    def pod(self, ns: str, name: str) -> dict[str, Any]:
        """The pod now, or an empty dict."""
        answer = self.api.call("GET", f"/api/v1/namespaces/{ns}/pods/{name}")
        return dict(answer.body) if answer.ok else {}

    def entry(self, ns: str, name: str) -> dict[str, Any]:
        """The pod's WorkloadEntry now, or an empty dict."""
        answer = self.api.call("GET", f"/apis/networking.istio.io/v1/namespaces/{ns}/workloadentries/{name}")
        return dict(answer.body) if answer.ok else {}

    def delete(self, ns: str, name: str, grace: int | None = None) -> None:
        """DELETE the pod."""
        body = {} if grace is None else {"gracePeriodSeconds": grace}
        assert self.api.call("DELETE", f"/api/v1/namespaces/{ns}/pods/{name}", body=body).ok

    def events(self, ns: str) -> list[tuple[str, str]]:
        """Reason and message of all events."""
        return [(e["reason"], e["message"]) for e in self.api.call("GET", f"/api/v1/namespaces/{ns}/events").body["items"]]

    def processes(self, uid: str) -> list[psutil.Process]:
        """Living processes of a pod, by their marker."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARKER, "").startswith(uid) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def stop(self) -> None:
        """Everything that was started here."""
        for child in reversed(self._children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(2)  # the API server would wait a minute for open watches
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's Ready condition is true."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def waiting(pod: Mapping[str, Any]) -> str:
    """The waiting reason of the first container."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return str(((statuses[0].get("state") or {}).get("waiting") or {}).get("reason") or "")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, bin_dir: Path, crd_dir: Path) -> Iterator[Cluster]:
    """A cluster for one module, without the agent."""
    made = Cluster(tmp_path_factory.mktemp("cluster"), bin_dir, crd_dir)
    try:
        made.start()
        yield made
    finally:
        made.stop()
