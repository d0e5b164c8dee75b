"""An API server that writes down who asked it for what, and users of it who may do exactly what a test grants them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from chart_api import Api

POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}
USER = "runner"


def flags(folder: Path) -> tuple[str, ...]:
    """What has kube-apiserver write its audit log into this folder, each entry before the answer is given."""
    (folder / "audit-policy.json").write_text(json.dumps(POLICY))
    log = f"--audit-log-path={folder / 'audit.log'}"
    return f"--audit-policy-file={folder / 'audit-policy.json'}", log, "--audit-log-mode=blocking"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One line of the audit log."""

    user: str
    namespace: str
    group: str
    resource: str
    verb: str
    code: int

    @property
    def rights(self) -> set[tuple[str, str, str]]:
        """What it takes to be allowed this. An apply that makes its object (201) takes the right to create it too."""
        made = {"create"} if self.verb == "patch" and self.code == 201 else set()
        return {(self.group, self.resource, verb) for verb in {self.verb, *made}}


@dataclass(frozen=True, kw_only=True)
class Audited:
    """The server, its log, and the making of users."""

    api: Api
    folder: Path

    def user(self, namespace: str, role: Mapping[str, Any] | None) -> Path:
        """A namespace and a user with this Role in it; returns a kubeconfig that has the user as its one context, `runner`."""
        self.api.run("create", "namespace", namespace)
        self.api.run("create", "serviceaccount", USER, "--namespace", namespace)
        if role is not None:
            self.api.run("create", "--filename", "-", given=role)
            self.api.run("create", "rolebinding", "runner", "--namespace", namespace, f"--role={role['metadata']['name']}",
                         f"--serviceaccount={namespace}:{USER}")  # fmt: skip
        token = self.api.run("create", "token", USER, "--namespace", namespace).strip()
        given = json.loads(self.api.kubeconfig.read_text())
        file = self.folder / f"{namespace}.kubeconfig"
        file.write_text(json.dumps({
            "clusters": given["clusters"], "users": [{"name": USER, "user": {"token": token}}],
            "contexts": [{"name": USER, "context": {"cluster": given["clusters"][0]["name"], "user": USER}}],
        }))  # fmt: skip
        return file

    def requests(self, namespace: str) -> list[Request]:
        """What the user of this namespace has asked for, beyond what everybody may."""
        found = []
        for line in (self.folder / "audit.log").read_text().splitlines():
            event = json.loads(line)
            at = event.get("objectRef", {})
            if event["user"]["username"] != f"system:serviceaccount:{namespace}:{USER}" or "resource" not in at:
                continue
            if at["resource"] == "selfsubjectaccessreviews":
                continue
            resource = at["resource"] + (f"/{at['subresource']}" if at.get("subresource") else "")
            found.append(Request(
                user=event["user"]["username"], namespace=at.get("namespace", ""), group=at.get("apiGroup", ""),
                resource=resource, verb=event["verb"], code=event.get("responseStatus", {}).get("code", 0),
            ))  # fmt: skip
        return found


def answering(headers: Mapping[str, str]) -> Iterator[str]:
    """An HTTP server on loopback that answers everything with 200 and these headers; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
