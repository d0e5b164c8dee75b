"""Runs a plan's steps side by side, as far as they do not need each other, and lets nothing outlive it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path

from harness.errors import PlatformError
from harness.platforms import Say
from harness.platforms.kind.step import Call, Check, Step, ordered
from harness.supervisor.spawn import spawn

SIDE_BY_SIDE = 4
STOP_SECONDS = 10.0
TOLD_LINES = 3


class Failed(Exception):
    """A call ended with an error, too late, or because it was stopped."""


@dataclass(kw_only=True)
class Runner:
    """Runs calls in `env`; the output of each step goes into a file of `logs`."""

    env: Mapping[str, str]
    logs: Path
    say: Say
    _children: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    def run(self, steps: Sequence[Step]) -> None:
        """Every step, each after those that it needs. A step that is done already is left as it is.

        What does not need a failed step goes on; then all failures are told together. Raises PlatformError. At an interrupt
        everything that runs is ended, and a step that was half done is undone where it says how.
        """
        total, named = len(ordered(steps)), {step.name: step for step in steps}
        sorter = TopologicalSorter({step.name: step.needs for step in steps})
        sorter.prepare()
        failures: dict[str, str] = {}
        running: dict[Future[str], str] = {}
        self.logs.mkdir(parents=True, exist_ok=True)
        count = 0
        with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE, thread_name_prefix="setup") as pool:
            try:
                while sorter.is_active():
                    for name in sorter.get_ready():
                        running[pool.submit(self._step, named[name])] = name
                    if not running:
                        break
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for each in finished:
                        name = running.pop(each)
                        try:
                            told = each.result()
                        except (Failed, OSError) as error:
                            failures[name] = str(error)
                            self.say(f"{named[name].title}: failed")
                            continue
                        count += 1
                        self.say(f"[{count}/{total}] {told}")
                        sorter.done(name)
            except BaseException:
                self.stop()
                raise
        if failures:
            told = "; ".join(f"{named[name].title}: {failures[name]}" for name in failures)
            raise PlatformError(f"{told} (logs are in {self.logs}; the same command again goes on from here)")

    def stop(self) -> None:
        """End every program that runs, with all that it started."""
        with self._lock:
            self._stopped = True
            children = list(self._children)
        for child in children:
            _end(child)

    def holds(self, check: Check) -> bool:
        """Whether a check holds."""
        told = self.answer(*check.call.argv, seconds=check.call.timeout_seconds)
        return told is not None and (check.prints is None or told.strip() == check.prints)

    def answer(self, *argv: str, seconds: float = 60.0) -> str | None:
        """What a program printed, or None when it failed."""
        try:
            done = subprocess.run(
                argv, env=dict(self.env), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    def _step(self, step: Step) -> str:
        started = time.monotonic()
        if self._stopped:
            raise Failed("stopped")
        if step.done and all(self.holds(each) for each in step.done):
            return f"{step.title}: there already"
        self.say(f"{step.title} …")
        for path, file in step.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text)
        try:
            with (self.logs / f"{step.name}.log").open("wb") as log:
                for call in step.calls:
                    self._call(call, log.fileno(), self.logs / f"{step.name}.log")
        except BaseException:
            for call in step.undo:
                self.answer(*call.argv, seconds=call.timeout_seconds)
            raise
        return f"{step.title}: ready after {time.monotonic() - started:.0f} s"

    def _call(self, call: Call, log: int, path: Path) -> None:
        os.write(log, ("$ " + " ".join(call.argv) + "\n").encode())
        with self._lock:
            if self._stopped:
                raise Failed("stopped")
            child = spawn(call.argv, env=self.env, cwd=None, output=log).result()
            self._children.add(child)
        try:
            child.wait(call.timeout_seconds)
        except subprocess.TimeoutExpired:
            _end(child)
            raise Failed(f"{_told(call)} did not end within {call.timeout_seconds:.0f} s") from None
        finally:
            with self._lock:
                self._children.discard(child)
        if child.returncode:
            lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
            last = [line for line in lines[-TOLD_LINES:] if not line.startswith("$ ")]
            raise Failed(f"{_told(call)} ended with {child.returncode}: {' | '.join(last) or 'it said nothing'}")


def _told(call: Call) -> str:
    return " ".join([Path(call.argv[0]).name, *call.argv[1:3]])


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the program and all that it started to end, then make it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
            return
