"""GitOps on a kind platform: where the repository is, and that nothing of it is left behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kind_cases import CONFIG

from harness.errors import PlatformError
from harness.gitops import argocd, delivery
from harness.gitops.argocd import ArgoCd
from harness.gitops.manifests import application, project
from harness.platforms import Endpoints
from harness.platforms.cluster.platform import ClusterPlatform
from harness.platforms.kind import gitops
from harness.platforms.kind.config import REPOSITORY_URL


def endpoints(folder: Path) -> Endpoints:
    return Endpoints(
        kubeconfig=folder / "kubeconfig", context="c", gateway_url="", prometheus_url="", registry="", namespace="webapp",
        scratch=folder, gitops=gitops.place(CONFIG), values={"gateway": {}},
    )  # fmt: skip


def test_argo_cd_is_told_of_the_repository_by_its_place_in_the_cluster() -> None:
    place = gitops.place(CONFIG)
    assert place.push_url == "/private/git/webapp.git"
    common: dict[str, Any] = {
        "namespace": place.namespace, "repo_url": place.repo_url, "destination": place.destination, "target": "webapp",
    }
    app = application("webapp", project="gateproof", branch=place.branch, **common)
    assert app["spec"]["source"]["repoURL"] == REPOSITORY_URL
    assert app["spec"]["destination"]["server"] == "https://kubernetes.default.svc"
    assert project("gateproof", **common)["spec"]["sourceRepos"] == [REPOSITORY_URL]
    # Argo CD writes a repository's address in small letters where it compares two.
    assert REPOSITORY_URL.lower() == REPOSITORY_URL


def test_a_lane_releases_by_helm(tmp_path: Path) -> None:
    inner = object.__new__(ClusterPlatform)
    inner.run_dir, inner.domain = tmp_path, "local"
    assert inner._in("webapp-a", "a", endpoints(tmp_path)).gitops is None


def test_what_stays_is_told_and_changes_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    gitops.withdraw_what_is_left(endpoints(tmp_path), said.append)
    assert "Argo CD cannot be asked" in said[0], "the kubeconfig is not there"
    monkeypatch.setattr(argocd.config, "new_client_from_config", lambda **_: None)
    monkeypatch.setattr(ArgoCd, "delete", lambda self, plural, name: True)
    monkeypatch.setattr(delivery, "REMOVE_SECONDS", 0.0)
    gitops.withdraw_what_is_left(endpoints(tmp_path), said.append)
    assert "note: not removed: the Application webapp was still there" in said[1]
    assert "down --platform kind" in said[1]
    monkeypatch.setattr(ArgoCd, "delete", lambda self, plural, name: False)
    gitops.withdraw_what_is_left(endpoints(tmp_path), said.append)
    assert len(said) == 2


def test_only_our_own_folder_goes(tmp_path: Path) -> None:
    config = replace(CONFIG, git=tmp_path / "private" / "git")
    (config.git / "webapp.git").mkdir(parents=True)
    (tmp_path / "private" / "somebody's").touch()
    gitops.forget(config)
    assert [path.name for path in (tmp_path / "private").iterdir()] == ["somebody's"]
    gitops.forget(config)


def test_a_folder_that_cannot_be_written_is_one_that_the_node_does_not_see(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="does not see the folder"):
        gitops.refuse_unseen(replace(CONFIG, git=tmp_path / "missing"), lambda *argv: "")
