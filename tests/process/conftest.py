"""What the tests with small fake programs share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from fakes.stage import Stage
from webapp_server import Server, Start, running


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    yield stage
    assert stage.clear() == [], "processes were left behind"
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in children]
    assert left == [], "children, perhaps zombies, were left behind"


@pytest.fixture
def start_webapp(tmp_path: Path) -> Iterator[Start]:
    """Starts the web app with the environment it is given, and stops it after the test."""
    with ExitStack() as stack:

        def start(**environ: str) -> Server:
            return stack.enter_context(running(tmp_path / "webapp.log", **environ))

        yield start
