"""The repository as the harness writes it and as Argo CD reads it: real git on both sides, over smart HTTP on loopback."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from harness.errors import PlatformError
from harness.gitops.repository import Repository
from harness.gitops.server import GitServer, backend
from harness.loopback import local_session

GIT = Path(shutil.which("git") or "/git-is-not-installed")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(git=GIT, push_url=str(tmp_path / "served" / "release.git"), branch="main", work=tmp_path / "work")
    made.start()
    return made


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir(exist_ok=True)
    with GitServer(tmp_path / "served", backend(GIT), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/release.git"
        server.shutdown()
        thread.join()


def git(*arguments: str, where: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") and "proxy" not in name.lower()}
    done = subprocess.run(
        [str(GIT), *arguments], cwd=where, capture_output=True, text=True, timeout=60, check=False,
        env=clean | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def test_what_is_committed_can_be_cloned_and_a_revert_takes_it_back(repository: Repository, url: str, tmp_path: Path) -> None:
    repository.commit("first", files={"deploy/release.yaml": "tag: v1.0\n"})
    bump = repository.commit("Release v1.1", files={"deploy/release.yaml": "tag: v1.1\n"})
    git("clone", "--quiet", url, "clone", where=tmp_path)
    clone = tmp_path / "clone"
    assert (clone / "deploy/release.yaml").read_text() == "tag: v1.1\n"
    assert git("log", "-1", "--format=%H %an %s", where=clone).strip() == f"{bump.sha} gateproof Release v1.1"
    # A commit in between, as the harness' own note, does not stand in the revert's way.
    repository.commit("note", files={"NOTES.md": "nothing\n"})
    back = repository.revert(bump)
    git("pull", "--quiet", where=clone)
    assert (clone / "deploy/release.yaml").read_text() == "tag: v1.0\n"
    assert (clone / "NOTES.md").exists()
    assert git("ls-remote", url, "refs/heads/main", where=tmp_path).split()[0] == back.sha
    assert back.subject == 'Revert "Release v1.1"'


def test_a_later_run_begins_anew_in_the_same_repository(repository: Repository, url: str, tmp_path: Path) -> None:
    repository.commit("first", files={"old.txt": "old"})
    repository.start()
    fresh = repository.commit("again", files={"new.txt": "new"}, force=True)
    git("clone", "--quiet", url, "clone", where=tmp_path)
    assert [path.name for path in (tmp_path / "clone").iterdir() if path.name != ".git"] == ["new.txt"]
    assert git("rev-parse", "HEAD", where=tmp_path / "clone").strip() == fresh.sha


def test_nobody_pushes_over_http(repository: Repository, url: str, tmp_path: Path) -> None:
    commit = repository.commit("first", files={"a": "1"})
    git("clone", "--quiet", url, "clone", where=tmp_path)
    somebody = ("-c", "user.name=x", "-c", "user.email=x@x")
    git(*somebody, "commit", "--quiet", "--allow-empty", "-m", "foreign", where=tmp_path / "clone")
    with pytest.raises(RuntimeError, match="403"):
        git("push", "origin", "HEAD:main", where=tmp_path / "clone")
    assert git("ls-remote", url, "refs/heads/main", where=tmp_path).split()[0] == commit.sha


def test_nothing_beside_the_repositories_is_served(repository: Repository, url: str, tmp_path: Path) -> None:
    repository.commit("first", files={"a": "1"})
    (tmp_path / "secret").write_text("not for you")
    root = url.removesuffix("/release.git")
    for path in ("/secret", "/../secret", "/release.git/../../secret", "/%2e%2e/secret", "/other.git/info/refs"):
        answer = requests.Request("GET", root).prepare()
        answer.url = root + path  # as it stands: requests would tidy it up
        assert local_session().send(answer, timeout=5).status_code in {400, 403, 404}, path


def test_a_request_that_is_packed_is_read_and_one_that_is_too_long_is_not(repository: Repository, url: str) -> None:
    sha = repository.commit("first", files={"a": "1"}).sha
    want = b"0032want " + sha.encode() + b"\n00000009done\n"
    headers = {"Content-Type": "application/x-git-upload-pack-request"}
    plain = local_session().post(f"{url}/git-upload-pack", data=want, headers=headers, timeout=10)
    packed = local_session().post(
        f"{url}/git-upload-pack", data=gzip.compress(want), headers=headers | {"Content-Encoding": "gzip"}, timeout=10
    )
    chunked = local_session().post(f"{url}/git-upload-pack", data=iter([want[:7], want[7:]]), headers=headers, timeout=10)
    assert plain.status_code == 200
    assert b"PACK" in plain.content
    assert packed.content == plain.content == chunked.content
    for length in ("17000000", "-1", "many"):
        answer = local_session().post(f"{url}/git-upload-pack", headers=headers | {"Content-Length": length}, timeout=10)
        assert answer.status_code == 413, length


def test_what_git_says_is_the_error(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"^git revert failed in .*: fatal: bad object 0{40}$"):
        repository.revert(repository.commit("x").__class__(sha="0" * 40, subject="", at=0.0))
    with pytest.raises(PlatformError, match="git cannot be run: /no/git"):
        Repository(git=Path("/no/git"), push_url="x", branch="main", work=tmp_path).start()


def test_the_users_own_git_settings_do_not_count(repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "gitconfig"
    broken.write_text("[commit]\n\tgpgsign = true\n[core]\n\thooksPath = /nowhere\n[user]\n\tname = somebody\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(broken))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert len(repository.commit("first", files={"a": "1"}).sha) == 40
