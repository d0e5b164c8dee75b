"""GitOps on a kind platform against a real API server with Argo CD's own definitions; nobody syncs there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_api import Api, api_server
from chart_support import CHART, PLATFORMS, Render

from harness.chart import Helm
from harness.gitops import delivery
from harness.gitops.argocd import ArgoCd
from harness.gitops.delivery import GitDelivery
from harness.gitops.manifests import RELEASED
from harness.platforms import Endpoints
from harness.platforms.kind import gitops, toolchain
from harness.platforms.kind.config import ARGOCD_NAMESPACE, REPOSITORY_URL, KindConfig
from harness.platforms.kind.upstream import changed, reads_folder
from harness.release import RELEASE, Chart
from harness.variants import BuiltImage

DIGEST = "sha256:" + 64 * "a"
REPO_SERVER = ("Deployment", "argocd-repo-server")
ANNOTATION_BYTES = 262144
"""What the annotations of an object may hold. Argo CD keeps the whole object in one."""


@pytest.fixture(scope="module")
def sources() -> str:
    return toolchain.ensure(print).sources().argo_cd


@pytest.fixture(scope="module")
def argo(bin_dir: Path, sources: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    definitions = [each for each in yaml.safe_load_all(sources) if each and each["kind"] == "CustomResourceDefinition"]
    with api_server(bin_dir, tmp_path_factory.mktemp("argo"), definitions) as running:
        running.run("create", "namespace", ARGOCD_NAMESPACE)
        yield running


@pytest.fixture
def endpoints(argo: Api, sources: str, tmp_path: Path) -> Endpoints:
    made = replace(toolchain.ensure(print).sources(), argo_cd=sources)
    config = KindConfig(folder=tmp_path, kubeconfig=argo.kubeconfig, sources=made, git=tmp_path / "private" / "git")
    config.git.mkdir(parents=True)
    context = yaml.safe_load(argo.kubeconfig.read_text())["current-context"]
    return Endpoints(
        kubeconfig=argo.kubeconfig, context=context, gateway_url="", prometheus_url="", registry="", namespace="webapp",
        scratch=tmp_path / "scratch", gitops=gitops.place(config),
    )  # fmt: skip


def test_a_release_is_a_commit_in_the_folder_and_an_application_that_names_it_and_can_be_withdrawn(
    argo: Api, endpoints: Endpoints, helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    chart = Chart(helm=helm, path=CHART, namespace="webapp", values_files=PLATFORMS["kind"], values={}, user_values={})
    assert endpoints.gitops
    made = GitDelivery(chart=chart, place=endpoints.gitops, endpoints=endpoints, check=lambda: None, say=lambda _: None)
    for tag in ("v1.0", "v1.1"):
        image = BuiltImage(repository="localhost:5001/webapp", tag=tag, digest=DIGEST, reference=f"localhost:5001/webapp:{tag}")
        made.apply(image, trial=tag)
    read = [str(endpoints.gitops.git), "--git-dir", endpoints.gitops.push_url, "show", f"main:{RELEASED}"]
    released = subprocess.run(read, capture_output=True, text=True, check=True, timeout=60).stdout
    assert yaml.safe_load(released)["image"] == {"repository": "localhost:5001/webapp", "tag": "v1.1", "digest": DIGEST}
    app = argo.get("applications.argoproj.io", RELEASE, ARGOCD_NAMESPACE)
    assert app["spec"]["source"]["repoURL"] == REPOSITORY_URL
    assert argo.get("appprojects.argoproj.io", "gateproof", ARGOCD_NAMESPACE)["spec"]["sourceRepos"] == [REPOSITORY_URL]

    said: list[str] = []
    monkeypatch.setattr(delivery, "REMOVE_SECONDS", 0.0)
    gitops.withdraw_what_is_left(endpoints, said.append)
    assert "was still there" in said[0], "its finalizer is Argo CD's to take away, and there is none"
    argo.run("patch", "applications.argoproj.io", RELEASE, f"--namespace={ARGOCD_NAMESPACE}", "--type=merge",
             "--patch", '{"metadata": {"finalizers": null}}')  # fmt: skip
    gitops.withdraw_what_is_left(endpoints, said.append)
    assert len(said) == 1
    where = {"kubeconfig": endpoints.kubeconfig, "context": endpoints.context}
    assert ArgoCd(**where, namespace=ARGOCD_NAMESPACE).get("applications", RELEASE) is None


def test_upstreams_repo_server_keeps_all_that_it_has_and_gets_the_folder(argo: Api, sources: str) -> None:
    before, after = (
        next(each for each in yaml.safe_load_all(text) if each and (each["kind"], each["metadata"]["name"]) == REPO_SERVER)
        for text in (sources, changed(sources, *REPO_SERVER, reads_folder))
    )
    argo.run("apply", "--server-side", "--dry-run=server", "--validate=strict", f"--namespace={ARGOCD_NAMESPACE}",
             "--filename", "-", given=after)  # fmt: skip
    pods = [each["spec"]["template"]["spec"] for each in (before, after)]
    assert pods[1]["volumes"][: len(pods[0]["volumes"])] == pods[0]["volumes"]
    containers = [each["containers"][0] for each in pods]
    for key in ("env", "volumeMounts"):
        assert containers[1][key][: len(containers[0][key])] == containers[0][key]
    assert "GIT_CONFIG_GLOBAL" not in {each["name"] for each in containers[0]["env"]}
    kept = {key: value for key, value in containers[1].items() if key not in {"env", "volumeMounts"}}
    assert kept == {key: value for key, value in containers[0].items() if key not in {"env", "volumeMounts"}}


def test_what_argo_cd_applies_on_kind_is_in_the_namespace_fits_and_is_not_completed_inside_lists(
    api: Api, render: Render
) -> None:
    """Else it could not apply it, or would call it OutOfSync for ever: to Argo CD a custom resource's list is one piece."""
    api.run("create", "namespace", "gitops-kind")
    compared = set()
    for (kind, name), made in render("kind").items():
        if "helm.sh/hook" in (made["metadata"].get("annotations") or {}):
            continue
        assert made["metadata"]["namespace"] == "webapp", (kind, name)
        assert len(json.dumps(made).encode()) < ANNOTATION_BYTES, (kind, name)
        moved = {**made, "metadata": {**made["metadata"], "namespace": "gitops-kind"}}
        api.run("apply", "--filename", "-", given=moved)
        group = made["apiVersion"].partition("/")[0]
        if "." in group and not group.endswith("k8s.io"):
            live = api.get(f"{kind}.{group}", name, "gitops-kind")
            assert lists(live["spec"]) == lists(made["spec"]), (kind, name)
            compared.add(kind)
    assert compared >= {"Rollout", "VirtualService", "DestinationRule", "Gateway", "AuthorizationPolicy"}


def lists(tree: Any, path: str = "") -> dict[str, Any]:
    """The outermost lists of an object, by where they are."""
    if isinstance(tree, list):
        return {path: tree}
    if not isinstance(tree, dict):
        return {}
    return {key: value for name, its in tree.items() for key, value in lists(its, f"{path}.{name}").items()}
