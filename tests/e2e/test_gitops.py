"""The whole loop with a real Argo CD: commit, sync, canary, promote; and commit, canary, rollback, Degraded, revert, Healthy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e_support import Place, new_place, ours, outcome, run, wait_until

from harness.gitops.argocd import ArgoCd
from harness.gitops.delivery import FINISHED
from harness.gitops.manifests import USER
from harness.gitops.repository import Repository
from harness.observation.gitops import AppState, parse_application
from harness.platforms.catalog import PlatformOptions, make
from harness.platforms.local import gitops_programs
from harness.release import RELEASE
from harness.watch import Watcher

# Long enough for the sync in the middle, which takes 3 to 5 s on two processors that have all of this to do.
SHORT = ("--gitops", "--window", "15", "--rps", "60", "--output", "json")
# The first test waits for Argo CD's build, where it is not there yet.
pytestmark = pytest.mark.timeout(1200)
MIDDLE = "sync in the middle of the canary"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, bin_dir: Path) -> Iterator[Place]:
    """A platform with Argo CD, which is built first where it is not there yet."""
    gitops_programs.ensure(lambda line: print(line, file=sys.stderr))
    made = new_place(tmp_path_factory.mktemp("gitops"))
    up = run("up", "--gitops", place=made)
    assert up.code == 0, up.err
    yield made
    assert run("down", place=made).code == 0
    assert ours(made) == []


def test_a_commit_is_synced_and_promoted(place: Place) -> None:
    ended = run("success", *SHORT, "--keep", place=place)
    assert ended.code == 0, outcome(ended)
    told = ended.report["gitops"]
    assert told["release"]["sha"] in {state["synced_revision"] for state in told["states"]}
    assert any(each.startswith("VirtualService/") for each in told["sync"]["applied"])
    assert (told["decided"]["sync"], told["decided"]["health"]) == ("Synced", "Healthy")
    assert told["revert"] is None
    assert ended.check(MIDDLE)["passed"]
    assert ended.check("user requests")["actual"].startswith("0 of ")


def test_what_is_beside_the_weights_waits_for_a_sync_that_does_not_keep_them(place: Place) -> None:
    """A limit of Argo CD's that docs/gitops.md tells of; the day it is gone, this fails."""
    local = make(PlatformOptions(
        name="local", run_dir=place.run_dir, gateway_port=place.gateway_port, registry_port=place.registry_port, gitops=True
    ))  # fmt: skip
    endpoints = local.endpoints()
    assert endpoints.gitops
    where = {"kubeconfig": endpoints.kubeconfig, "context": endpoints.context}
    argocd = ArgoCd(**where, namespace=endpoints.gitops.namespace)
    repository = Repository(
        git=endpoints.gitops.git, push_url=endpoints.gitops.push_url, branch="main", work=endpoints.scratch / "repository"
    )
    watcher = Watcher(**where, namespace=endpoints.namespace)
    watcher.start()

    def now() -> AppState:
        return parse_application(argocd.get("applications", RELEASE) or {}, 0.0)

    def http() -> dict[str, Any]:
        found: dict[str, Any] = (watcher.get("virtualservices", RELEASE) or {})["spec"]["http"][0]
        return found

    try:
        commit = repository.commit("Another time-out", files={USER: "virtualService: {timeout: 9s}\n"})
        argocd.refresh(RELEASE)
        wait_until(
            lambda: now().synced_revision == commit.sha and now().operation == "Succeeded", what="Argo CD's own sync", timeout=60
        )
        wait_until(lambda: now().sync == "OutOfSync", what="that it is out of sync all the same", timeout=30)
        assert http()["timeout"] == "10s"

        def taken() -> bool:
            # Argo CD goes on healing by itself, and forgets what is asked of it in the middle of that.
            if http()["timeout"] != "9s" and now().operation in FINISHED:
                argocd.sync(RELEASE, revision=commit.sha, options=("ApplyOutOfSyncOnly=true",), by="test")
            return http()["timeout"] == "9s" and now().sync == "Synced"

        wait_until(taken, what="the sync that takes it", timeout=60)
        assert [each["weight"] for each in http()["route"]] == [100, 0]
    finally:
        watcher.stop()


def test_a_commit_is_rolled_back_shown_as_degraded_and_reverted(place: Place) -> None:
    ended = run("failure", *SHORT, place=place)
    assert ended.code == 0, outcome(ended)
    told = ended.report["gitops"]
    assert (told["decided"]["sync"], told["decided"]["health"]) == ("Synced", "Degraded")
    assert told["revert"]["subject"] == 'Revert "Release v1.1"'
    assert (told["reverted"]["health"], told["reverted"]["revision"]) == ("Healthy", told["revert"]["sha"])
    assert ended.check(MIDDLE)["passed"]
    assert ended.check("served after the revert")["actual"] == "60 of 60 answers from v1.0"


def test_nothing_of_it_listens_beyond_loopback(place: Place) -> None:
    mine = {int(line.split()[0]) for line in ours(place)}
    listening = [
        (psutil.Process(each.pid).name(), each.laddr)
        for each in psutil.net_connections("inet")
        if each.pid in mine and each.status == psutil.CONN_LISTEN
    ]
    assert {"argocd", "valkey-server"} <= {name for name, _ in listening}
    assert [(name, where) for name, where in listening if not where.ip.startswith("127.")] == []


def test_a_release_by_helm_takes_over_from_argo_cd(place: Place) -> None:
    kept = run("failure", *SHORT, "--keep", place=place)
    assert kept.code == 0, outcome(kept)
    ended = run("success", "--window", "8", "--rps", "60", "--output", "json", place=place)
    assert ended.code == 0, outcome(ended)
    assert ended.report["gitops"] is None


def test_a_platform_without_argo_cd_is_told_apart(platform: Place) -> None:
    ended = run("success", "--gitops", place=platform)
    assert ended.code == 2
    assert "is up without Argo CD" in ended.error
