"""What only these tests need: helm-unittest, kubeconform and the Prometheus operator's definitions, from pinned Go modules."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from chart_support import Object, definitions
from go_tools import go, tools

from harness.platforms.local import golang

TOOLCHAIN = Path(__file__).parent / "toolchain"
PROGRAMS = ("helm-unittest", "kubeconform")
OPERATOR = "github.com/prometheus-operator/prometheus-operator"
DEADLINE = 600  # seconds; a first build takes about one minute on two idle cores


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
    return tools(TOOLCHAIN / "checks", *PROGRAMS, seconds=DEADLINE)


def operator_definitions() -> Iterator[Object]:
    """The CustomResourceDefinitions of PodMonitor, ServiceMonitor and PrometheusRule, read from the operator's module."""
    found = json.loads(go("mod", "download", "-json", OPERATOR, module=TOOLCHAIN / "monitoring", seconds=DEADLINE))
    folder = Path(found["Dir"]) / "example" / "prometheus-operator-crd"
    for kind in ("podmonitors", "servicemonitors", "prometheusrules"):
        yield from definitions(folder, f"*_{kind}.yaml")
