"""The local platform's own API server and etcd: who may do what there, and that nobody may do anything without a certificate."""

from __future__ import annotations

import base64
import datetime
import os
import ssl
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from harness.loopback import local_session
from harness.platforms.local import binaries
from harness.platforms.local.components import apiserver, bootstrap, etcd
from harness.platforms.local.config import LOOPBACK, LocalConfig
from harness.platforms.local.identities import ADMINS, CLIENTS
from harness.platforms.local.identity import VALID_FOR
from harness.platforms.local.paths import RunPaths
from harness.platforms.local.plan import configure, prepare
from harness.supervisor.plan import plan
from harness.supervisor.process import runnable_programs
from harness.supervisor.supervisor import Supervisor

NOBODY = 65534
DEADLINE = 30

# What each identity needs, and what is just beyond it: (verb, resource.group, namespace).
MAY = {
    "admin": ["* *.*", "escalate clusterroles.rbac.authorization.k8s.io", "get secrets webapp"],
    "kube-controller-manager": ["watch pods", "create serviceaccounts/token kube-system"],
    "argo-rollouts": ["patch virtualservices.networking.istio.io webapp", "create replicasets.apps webapp",
                      "create analysisruns.argoproj.io webapp"],
    "istiod": ["watch virtualservices.networking.istio.io", "update configmaps istio-system"],
    "prometheus": ["watch pods"],
    "rollout-metrics": ["watch rollouts.argoproj.io", "list analysisruns.argoproj.io"],
    "node-agent": ["create pods/binding webapp", "patch pods/status webapp", "create workloadentries.networking.istio.io webapp"],
}  # fmt: skip
MAY_NOT = {
    # Without a shared master key even the administrator is somebody whom the API server asks its rules about.
    "kube-controller-manager": ["delete nodes", "create clusterrolebindings.rbac.authorization.k8s.io", "create pods webapp"],
    "argo-rollouts": ["delete nodes", "create clusterrolebindings.rbac.authorization.k8s.io", "update pods/status webapp",
                      "impersonate users"],
    "istiod": ["create pods webapp", "patch rollouts.argoproj.io webapp", "update virtualservices.networking.istio.io webapp",
               "delete secrets webapp"],
    "prometheus": ["get secrets webapp", "delete pods webapp", "patch analysisruns.argoproj.io webapp", "get configmaps webapp"],
    "rollout-metrics": ["patch rollouts.argoproj.io webapp", "get secrets webapp", "list pods"],
    "node-agent": ["create pods webapp", "list secrets webapp", "patch rollouts.argoproj.io webapp",
                   "patch virtualservices.networking.istio.io webapp", "create clusterrolebindings.rbac.authorization.k8s.io"],
}  # fmt: skip


@pytest.fixture(scope="module")
def up() -> Iterator[LocalConfig]:
    """etcd and the API server as `harness up` starts them, with the roles; in a folder whose parents everybody may enter."""
    programs = binaries.find()
    assert programs is not None
    with tempfile.TemporaryDirectory(prefix="gateproof-identities-") as folder:
        Path(folder).chmod(0o755)
        paths = RunPaths(root=Path(folder) / "run")
        config = configure(paths, programs)
        prepare(config)
        declared = [each for module in (etcd, apiserver, bootstrap) for each in module.components(config)]
        with Supervisor(plan(declared, existing=runnable_programs(declared)), paths.logs) as supervisor:
            supervisor.start()
            yield config


def session(config: LocalConfig, identity: str | None) -> requests.Session:
    made = local_session()
    made.verify = str(config.paths.pki / "ca.crt")
    if identity:
        made.cert = (str(config.cert(identity)), str(config.key(identity)))
    return made


def allowed(config: LocalConfig, identity: str, right: str) -> bool:
    """What the API server says of `verb resource[.group] [namespace]`."""
    verb, what, *namespace = right.split()
    resource, _, group = what.partition(".")
    resource, _, subresource = resource.partition("/")
    asked = {"verb": verb, "resource": resource, "group": group, "subresource": subresource, "namespace": "".join(namespace)}
    answer = session(config, identity).post(
        f"{config.apiserver_url}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", timeout=DEADLINE,
        json={"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": asked}},
    )  # fmt: skip
    answer.raise_for_status()
    return bool(answer.json()["status"]["allowed"])


def test_every_identity_may_do_its_work_and_nothing_beyond_it(up: LocalConfig) -> None:
    assert set(MAY) == {identity.name for identity in CLIENTS}
    assert set(MAY_NOT) == set(MAY) - {"admin"}
    refused = [f"{who} may not {right}" for who, rights in MAY.items() for right in rights if not allowed(up, who, right)]
    granted = [f"{who} may {right}" for who, rights in MAY_NOT.items() for right in rights if allowed(up, who, right)]
    assert (refused, granted) == ([], [])


def certificates(config: LocalConfig) -> dict[str, x509.Certificate]:
    """Every client's and server's certificate in the run folder, those inside kubeconfigs too."""
    found = {path.name: path.read_bytes() for path in config.paths.pki.glob("*.crt")}
    for path in (config.paths.kubeconfig, *config.paths.pki.glob("*.kubeconfig")):
        user = yaml.safe_load(path.read_text())["users"][0]["user"]
        found[path.name] = base64.b64decode(user["client-certificate-data"])
    return {name: x509.load_pem_x509_certificate(pem) for name, pem in found.items()}


def test_nothing_in_the_run_folder_speaks_for_system_masters_and_everything_expires_within_the_week(up: LocalConfig) -> None:
    found = certificates(up)
    assert len(found) > 15
    groups = {
        name: [each.value for each in its.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        for name, its in found.items()
    }
    assert {name for name, its in groups.items() if its} == {"admin.crt", "admin.kubeconfig", "kubeconfig"}
    assert {value for its in groups.values() for value in its} == {ADMINS}
    now = datetime.datetime.now(datetime.UTC)
    assert max(each.not_valid_after_utc for each in found.values()) <= now + VALID_FOR
    # No authority's key was ever written: nobody can issue another certificate.
    assert list(up.paths.pki.glob("ca.key")) + list(up.paths.pki.glob("etcd-ca.key")) == []


@pytest.mark.parametrize("path", ["/", "/api", "/version", "/healthz", "/livez", "/readyz", "/metrics", "/api/v1/secrets"])
def test_the_api_answers_nobody_without_a_certificate(up: LocalConfig, path: str) -> None:
    assert session(up, None).get(up.apiserver_url + path, timeout=DEADLINE).status_code == 401


def test_etcd_answers_nobody_but_the_api_server(up: LocalConfig) -> None:
    asked = f"https://{LOOPBACK}:{up.ports.etcd}/version"
    made = local_session()
    made.verify = str(up.paths.pki / "etcd-ca.crt")
    for cert in (None, (str(up.cert("admin")), str(up.key("admin")))):
        made.cert = cert
        with pytest.raises((requests.ConnectionError, ssl.SSLError)):
            made.get(asked, timeout=DEADLINE)
    made.close()
    own = local_session()
    own.verify, own.cert = str(up.paths.pki / "etcd-ca.crt"), (str(up.cert("etcd-client")), str(up.key("etcd-client")))
    assert own.get(asked, timeout=DEADLINE).ok


READ = """
import os, sys
for path in sys.argv[1:]:
    try:
        (os.listdir if path.endswith("/") else open)(path)
        print("could read", path)
    except PermissionError:
        pass
print("tried", len(sys.argv) - 1)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user of the machine takes root")
def test_another_user_of_the_machine_can_read_nothing_of_a_run(up: LocalConfig) -> None:
    paths = up.paths
    (paths.root / "owner.log").touch()
    everything = [str(path) + ("/" if path.is_dir() else "") for path in (paths.root, *paths.root.rglob("*"))]
    assert stat.S_IMODE(paths.root.stat().st_mode) == stat.S_IMODE(paths.pki.stat().st_mode) == 0o700
    done = subprocess.run(
        [sys.executable if Path(sys.executable).is_relative_to("/usr") else "/usr/bin/python3", "-c", READ, *everything],
        user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"tried {len(everything)}"], done.stdout + done.stderr


def test_without_the_binding_the_administrator_is_nobody(up: LocalConfig) -> None:
    """Last: the group is an ordinary binding, and what is bound can be taken away. With system:masters it could not."""
    binding = f"{up.apiserver_url}/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/gateproof-admins"
    session(up, "admin").delete(binding, timeout=DEADLINE).raise_for_status()
    deadline = datetime.datetime.now() + datetime.timedelta(seconds=DEADLINE)
    while allowed(up, "admin", "get secrets webapp"):
        assert datetime.datetime.now() < deadline


