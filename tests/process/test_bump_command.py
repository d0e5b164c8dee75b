"""`harness bump` on a checkout of a user's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGE = "localhost:5001/webapp:v1.1@sha256:" + "ab" * 32


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\n\tname = somebody\n\temail = somebody@example.org\n")
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "config.git")
    git(tmp_path, "clone", "--quiet", "config.git", "checkout")
    return tmp_path / "checkout"


def git(where: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=where, capture_output=True, text=True, check=True, timeout=60).stdout


def bump(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "harness", "bump", *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, env=os.environ)


def test_it_commits_the_image_and_nothing_else_as_whoever_git_says(checkout: Path) -> None:
    (checkout / "unfinished.txt").write_text("not for this commit")
    git(checkout, "add", "unfinished.txt")
    done = bump("--image", IMAGE, "--checkout", str(checkout), "--trial", "run-7")
    assert done.returncode == 0, done.stderr
    bare = checkout.parent / "config.git"
    assert git(bare, "log", "-1", "--format=%an %s").strip() == "somebody Release v1.1"
    assert done.stdout.split()[0] == git(bare, "rev-parse", "main").strip()
    assert git(bare, "ls-tree", "-r", "--name-only", "main").split() == ["deploy/release.yaml"]
    text = git(bare, "show", "main:deploy/release.yaml")
    assert "tag: v1.1\n" in text
    assert "gateproof.io/trial: run-7\n" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--image", "webapp:v1.1"), "give name, tag and digest"),
        (("--image", IMAGE, "--file", "../outside.yaml"), "lies outside the checkout"),
        (("--image", IMAGE, "--checkout", "/"), "there is no Git repository"),
    ],
)
def test_what_it_cannot_do_is_one_line(checkout: Path, arguments: tuple[str, ...], told: str) -> None:
    done = bump("--checkout", str(checkout), *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_push_that_is_refused_is_the_platforms_failure(checkout: Path) -> None:
    done = bump("--checkout", str(checkout), "--image", IMAGE, "--remote", str(checkout.parent / "nowhere.git"))
    assert done.returncode == 4
    assert done.stderr.startswith("error: git push failed")
