"""`python -m harness bump`: the last step of a pipeline, which releases an image by a commit."""

from __future__ import annotations

import re
import shutil
import uuid
from pathlib import Path

import click

from harness.errors import PlatformError, UsageError
from harness.files import refuse_unwritable
from harness.gitops.manifests import RELEASED, release_file
from harness.gitops.repository import Repository
from harness.names import is_branch, is_image, is_text
from harness.paths import Named

IMAGE = re.compile(r"(?P<repository>[^\s@]+):(?P<tag>[^\s@:/]+)@(?P<digest>sha256:[0-9a-f]{64})")


@click.command()
@click.option("--image", required=True, metavar="NAME:TAG@sha256:…", help="The image that was pushed.")
@click.option("--checkout", type=Named(path_type=Path, file_okay=False, exists=True), default=Path(), show_default=True,
              help="A checkout of the repository that Argo CD reads.")
@click.option("--file", "name", default=RELEASED, show_default=True, help="The values file in it that names the image.")
@click.option("--remote", default="origin", show_default=True)
@click.option("--branch", default="main", show_default=True)
@click.option("--trial", help="Keeps a release of an image that was there before from skipping the gate (default: by chance).")
def bump(*, image: str, checkout: Path, name: str, remote: str, branch: str, trial: str | None) -> int:
    """Release an image by GitOps: write it into a values file, commit, push. Git's own settings and credentials hold."""
    found = IMAGE.fullmatch(image)
    if not found or not is_image(image, tagged=True):
        raise UsageError(f"--image {image}: give name, tag and digest, such as localhost:5001/webapp:v1.1@sha256:…")
    program = shutil.which("git")
    if not program:
        raise PlatformError("the program git is not installed: bump commits with it")
    if not (checkout / ".git").exists():
        raise UsageError(f"--checkout {checkout}: there is no Git repository")
    _refuse_file(checkout, name)
    if trial is not None and not is_text(trial):
        raise UsageError(f"--trial {trial}: give one line of at most 253 characters")
    if not is_branch(branch):
        raise UsageError(f"--branch {branch}: no branch of Git can have this name")
    if not is_text(remote, most=2000) or remote.startswith("-"):
        raise UsageError(f"--remote {remote}: give the name of a remote, such as origin, or its address")
    repository = Repository(git=Path(program), push_url=remote, branch=branch, work=checkout.absolute(), users=True)
    annotations = {"gateproof.io/trial": trial or uuid.uuid4().hex[:8]}
    text = release_file(
        repository=found["repository"], tag=found["tag"], digest=found["digest"], annotations=annotations
    )
    commit = repository.commit(f"Release {found['tag']}", files={name: text}, only=True)
    click.echo(f"{commit.sha} {commit.subject}")
    return 0


def _refuse_file(checkout: Path, name: str) -> None:
    """Raise UsageError for a file that a commit cannot hold: none, a folder, outside the checkout, or Git's own."""
    place = checkout / name
    try:
        path = place.resolve()
        inside, is_folder = path.relative_to(checkout.resolve()), place.is_dir() or name.endswith("/")
        refuse_unwritable(path, option="--file")
    except ValueError:
        raise UsageError(f"--file {name}: it lies outside the checkout") from None
    except (OSError, RuntimeError):
        raise UsageError(f"--file {name}: no file can have this name") from None
    if not name.strip() or is_folder:
        raise UsageError(f"--file {name}: it is a folder: name a file in the checkout, such as {RELEASED}")
    if ".git" in (each.lower() for each in (*inside.parts, *Path(name).parts)):
        raise UsageError(f"--file {name}: that is Git's own")
