"""What tests of every tier share."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from browser import launched

from harness.platforms.local import binaries

if TYPE_CHECKING:
    from playwright.sync_api import Browser


# The same examples each time: whoever breaks a property sees it at once, and nobody sees it by chance in somebody else's change.
# HYPOTHESIS_PROFILE=explore looks for new ones. No deadline: how long an example takes is the machine's affair.
hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_configure() -> None:
    """Take Ctrl-C also where a shell started us in the background and had it ignored: children inherit that and never end."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def bin_dir() -> Path:
    """The folder of upstream programs; built first where a test session starts on an empty cache."""
    return binaries.ensure(lambda line: print(line, file=sys.stderr)).folder


@pytest.fixture(scope="session")
def crd_dir(bin_dir: Path) -> Path:
    """The folder with upstream's CRDs: crds-argo-rollouts.yaml and crds-istio.yaml."""
    return bin_dir / "manifests"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless; skips where there is none. Ended with its module: until then, no other event loop can run."""
    with launched() as browser:
        yield browser
