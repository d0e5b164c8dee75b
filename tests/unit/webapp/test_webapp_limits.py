import resource
import sys
from pathlib import Path

import pytest

from webapp.limits import capacity, raise_file_limit, task_limit


@pytest.mark.parametrize(
    ("tasks", "files", "expected"),
    [
        (sys.maxsize, sys.maxsize, (2048, 4096)),
        (1024, sys.maxsize, (960, 3008)),  # a cluster's limit of processes in a pod
        (sys.maxsize, 1024, (96, 192)),  # a hard limit of open files as of old
        (10, 10, (16, 32)),  # never so few that nothing works
    ],
)
def test_threads_and_connections_fit_the_container(tasks: int, files: int, expected: tuple[int, int]) -> None:
    assert capacity(2048, 2048, tasks=tasks, files=files) == expected


@pytest.mark.parametrize(("text", "expected"), [("500\n", 500), ("max\n", sys.maxsize), (None, sys.maxsize)])
def test_task_limit(tmp_path: Path, text: str | None, expected: int) -> None:
    path = tmp_path / "pids.max"
    if text is not None:
        path.write_text(text)
    assert task_limit(path) == expected


def test_the_file_limit_is_raised_to_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: asked.append((kind, limits)))
    assert raise_file_limit() == 4096
    assert asked == [(resource.RLIMIT_NOFILE, (4096, 4096))]
