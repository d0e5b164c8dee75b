"""What docs/gitops.md shows: its commands as they stand there, and the example of a pipeline."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from docs_support import DOCS, ROOT, run_commands
from workflow_support import checker, complaints

from harness.gitops.manifests import IGNORED, SYNC_OPTIONS

WORKFLOW = DOCS / "gitops" / "release.yml"


@pytest.fixture(scope="module")
def actionlint() -> Path:
    return checker()


def test_the_workflow_is_one_that_github_takes(actionlint: Path, tmp_path: Path) -> None:
    assert complaints(actionlint, WORKFLOW.read_text(), tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("runs-on:", "run-on:", "run-on"),
        ("steps.build.outputs", "steps.built.outputs", "built"),
        ("packages: write", "packages: much", "much"),
        ("push: true", "pushes: true", "pushes"),
    ],
)
def test_the_checker_sees_a_mistake(actionlint: Path, tmp_path: Path, old: str, new: str, told: str) -> None:
    assert any(told in line for line in complaints(actionlint, WORKFLOW.read_text().replace(old, new), tmp_path))


def test_the_workflow_gives_the_dockerfile_what_it_takes_and_bump_its_options() -> None:
    text = WORKFLOW.read_text()
    step = next(each for each in yaml.safe_load(text)["jobs"]["release"]["steps"] if each.get("id") == "build")
    given = {line.partition("=")[0] for line in step["with"]["build-args"].splitlines()}
    assert given <= set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    script = (ROOT / "run.sh").read_text()
    assert re.search(r"^  bump ", script, re.MULTILINE)
    assert re.search(r"^  bump\) set -- bump", script, re.MULTILINE)
    assert "./run.sh bump --checkout config --image " in text


def test_the_commands_do_what_the_document_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "somebody@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    told = run_commands("gitops.md", tmp_path, links=())
    assert re.search(r"^[0-9a-f]{40} Release v1\.1$", told[-1], re.MULTILINE)


def test_the_document_shows_the_settings_that_are_used() -> None:
    text = (DOCS / "gitops.md").read_text()
    shown = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[0])
    assert shown["ignoreDifferences"] == [dict(each) for each in IGNORED]
    assert shown["syncPolicy"]["syncOptions"] == list(SYNC_OPTIONS)
