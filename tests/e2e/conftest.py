"""The places in which the end-to-end tests run the harness."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_support import Place, end_started, new_place, ours, run


@pytest.fixture(autouse=True)
def nothing_left_of_a_failed_test() -> Iterator[None]:
    """A command that a failed test left would fail the next one too."""
    yield
    end_started()


@pytest.fixture
def place(tmp_path: Path, bin_dir: Path) -> Iterator[Place]:
    """A place of the test's own; whatever a failed test leaves there is stopped."""
    made = new_place(tmp_path)
    yield made
    end_started()
    run("down", place=made)
    assert ours(made) == []


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, bin_dir: Path) -> Iterator[Place]:
    """One platform that is up for all scenarios of the session."""
    made = new_place(tmp_path_factory.mktemp("platform"))
    up = run("up", place=made)
    assert up.code == 0, up.err
    yield made
    assert run("down", place=made).code == 0
    assert ours(made) == []
