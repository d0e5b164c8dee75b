"""The harness as people run it: `python -m harness` in a process of its own, on the real local platform."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.supervisor.ports import free_port

# A shell starts what it puts into the background with SIGINT ignored; our children would inherit that, and rightly keep to it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 200
_started: list[subprocess.Popen[str]] = []


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def check(self, name: str) -> dict[str, Any]:
        """One check of the verdict by its name."""
        return next(check for check in self.report["checks"] if check["name"] == name)

    @property
    def error(self) -> str:
        """The one line of an error; fails unless there is exactly one."""
        lines = [line for line in self.err.splitlines() if line.startswith("error:")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A run's folder with ports of its own, so that tests never meet a platform of the user's."""

    run_dir: Path
    gateway_port: int
    registry_port: int

    @property
    def options(self) -> list[str]:
        """The options that name it."""
        return [
            "--run-dir", str(self.run_dir), "--gateway-port", str(self.gateway_port), "--registry-port", str(self.registry_port),
        ]


def new_place(folder: Path) -> Place:
    """A place below this folder."""
    return Place(run_dir=folder / "run", gateway_port=free_port(), registry_port=free_port())


def argv(*arguments: str, place: Place) -> list[str]:
    """The command line, options of the place last."""
    return [sys.executable, "-m", "harness", *arguments, *place.options]


def run(*arguments: str, place: Place, timeout: float = LIMIT_SECONDS, env: dict[str, str] | None = None) -> Ended:
    """Run one command to its end."""
    done = subprocess.run(
        argv(*arguments, place=place), capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT,
        stdin=subprocess.DEVNULL, env=os.environ | (env or {}),
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


def outcome(ended: Ended) -> str:
    """What a failing test should show first."""
    if ended.code in {0, 1, 3} and ended.out:
        failed = [f"{check['name']}: {check['actual']}" for check in ended.report["checks"] if check["passed"] is not True]
        return f"exit {ended.code}; {failed}; {ended.err[-2000:]}"
    return f"exit {ended.code}; {ended.err[-3000:]}"


def start(*arguments: str, place: Place) -> subprocess.Popen[str]:
    """Start one command and return at once. What a failed test leaves of it is ended by `end_started`."""
    process = subprocess.Popen(
        argv(*arguments, place=place), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        stdin=subprocess.DEVNULL,
    )
    _started.append(process)
    return process


def end_started() -> None:
    """End every command that `start` began and that nobody has ended; close its pipes, which would fail a later test."""
    while _started:
        with _started.pop() as process:
            if process.poll() is None:
                process.terminate()
                try:
                    process.communicate(timeout=60)
                except subprocess.TimeoutExpired:
                    process.kill()


def ours(place: Place) -> list[str]:
    """Every process on this machine that names the place's folder in its command line, environment or working folder."""
    mark = str(place.run_dir)
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            told = [*process.cmdline(), *process.environ().values(), process.cwd()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if any(mark in each for each in told):
            found.append(f"{process.pid} {' '.join(told[:6])[:160]}")
    return found


def canary_answers(place: Place) -> bool:
    """Whether the canary gets traffic. Only where reports are: elsewhere folders come and go while one looks."""
    records = place.run_dir.glob("reports/*/load/answers.jsonl")
    return any('"version":"v1.1"' in path.read_text() for path in records)


def wait_until(condition: Callable[[], Any], *, what: str, timeout: float) -> Any:
    """The condition's first true answer. Fails with `what` when there is none in time."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    pytest.fail(f"{what}: not within {timeout} s")
