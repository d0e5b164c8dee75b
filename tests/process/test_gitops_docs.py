"""What docs/gitops.md shows: its commands as they stand there, and the example of a pipeline."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from docs_support import DOCS, ROOT, run_commands

from harness.gitops.manifests import IGNORED, SYNC_OPTIONS
from harness.platforms.local import golang
from harness.platforms.local.paths import cache_root

WORKFLOW = DOCS / "gitops" / "release.yml"
ACTIONLINT = Path(__file__).parent / "toolchain" / "actionlint"
BUILD_SECONDS = 240


@pytest.fixture(scope="module")
def actionlint() -> Path:
    """The checker of GitHub's workflows, from its Go module; built once into the cache, in a few seconds."""
    digest = hashlib.sha256(golang.go_program().parent.parent.joinpath("VERSION").read_bytes())
    for name in ("go.mod", "go.sum"):
        digest.update((ACTIONLINT / name).read_bytes())
    folder = cache_root() / "toolchain" / f"actionlint-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.access(folder / "actionlint", os.X_OK):
            argv = [str(golang.go_program()), "build", "-trimpath", "-ldflags=-s -w", "-o", f"{folder}/", "tool"]
            done = subprocess.run(
                argv, cwd=ACTIONLINT, env=golang.environment(), capture_output=True, text=True, timeout=BUILD_SECONDS,
                check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-2000:]
    return folder / "actionlint"


def complaints(actionlint: Path, text: str, folder: Path) -> list[str]:
    file = folder / "release.yml"
    file.write_text(text)
    # Neither shellcheck nor pyflakes: whether they are installed is the machine's affair.
    argv = [str(actionlint), "-no-color", "-oneline", "-shellcheck=", "-pyflakes=", str(file)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=folder).stdout.splitlines()


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
