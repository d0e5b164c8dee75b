"""What tests of every tier share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.platforms.local import binaries


@pytest.fixture(scope="session")
def bin_dir() -> Path:
    """The folder of upstream programs; built first where a test session starts on an empty cache."""
    return binaries.ensure(lambda line: print(line, file=sys.stderr)).folder


@pytest.fixture(scope="session")
def crd_dir(bin_dir: Path) -> Path:
    """The folder with upstream's CRDs: crds-argo-rollouts.yaml and crds-istio.yaml."""
    return bin_dir / "manifests"
