"""GitOps on a kind platform: the repository is in a folder of this machine, which the node has too for Argo CD to read."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from harness.errors import PlatformError
from harness.platforms import Endpoints, GitOps, Say
from harness.platforms.kind.config import ARGOCD_NAMESPACE, GIT_MOUNT, REPOSITORY, REPOSITORY_URL, KindConfig
from harness.platforms.kind.preflight import Answer

IN_CLUSTER = "https://kubernetes.default.svc"
"""The cluster that Argo CD itself is in, as Argo CD knows it."""
ANNOUNCED = f"namespace {ARGOCD_NAMESPACE}: the Application webapp is made, and removed again; the project gateproof stays"
TOKEN = "seen"  # noqa: S105 -- a file's name


def refuse_without_git() -> None:
    """Raise PlatformError where the program git is missing, which only a release by commit needs."""
    if shutil.which("git") is None:
        raise PlatformError("the program git is not installed: --gitops commits with it")


def place(config: KindConfig) -> GitOps:
    """Where a release is a commit. It is told for a release by helm too, which withdraws what an earlier one by commit left."""
    return GitOps(
        push_url=str(config.git / REPOSITORY), repo_url=REPOSITORY_URL, namespace=ARGOCD_NAMESPACE, destination=IN_CLUSTER,
        git=Path(shutil.which("git") or "git"),
    )


def refuse_unseen(config: KindConfig, answer: Answer) -> None:
    """Raise PlatformError unless the cluster's node sees what is written into the repository's folder.

    It does not when Docker's engine is on another machine or shares other folders only, nor when the folder was made anew
    after the cluster, or is another user's.
    """
    token = secrets.token_hex(8)
    try:
        (config.git / TOKEN).write_text(token)
        told = answer(config.programs.docker, "exec", config.node, "cat", f"{GIT_MOUNT}/{TOKEN}") or ""
        (config.git / TOKEN).unlink(missing_ok=True)
    except OSError as error:
        told = f"{error.strerror}"
    if told.strip() != token:
        raise PlatformError(
            f"the cluster's node does not see the folder {config.git}, from which Argo CD is to read: "
            "./run.sh down --platform kind, then again (Docker's engine must be on this machine, and share that folder)"
        )


def withdraw_what_is_left(endpoints: Endpoints, say: Say) -> None:
    """Delete the Application, if there is one, with all that it brought: it would make the namespace anew that is given back."""
    from harness.gitops.argocd import ArgoCd  # noqa: PLC0415 -- what they import takes a while
    from harness.gitops.delivery import withdraw  # noqa: PLC0415

    try:
        argocd = ArgoCd(kubeconfig=endpoints.kubeconfig, context=endpoints.context, namespace=ARGOCD_NAMESPACE)
        withdraw(argocd, lambda: None)
    except PlatformError as error:
        # The verdict is told already, and stays what it is.
        say(f"note: not removed: {error}; `./run.sh down --platform kind` removes it with the cluster")


def forget(config: KindConfig) -> None:
    """Remove the repository's folder, and the one around it if nothing else is in there."""
    shutil.rmtree(config.git, ignore_errors=True)
    try:
        config.git.parent.rmdir()
    except OSError:
        return
