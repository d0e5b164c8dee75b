"""Who talks to the API: one identity per component, each with the rights that its upstream role names and no more."""

from __future__ import annotations

import datetime
from typing import Any

import yaml

from harness.platforms.local import gitops
from harness.platforms.local.config import (
    APP_NAMESPACE,
    ARGOCD_NAMESPACE,
    CLUSTER,
    LOOPBACK,
    MESH_NAMESPACE,
    ROLLOUTS_NAMESPACE,
    LocalConfig,
)
from harness.platforms.local.identity import Identity, kubeconfig, write_private

ADMINS = "gateproof:admins"
"""The group that is bound to cluster-admin. Unlike system:masters, which is let through unasked, it has an ordinary binding,
which can be looked at and taken away."""
BOOTSTRAP = Identity(
    name="bootstrap", common_name="gateproof-bootstrap", groups=("system:masters",), valid_for=datetime.timedelta(minutes=10),
)
"""Who makes the first binding, as nobody else may on a new API server. Its one file is removed as soon as that is done."""
ADMIN = Identity(name="admin", common_name="gateproof-admin", groups=(ADMINS,))
"""The person who runs the harness: the run's kubeconfig."""
CLIENTS = (
    ADMIN,
    Identity(name="kube-controller-manager", common_name="system:kube-controller-manager"),
    Identity(name="argo-rollouts", common_name="argo-rollouts"),
    Identity(name="istiod", common_name="istiod"),
    Identity(name="prometheus", common_name="prometheus"),
    Identity(name="rollout-metrics", common_name="gateproof-rollout-metrics"),
    Identity(name="node-agent", common_name="gateproof-node-agent"),
)
GITOPS_CLIENTS = (
    Identity(name="argocd-application-controller", common_name="argocd-application-controller"),
    Identity(name="argocd-server", common_name="argocd-server"),
)
"""The repo-server has none: it only renders what Git holds, and never asks the API."""
APISERVER = Identity(
    name="apiserver", common_name="kube-apiserver",
    hosts=(LOOPBACK, "10.96.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"),
)
ETCD = Identity(name="etcd", common_name="etcd", hosts=(LOOPBACK, "localhost"))


def write(config: LocalConfig) -> None:
    """Make the run's keys, certificates and kubeconfigs. etcd has an authority of its own: only the API server may ask it."""
    from harness.platforms.local.certs import Authority, signing_key  # noqa: PLC0415 -- 0.07 s that only a start need wait for

    authority, etcd_authority = Authority(f"{CLUSTER}-ca"), Authority(f"{CLUSTER}-etcd-ca")
    pki = config.paths.pki
    for name, pem in (("ca", authority.pem), ("etcd-ca", etcd_authority.pem)):
        write_private(pki / f"{name}.crt", pem)
    private, public = signing_key()
    write_private(pki / "service-accounts.key", private)
    write_private(pki / "service-accounts.pub", public)
    etcd_client = Identity(name="etcd-client", common_name="kube-apiserver")
    for issuer, identity in ((authority, APISERVER), (etcd_authority, ETCD), (etcd_authority, etcd_client)):
        cert, key = issuer.issue(identity)
        write_private(config.cert(identity.name), cert)
        write_private(config.key(identity.name), key)
    # A seed brings the bindings along: then nobody has to make the first one.
    first = () if config.seed else (BOOTSTRAP,)
    for identity in (*first, *CLIENTS, *(GITOPS_CLIENTS if config.gitops else ())):
        cert, key = authority.issue(identity)
        if identity is not BOOTSTRAP:
            write_private(config.cert(identity.name), cert)
            write_private(config.key(identity.name), key)
        text = kubeconfig(
            cluster=CLUSTER, server=config.apiserver_url, ca=authority.pem, user=identity.common_name, cert=cert, key=key
        )
        write_private(config.kubeconfig(identity.name), text)
        if identity is ADMIN:
            write_private(config.paths.kubeconfig, text)
    if config.gitops:
        gitops.write(config, authority.pem)


def manifests() -> str:
    """Namespaces, and the roles that upstream does not ship, bound to the identities above."""
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in (APP_NAMESPACE, MESH_NAMESPACE, ROLLOUTS_NAMESPACE)
    ]
    objects += [
        _role("gateproof-prometheus", [_rule("", ["pods", "nodes", "services", "endpoints", "namespaces"], "get list watch")]),
        _role("gateproof-rollout-metrics", [_rule("argoproj.io", ["rollouts", "analysisruns"], "get list watch")]),
        _role("gateproof-node-agent", [
            _rule("", ["nodes", "nodes/status"], "get list watch create update patch"),
            _rule("", ["pods"], "get list watch delete"),
            _rule("", ["pods/binding"], "create"),
            _rule("", ["pods/status"], "get update patch"),
            _rule("", ["configmaps", "secrets"], "get"),
            _rule("", ["events"], "create patch update"),
            _rule("events.k8s.io", ["events"], "create patch update"),
            _rule("networking.istio.io", ["workloadentries"], "get list watch create update patch delete"),
            _rule("coordination.k8s.io", ["leases"], "get create update patch"),
        ]),
        # istiod elects leaders and keeps its own state in its namespace; upstream grants that by a namespaced role.
        _role("istiod-own-namespace", [
            _rule("", ["configmaps"], "get list watch create update delete"),
            _rule("coordination.k8s.io", ["leases"], "get update patch create"),
        ], namespace=MESH_NAMESPACE),
        _bind("gateproof-admins", "cluster-admin", ADMINS, subject="Group"),
        _bind("argo-rollouts", "argo-rollouts", "argo-rollouts"),
        _bind("istiod", "istiod-clusterrole-istio-system", "istiod"),
        _bind("istiod-gateway-controller", "istiod-gateway-controller-istio-system", "istiod"),
        _bind("istiod-own-namespace", "istiod-own-namespace", "istiod", namespace=MESH_NAMESPACE),
        _bind("gateproof-prometheus", "gateproof-prometheus", "prometheus"),
        _bind("gateproof-rollout-metrics", "gateproof-rollout-metrics", "gateproof-rollout-metrics"),
        _bind("gateproof-node-agent", "gateproof-node-agent", "gateproof-node-agent"),
    ]
    return yaml.safe_dump_all(objects, sort_keys=False)


def gitops_manifests() -> str:
    """Argo CD's namespace and settings, and upstream's roles (applied beside these) bound to the identities above."""
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ARGOCD_NAMESPACE}}, *gitops.settings(),
    ]
    for identity in GITOPS_CLIENTS:
        name = identity.common_name
        objects += [_bind(name, name, name), _bind(name, name, name, namespace=ARGOCD_NAMESPACE)]
    return yaml.safe_dump_all(objects, sort_keys=False)


def _rule(group: str, resources: list[str], verbs: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs.split()}


def _role(name: str, rules: list[dict[str, Any]], *, namespace: str | None = None) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role" if namespace else "ClusterRole",
        "metadata": metadata, "rules": rules,
    }


def _bind(name: str, role: str, user: str, *, namespace: str | None = None, subject: str = "User") -> dict[str, Any]:
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": f"{kind}Binding", "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": subject, "name": user}],
    }


