"""The supervisor's own end: by SIGKILL, by Ctrl-C and by SIGTERM, nothing that it started lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from fakes.stage import FAKES, Stage, eventually
from load_support import gone

from harness.errors import EXIT_INTERRUPTED
from harness.supervisor.guard import Guard
from harness.supervisor.process import Process

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    assert stage.clear() == [], "processes were left behind"


@contextmanager
def supervising(stage: Stage, until: str, mode: str = "-") -> Iterator[subprocess.Popen[str]]:
    """A supervisor in a process of its own, once it has said ``until``."""
    child = subprocess.Popen(
        [sys.executable, str(FAKES / "supervise.py"), str(stage.logs.parent), stage.mark, mode],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{FAKES.parent}"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    watchdog = threading.Timer(30, child.kill)
    watchdog.start()
    try:
        assert child.stdout is not None
        for line in child.stdout:
            if line.strip() == until:
                break
        else:
            pytest.fail(f"it never said {until!r}")
        yield child
    finally:
        watchdog.cancel()
        child.kill()
        child.communicate(timeout=10)


def guards_of(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if any("guard.py" in word for word in child.cmdline())]


def test_sigkill_takes_every_child_and_grandchild_along(stage: Stage) -> None:
    with supervising(stage, "all ready") as child:
        assert len(stage.survivors()) == 3, "two components and a grandchild that ignores SIGTERM"
        (guard,) = guards_of(child.pid)
        child.kill()
        eventually(lambda: stage.survivors() == [], "all children are gone")
        eventually(lambda: gone(guard.pid), "the guard is gone")


def test_sigkill_takes_the_children_along_even_without_the_guard(stage: Stage) -> None:
    with supervising(stage, "never starting", "hangs") as child:
        (guard,) = guards_of(child.pid)
        guard.kill()
        child.kill()
        # The parent-death signal alone: the grandchild is out of its reach.
        eventually(lambda: len(stage.survivors()) == 1, "the components are gone")
        assert len(stage.clear()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_leaves_nothing(stage: Stage, number: signal.Signals) -> None:
    with supervising(stage, "never starting", "hangs") as child:
        child.send_signal(number)
        output, _ = child.communicate(timeout=20)
        assert child.returncode == EXIT_INTERRUPTED
        assert "interrupted while components were starting" in output
        assert stage.survivors() == []


def test_a_signal_to_a_running_supervisor_stops_everything(stage: Stage) -> None:
    with supervising(stage, "all ready") as child:
        child.send_signal(signal.SIGTERM)
        output, _ = child.communicate(timeout=20)
        assert child.returncode == 0
        assert output.split("\n")[:4] == ["parent stopping", "parent stopped", "plain stopping", "plain stopped"]
        assert stage.survivors() == []


def test_a_child_outlives_the_thread_that_asked_for_it(stage: Stage) -> None:
    component = stage.up("plain", "stays.py")
    stage.logs.mkdir()
    process = Process(component.argv, env=component.env, cwd=None, log=stage.logs / "plain.log")
    thread = threading.Thread(target=process.start)
    thread.start()
    thread.join()
    eventually(lambda: process.log_tail() == ("up",), "it runs")
    # The parent-death signal is sent when the forking thread ends: the thread is gone, and the child still runs.
    assert process.poll() is None
    assert process.stop() is False
    assert process.poll() == -signal.SIGTERM


def test_the_guard_leaves_alone_what_it_was_told_to_forget(stage: Stage) -> None:
    component = stage.up("plain", "stays.py")
    stage.logs.mkdir()
    processes = [Process(component.argv, env=component.env, cwd=None, log=stage.logs / f"{i}.log") for i in range(2)]
    guard = Guard()
    for process in processes:
        process.start()
        assert process.pid is not None
        guard.watch(process.pid)
    assert processes[0].pid is not None
    guard.forget(processes[0].pid)
    guard.close()
    eventually(lambda: processes[1].poll() == -signal.SIGKILL, "what it still watched is ended")
    assert processes[0].poll() is None
    for process in processes:
        process.stop()
