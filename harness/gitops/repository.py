"""A Git repository that is committed to, by the git program."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from harness.errors import PlatformError
from harness.observation.gitops import Commit

GIT_SECONDS = 60.0
IDENTITY = {"NAME": "gateproof", "EMAIL": "gateproof@localhost"}


class Repository:
    """A working copy of one branch; each commit is pushed at once.

    Nothing of the user's configuration holds, unless it is the user's own checkout (`users`): then it also says who commits.
    What is written otherwise can be read by whoever comes as far as its folder, as an Argo CD does that is another user.
    """

    def __init__(self, *, git: Path, push_url: str, branch: str, work: Path, users: bool = False) -> None:
        self._git, self._push_url, self._branch, self._users = git, push_url, branch, users
        self.work = work

    def start(self) -> None:
        """Begin anew from an empty tree, whatever the branch held. A repository on this machine is made where there is none."""
        bare = Path(self._push_url)
        if bare.is_absolute() and not (bare / "HEAD").is_file():
            bare.parent.mkdir(parents=True, exist_ok=True)
            self._run("init", "--quiet", "--bare", f"--initial-branch={self._branch}", str(bare), where=bare.parent)
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self._run("init", "--quiet", f"--initial-branch={self._branch}", ".")

    def commit(self, subject: str, *, files: Mapping[str, str] | None = None, force: bool = False, only: bool = False) -> Commit:
        """Write these files, commit the whole tree, or these `only`, and push; `force` replaces what another run pushed.

        Raises PlatformError with what git said.
        """
        for name, text in (files or {}).items():
            target = self.work / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        written = ["--", *(files or {})] if only else []
        self._run("add", "--all", *written)
        self._run("commit", "--quiet", "--allow-empty", f"--message={subject}", *written)
        return self._pushed(force=force)

    def revert(self, commit: Commit) -> Commit:
        """Take one commit back by another one. Raises PlatformError, also where later commits changed the same lines."""
        self._run("revert", "--no-edit", commit.sha)
        return self._pushed()

    def _pushed(self, *, force: bool = False) -> Commit:
        self._run("push", "--quiet", *(["--force"] if force else []), self._push_url, f"HEAD:refs/heads/{self._branch}")
        sha, subject = self._run("log", "-1", "--format=%H %s").strip().split(" ", 1)
        return Commit(sha=sha, subject=subject, at=time.time())

    def _run(self, verb: str, *arguments: str, where: Path | None = None) -> str:
        kept = {name: value for name, value in os.environ.items() if self._users or not name.startswith("GIT_")}
        own = {"GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true"}
        if not self._users:
            own |= {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in IDENTITY.items()}
            own |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        try:
            done = subprocess.run(
                [str(self._git), verb, *arguments], cwd=where or self.work, env=kept | own, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=GIT_SECONDS, check=False, umask=-1 if self._users else 0o022,
            )  # fmt: skip
        except OSError as error:
            raise PlatformError(f"git cannot be run: {self._git}: {error.strerror}") from error
        except subprocess.TimeoutExpired:
            raise PlatformError(f"git {verb} did not end within {GIT_SECONDS:.0f} s") from None
        if done.returncode:
            told = " ".join((done.stderr or done.stdout).split()) or "it said nothing"
            raise PlatformError(f"git {verb} failed in {where or self.work}: {told}")
        return done.stdout
