"""What a run asks of the API: the rights it needs and no more, as rules, as questions and as a Role to be applied.

A test runs a release with exactly this Role on a real API server, and once more without each of its rights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ROLE = "gateproof"
RBAC = "rbac.authorization.k8s.io"
VOWELS = frozenset("aeiou")

WATCHED = (("", "pods"), ("apps", "replicasets"), ("argoproj.io", "rollouts"), ("argoproj.io", "analysisruns"),
           ("networking.istio.io", "virtualservices"))  # fmt: skip
"""What the harness follows during a release."""
HELM_STORAGE = ("get", "list", "create", "update", "delete")
"""Helm keeps what it has installed in Secrets."""
HELM_OBJECTS = ("get", "create", "patch", "delete")
"""Helm applies what the chart renders to on the server's side, looks at what is there, and takes it away again."""


@dataclass(frozen=True, kw_only=True, order=True)
class Right:
    """One verb on one resource; `namespace` empty means the whole cluster."""

    group: str
    resource: str
    verb: str
    namespace: str = ""

    def __str__(self) -> str:
        """For people: create rollouts.argoproj.io in webapp."""
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {what}{where}"


def resource_of(kind: str) -> str:
    """The plural by which a Role names a kind.

    >>> [resource_of(kind) for kind in ("Service", "NetworkPolicy", "Gateway", "Ingress")]
    ['services', 'networkpolicies', 'gateways', 'ingresses']
    """
    name = kind.lower()
    if name.endswith(("s", "x", "ch", "sh")):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") and name[-2:-1] not in VOWELS else f"{name}s"


def kinds_of(objects: Iterable[Mapping[str, Any]]) -> frozenset[tuple[str, str]]:
    """The group and resource of each object that helm would make; pods of `helm test` are never made here."""
    found = set()
    for each in objects:
        if "helm.sh/hook" in (each.get("metadata", {}).get("annotations") or {}):
            continue
        group, slash, _ = str(each.get("apiVersion", "")).partition("/")
        found.add((group if slash else "", resource_of(str(each.get("kind", "")))))
    return frozenset(found)


def in_namespace(kinds: Iterable[tuple[str, str]], namespace: str) -> tuple[Right, ...]:
    """Every right that a run needs in a namespace that is there, for a chart that renders to these kinds."""
    wanted = {("", "namespaces", "get"), *((*each, verb) for each in WATCHED for verb in ("list", "watch"))}
    wanted |= {("", "secrets", verb) for verb in HELM_STORAGE}
    wanted |= {(*each, verb) for each in kinds for verb in HELM_OBJECTS}
    rights = (Right(group=group, resource=resource, verb=verb, namespace=namespace) for group, resource, verb in wanted)
    return tuple(sorted(rights))


def rules(rights: Iterable[Right]) -> list[dict[str, Any]]:
    """A Role's rules: resources of one group with the same verbs together."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in sorted(rights):
        verbs.setdefault((right.group, right.resource), []).append(right.verb)
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), its in verbs.items():
        together.setdefault((group, tuple(its)), []).append(resource)
    return [
        {"apiGroups": [group], "resources": sorted(resources), "verbs": list(its)}
        for (group, its), resources in sorted(together.items())
    ]


def manifest(rights: Iterable[Right], *, namespace: str, subject: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The Role of these rights, and its binding to whoever runs the harness."""
    meta = {"name": ROLE, "namespace": namespace}
    return [
        {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": dict(meta), "rules": rules(rights)},
        {
            "apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": dict(meta),
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": ROLE}, "subjects": [dict(subject)],
        },
    ]


def to_forward(namespace: str) -> tuple[Right, ...]:
    """What a port-forward to a Service of this namespace needs there: by WebSocket (get), or else by SPDY (create)."""
    wanted = {"services": ["get"], "pods": ["get", "list"], "pods/portforward": ["create", "get"]}
    return tuple(
        Right(group="", resource=resource, verb=verb, namespace=namespace) for resource, verbs in wanted.items() for verb in verbs
    )


def to_make_namespaces() -> tuple[Right, ...]:
    """What it takes to make a namespace for a run and to remove it again, which no Role can give."""
    return tuple(Right(group="", resource="namespaces", verb=verb) for verb in ("get", "create", "delete"))
