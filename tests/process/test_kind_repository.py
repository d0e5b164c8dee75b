"""The repository of a kind platform as the harness writes it, and as Argo CD's git reads it, which is another user's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.gitops.repository import Repository
from harness.platforms.kind.manifests import git_settings

GIT = shutil.which("git") or "/git-is-not-installed"


@pytest.fixture
def careful() -> Iterator[None]:
    """A user whose files are nobody else's business."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@dataclass(frozen=True)
class Reader:
    """Argo CD's git: its environment is that of runCmdOutput in Argo CD's util/git/client.go."""

    folder: Path
    own: str
    """Settings for the clone, which git takes for another user's here too."""

    def git(self, *arguments: str, settings: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        file = self.folder.parent / "gitconfig"
        file.write_text(settings + self.own)
        env = {
            "PATH": os.environ["PATH"], "LANG": "C", "HOME": "/dev/null", "GIT_TERMINAL_PROMPT": "false",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": str(file), "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "gc.autoDetach", "GIT_CONFIG_VALUE_0": "false",
            # Git's own means of telling what it does with another user's repository.
            "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1",
        }  # fmt: skip
        return subprocess.run(
            [GIT, *arguments], cwd=self.folder, env=env | environment, capture_output=True, text=True, timeout=60, check=False
        )

    def fetch(self, settings: str = "", **environment: str) -> str:
        """What git said; nothing when it went well."""
        done = self.git("fetch", "--quiet", "origin", "--tags", "--force", "--prune", settings=settings, **environment)
        assert bool(done.returncode) == bool(done.stderr)
        return done.stderr


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return tmp_path / "private" / "git" / "webapp.git"


@pytest.fixture
def repository(bare: Path, tmp_path: Path) -> Repository:
    bare.parent.mkdir(parents=True)
    made = Repository(git=Path(GIT), push_url=str(bare), branch="main", work=tmp_path / "work")
    made.start()
    return made


@pytest.fixture
def reader(bare: Path, tmp_path: Path) -> Reader:
    clone = tmp_path / "clone"
    clone.mkdir()
    made = Reader(clone, git_settings(str(clone)))
    made.git("init", "--quiet")
    made.git("remote", "add", "origin", f"file://{bare}")
    return made


def test_git_reads_it_by_our_settings(repository: Repository, reader: Reader, bare: Path) -> None:
    first = repository.commit("first", files={"deploy/release.yaml": "tag: v1.0\n"})
    assert reader.fetch(git_settings(str(bare))) == ""
    second = repository.commit("Release v1.1", files={"deploy/release.yaml": "tag: v1.1\n"})
    assert reader.fetch(git_settings(str(bare))) == ""
    log = reader.git("log", "--format=%H", "origin/main", settings=git_settings(str(bare))).stdout.split()
    assert log == [second.sha, first.sha]


def test_git_refuses_without_them_and_with_others(repository: Repository, reader: Reader, bare: Path) -> None:
    repository.commit("first", files={"a": "b"})
    assert "dubious ownership" in reader.fetch()
    assert "dubious ownership" in reader.fetch(git_settings(str(bare.parent)))
    # Not even where Argo CD left the variable alone: git keeps it from what reads a repository of this machine.
    assert "dubious ownership" in reader.fetch(GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*")


def test_another_user_may_read_all_of_it_whoever_wrote_it(careful: None, repository: Repository, bare: Path) -> None:
    del careful
    commit = repository.commit("first", files={"a": "b", "deploy/c": "d"})
    repository.revert(commit)
    repository.start()
    repository.commit("anew", files={"a": "e"}, force=True)
    closed = [path for path in (bare, *bare.rglob("*")) if (path.stat().st_mode & 0o005) < (0o005 if path.is_dir() else 0o004)]
    assert closed == []


def test_a_users_own_checkout_keeps_to_the_users_mask(careful: None, repository: Repository, tmp_path: Path) -> None:
    del careful
    repository.commit("first", files={"a": "b"})
    theirs = tmp_path / "theirs"
    subprocess.run([GIT, "clone", "--quiet", str(tmp_path / "private/git/webapp.git"), str(theirs)], check=True, timeout=60)
    identity = {f"GIT_{role}_{what}": "x@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in identity.items():
            patch.setenv(name, value)
        Repository(git=Path(GIT), push_url="origin", branch="main", work=theirs, users=True).commit("second", files={"c": "d"})
    index = theirs / ".git" / "index"
    assert index.stat().st_mode & 0o077 == 0
