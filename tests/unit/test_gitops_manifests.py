"""What Argo CD is told: held against GATE.md's rules by our own lint, and the values file of a pipeline."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import test_verdict_gitops as by_commit
import verdict_world as w
import yaml

from harness.errors import UsageError
from harness.gitops.manifests import IGNORED, SYNC_EVERYTHING, SYNC_OPTIONS, application, project, release_file
from harness.lint.check import lint
from harness.lint.model import Options
from harness.lint.source import documents
from harness.report import PlatformFacts, build_report, render_html, render_json, render_text
from harness.verdict import judge

DIGEST = "sha256:" + "0123456789abcdef" * 4
WHERE: dict[str, Any] = {
    "namespace": "argocd", "repo_url": "http://git/release.git", "destination": "https://api", "target": "webapp",
}  # fmt: skip


def app(**more: Any) -> dict[str, Any]:
    return application("webapp", project="gateproof", branch="main", **WHERE, **more)


def test_our_own_lint_finds_nothing_in_the_application() -> None:
    assert found(app()) == set()


def found(made: dict[str, Any]) -> set[str]:
    return {finding.rule.id for finding in lint(documents("application.yaml", yaml.safe_dump(made)), Options())}


def test_the_same_lint_finds_what_fights_the_weights() -> None:
    made = app()
    made["spec"]["syncPolicy"]["syncOptions"].remove("RespectIgnoreDifferences=true")
    assert found(made) == {"GP602"}


def test_every_sync_leaves_alone_what_the_comparison_ignores() -> None:
    assert "RespectIgnoreDifferences=true" in SYNC_OPTIONS
    assert "RespectIgnoreDifferences=true" in SYNC_EVERYTHING
    assert "ApplyOutOfSyncOnly=true" not in SYNC_EVERYTHING
    assert not any("managedFieldsManagers" in each for each in IGNORED)


def test_replicas_are_the_autoscalers_where_there_is_one() -> None:
    paths = [each.get("jsonPointers") for each in app(autoscaled=True)["spec"]["ignoreDifferences"]]
    assert ["/spec/replicas"] in paths
    assert len(app()["spec"]["ignoreDifferences"]) == len(paths) - 1


def test_the_project_reaches_one_repository_and_one_namespace() -> None:
    spec = project("gateproof", **WHERE)["spec"]
    assert spec["sourceRepos"] == ["http://git/release.git"]
    assert spec["destinations"] == [{"server": "https://api", "namespace": "webapp"}]
    assert app()["spec"]["project"] == "gateproof"


def test_the_values_file_of_a_release_names_the_image_and_its_trial() -> None:
    text = release_file(repository="localhost:5001/webapp", tag="v1.1", digest=DIGEST, annotations={"a/b": "1e3"})
    assert yaml.safe_load(text) == {
        "image": {"repository": "localhost:5001/webapp", "tag": "v1.1", "digest": DIGEST}, "podAnnotations": {"a/b": "1e3"},
    }  # fmt: skip


@pytest.mark.parametrize(("tag", "digest"), [("v1.1", "sha256:abc"), ("v1.1", ""), ("v 1", DIGEST), ("", DIGEST), ("-v", DIGEST)])
def test_what_is_no_image_is_refused(tag: str, digest: str) -> None:
    with pytest.raises(UsageError):
        release_file(repository="r", tag=tag, digest=digest, annotations={})


@pytest.mark.parametrize("world", by_commit.WORLDS.values(), ids=[each.value for each in by_commit.WORLDS])
def test_a_report_tells_of_commits_and_of_argo_cd(world: w.World) -> None:
    seen = world.observation()
    report = build_report(world.scenario, seen, judge(world.scenario, seen), PlatformFacts(name="local"))
    data = render_json(report)
    schema = json.loads(files("harness.report").joinpath("report.schema.json").read_text())
    jsonschema.validate(data, schema, format_checker=jsonschema.FormatChecker())
    assert data["gitops"]["release"]["sha"] == by_commit.SHA
    told = [event["what"] for event in data["timeline"]]
    assert f"commit {by_commit.SHA[:10]}: Release v1.1" in told
    assert any(each.startswith("Argo CD Synced, ") for each in told)
    assert f"commit {by_commit.SHA[:10]}" in render_text(report)
    assert by_commit.SHA[:10] in render_html(report)
