"""What lies in the repository, and what Argo CD is told about it. PURE: no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from harness.errors import UsageError

CHART, VALUES, RELEASED, USER = "chart", "deploy/values.yaml", "deploy/release.yaml", "deploy/user.yaml"
"""Places in the repository: the chart, what holds for every release, the image that is released, what the user sets beside it."""
FINALIZER = "resources-finalizer.argocd.argoproj.io"
IGNORED: tuple[Mapping[str, Any], ...] = (
    {"group": "networking.istio.io", "kind": "VirtualService", "jqPathExpressions": [".spec.http[].route[].weight"]},
    {
        "group": "networking.istio.io", "kind": "DestinationRule",
        "jqPathExpressions": ['.spec.subsets[].labels."rollouts-pod-template-hash"'],
    },
    {"group": "", "kind": "Service", "jqPathExpressions": ['.spec.selector."rollouts-pod-template-hash"']},
)  # fmt: skip
"""What the rollouts controller writes into objects of the chart. Not by managedFieldsManagers, which would blind Argo CD to every
later change of the whole field (argo-rollouts #3854)."""
SYNC_OPTIONS = ("CreateNamespace=true", "ApplyOutOfSyncOnly=true", "RespectIgnoreDifferences=true")
"""The last is what makes a sync leave alone what the comparison ignores."""
SYNC_EVERYTHING = ("CreateNamespace=true", "RespectIgnoreDifferences=true")
"""The same for a sync that applies every object, also those in which nothing differs."""


def release_file(*, repository: str, tag: str, digest: str, annotations: Mapping[str, str]) -> str:
    """The values file that a pipeline rewrites with each release. Raises UsageError for what is no image."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise UsageError(f"{digest!r} is no image digest: give sha256: and 64 hexadecimal digits")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", tag):
        raise UsageError(f"{tag!r} is no image tag")
    values = {"image": {"repository": repository, "tag": tag, "digest": digest}, "podAnnotations": dict(annotations)}
    return "# Written by the pipeline, one commit for each release.\n" + yaml.safe_dump(values, sort_keys=False)


def project(name: str, *, namespace: str, repo_url: str, destination: str, target: str) -> dict[str, Any]:
    """An AppProject: from this repository alone, into this namespace alone, and nothing that is the cluster's."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "sourceRepos": [repo_url],
            "destinations": [{"server": destination, "namespace": target}],
            "clusterResourceWhitelist": [{"group": "", "kind": "Namespace"}],
        },
    }


def application(
    name: str, *, project: str, namespace: str, repo_url: str, branch: str, destination: str, target: str,
    autoscaled: bool = False,
) -> dict[str, Any]:
    """An Application that syncs by itself, prunes, heals, and leaves to the rollouts controller what is its."""
    replicas = {"group": "argoproj.io", "kind": "Rollout", "jsonPointers": ["/spec/replicas"]}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name, "namespace": namespace, "finalizers": [FINALIZER]},
        "spec": {
            "project": project,
            "source": {
                "repoURL": repo_url, "targetRevision": branch, "path": CHART,
                "helm": {"releaseName": name, "valueFiles": [f"/{each}" for each in (VALUES, RELEASED, USER)]},
            },
            "destination": {"server": destination, "namespace": target},
            "ignoreDifferences": [*map(dict, IGNORED), *([replicas] if autoscaled else [])],
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}, "syncOptions": list(SYNC_OPTIONS)},
        },
    }  # fmt: skip
