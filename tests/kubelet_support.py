"""A node whose kubelet does one thing, which is upstream's own code: it forwards ports, to this machine's loopback."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from harness.platforms.local import golang

MODULE = Path(__file__).parent / "kubelet"
NODE = "forwards"
BUILD_SECONDS = 300

Kubectl = Callable[..., str]
"""Runs kubectl with these arguments as an administrator; `given` is its standard input, as JSON."""


@contextlib.contextmanager
def forwarding_node(kubectl: Kubectl, folder: Path) -> Iterator[str]:
    """The node's name while it is there; its program is built into the folder."""
    program = folder / "kubelet"
    argv = [golang.go_program(), "build", "-trimpath", "-o", program, "."]
    built = subprocess.run(
        argv, cwd=MODULE, env=golang.environment(), capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    assert built.returncode == 0, built.stderr
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            port = urlsplit(process.stdout.readline().strip()).port
            kubectl("create", "--filename", "-", given={"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
            address = {"type": "InternalIP", "address": "127.0.0.1"}
            status = {"status": {"addresses": [address], "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}}
            kubectl("patch", "node", NODE, "--subresource=status", f"--patch={json.dumps(status)}")
            yield NODE
        finally:
            kubectl("delete", "node", NODE, "--ignore-not-found")
            process.terminate()


def service(kubectl: Kubectl, name: str, namespace: str, *, port: int, target: int) -> None:
    """A Service with a running pod on that node; what is sent to the Service's port arrives at `target` on loopback."""
    labels = {"app": name}
    pod = {"nodeName": NODE, "containers": [{"name": "app", "image": "registry.invalid/none"}]}
    spec = {"selector": labels, "ports": [{"port": port, "targetPort": target}]}
    for kind, its in (("Pod", pod), ("Service", spec)):
        kubectl("create", "--filename", "-", given={
            "apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": its,
        })  # fmt: skip
    running = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    kubectl("patch", "pod", name, "--namespace", namespace, "--subresource=status", f"--patch={json.dumps(running)}")
