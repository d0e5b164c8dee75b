"""What only these tests need: helm-unittest and kubeconform, and the Prometheus operator's definitions, from pinned Go modules.

Built once into the user's cache, like the platform's programs: the entry's name is a hash of go.mod, go.sum and the Go version.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from chart_support import Object, definitions

from harness.platforms.local import binaries, golang
from harness.platforms.local.paths import cache_root

TOOLCHAIN = Path(__file__).parent / "toolchain"
PROGRAMS = ("helm-unittest", "kubeconform")
OPERATOR = "github.com/prometheus-operator/prometheus-operator"
DEADLINE = 600  # seconds; a first build takes about one minute on two idle cores


def _go(*arguments: str, module: str) -> str:
    done = subprocess.run(
        [golang.go_program(), *arguments],
        cwd=TOOLCHAIN / module,
        env=golang.environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, f"go {arguments[0]}: {done.stderr[-2000:]}"
    return done.stdout


def controllers_program(source: Path, folder: Path, *flags: str) -> Path:
    """A program around the rollouts controller's own code, built offline; skips without its pinned module."""
    program = folder / "oracle"
    done = subprocess.run(
        [golang.go_program(), "build", "-trimpath", *flags, "-o", program, source],
        cwd=golang.TOOLCHAIN / "controlplane", env=golang.environment() | {"GOPROXY": "off"},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    if "GOPROXY=off" in done.stderr:
        pytest.skip("the Go modules are not in the cache: the programs were built elsewhere")
    assert done.returncode == 0, done.stderr
    return program


def check_programs() -> Path:
    """The folder with PROGRAMS; built first where it is not there."""
    digest = hashlib.sha256(golang.cache_key(binaries.MODULES).encode())
    for name in ("go.mod", "go.sum"):
        digest.update((TOOLCHAIN / "checks" / name).read_bytes())
    folder = cache_root() / "toolchain" / f"chart-checks-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all(os.access(folder / program, os.X_OK) for program in PROGRAMS):
            _go("build", "-trimpath", "-ldflags=-s -w", "-o", f"{folder}/", "tool", module="checks")
    return folder


def operator_definitions() -> Iterator[Object]:
    """The CustomResourceDefinitions of PodMonitor, ServiceMonitor and PrometheusRule, read from the operator's module."""
    found = json.loads(_go("mod", "download", "-json", OPERATOR, module="monitoring"))
    folder = Path(found["Dir"]) / "example" / "prometheus-operator-crd"
    for kind in ("podmonitors", "servicemonitors", "prometheusrules"):
        yield from definitions(folder, f"*_{kind}.yaml")
