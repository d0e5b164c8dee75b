"""What the kind platform brings along: the `kind` program, upstream's manifests and Istio's charts, from pinned Go modules.

Made once into the user's cache, beside the local platform's programs (helm, kubectl and crane are those); the entry's name is a
hash of the go.mod and go.sum files, so that any change of them is another entry.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.platforms import Say
from harness.platforms.kind.config import Sources
from harness.platforms.local import golang
from harness.platforms.local.paths import cache_root, unusable

TOOLCHAIN = Path(__file__).parent / "toolchain"
ARGO_CD, ARGO_ROLLOUTS, ISTIO = "github.com/argoproj/argo-cd/v3", "github.com/argoproj/argo-rollouts", "istio.io/istio"
TEXTS = {
    "argo-cd.yaml": (ARGO_CD, "manifests/install.yaml"),
    "argo-rollouts.yaml": (ARGO_ROLLOUTS, "manifests/install.yaml"),
    "argo-rollouts-dashboard.yaml": (ARGO_ROLLOUTS, "manifests/dashboard-install.yaml"),
    "kiali.yaml": (ISTIO, "samples/addons/kiali.yaml"),
}
"""The file in our cache, the module that it is from, and its place in there."""
CHARTS = {"base": "base", "istiod": "istio-control/istio-discovery", "gateway": "gateway"}
"""Istio's charts by our name, below manifests/charts of its module."""


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """A folder with the program and everything of TEXTS and CHARTS."""

    folder: Path

    @property
    def kind(self) -> Path:
        """The program."""
        return self.folder / "kind"

    @property
    def charts(self) -> Path:
        """The folder with Istio's charts."""
        return self.folder / "charts"

    def complete(self) -> bool:
        """Whether everything is there; the program comes last."""
        return os.access(self.kind, os.X_OK)

    def sources(self) -> Sources:
        """Upstream's texts, read."""
        told = {name: (self.folder / name).read_text() for name in TEXTS}
        return Sources(
            argo_cd=told["argo-cd.yaml"], argo_rollouts=told["argo-rollouts.yaml"],
            argo_rollouts_dashboard=told["argo-rollouts-dashboard.yaml"], kiali=told["kiali.yaml"], charts=self.charts,
        )


def cached() -> Toolchain:
    """The cache entry for what this checkout pins, whether it is there or not."""
    digest = hashlib.sha256(repr((TEXTS, CHARTS)).encode())
    for module in ("kind", "manifests"):
        for name in ("go.mod", "go.sum"):
            digest.update((TOOLCHAIN / module / name).read_bytes())
    digest.update(golang.go_version().encode())
    return Toolchain(folder=cache_root() / "toolchain" / f"kind-{digest.hexdigest()[:16]}")


def ensure(say: Say) -> Toolchain:
    """The toolchain, made first where it is not there yet (a minute or two with nothing in Go's cache).

    Raises PlatformError with go's last lines when that fails. Two at once do the same work twice; the first to finish wins.
    """
    made = cached()
    if made.complete():
        return made
    say("building kind and collecting manifests from pinned Go modules (a minute or two, once)")
    try:
        made.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=made.folder.parent, prefix=".kind-") as folder:
            part = Path(folder) / "part"
            part.mkdir()
            _collect(part)
            golang.go("build", "-ldflags=-s -w", "-o", f"{part}/", "tool", cwd=TOOLCHAIN / "kind", title="kind")
            shutil.rmtree(made.folder, ignore_errors=True)
            part.rename(made.folder)
    except OSError as error:
        if made.complete():
            return made
        raise unusable(made.folder, error, option="GATEPROOF_CACHE_DIR") from None
    return made


def _collect(folder: Path) -> None:
    modules = {name: _module(name) for name in (ARGO_CD, ARGO_ROLLOUTS, ISTIO)}
    for name, (module, place) in TEXTS.items():
        (folder / name).write_text((modules[module] / place).read_text())
    for name, place in CHARTS.items():
        _copy(modules[ISTIO] / "manifests" / "charts" / place, folder / "charts" / name)


def _copy(source: Path, target: Path) -> None:
    # The module cache may be read-only, and what comes out of it must not be.
    for path in sorted(source.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())


def _module(name: str) -> Path:
    """The folder of a module, downloaded if need be and verified by go.sum."""
    told = golang.go("mod", "download", "-json", name, cwd=TOOLCHAIN / "manifests", title="manifests")
    return Path(json.loads(told)["Dir"])
