"""What the owner of a local platform says of itself: written by the owner, read by everyone else of the same user."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from harness.errors import PlatformError, UsageError
from harness.platforms.local.paths import unusable

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class State:
    """One platform, as its owner last saw it."""

    phase: Phase
    pid: int
    started_at: float
    """Seconds since the epoch."""
    ready_after: float | None = None
    """Seconds from the owner's start to the last component's readiness."""
    error: str | None = None
    exit_code: int | None = None
    ports: dict[str, int] = field(default_factory=dict)
    address_range: str = ""
    gitops: bool = False
    """Whether Argo CD, its Redis and its Git server are among the components."""
    components: list[dict[str, Any]] = field(default_factory=list)
    died: dict[str, str] = field(default_factory=dict)
    """Components that ended by themselves after they were ready: name to the one line about it."""
    disturbed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was done to components by order, by the order's key: their names, when they were killed and when all were ready again
    (seconds since the epoch), and what went wrong."""


def write(path: Path, state: State) -> None:
    """Replace the state file: a reader sees the old or the new one, whole."""
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(asdict(state), indent=1))
        part.replace(path)
    except OSError as error:
        raise unusable(path.parent, error) from None


def read(path: Path) -> State | None:
    """The last state that was written, or None where there is none. Raises PlatformError when the file is not ours."""
    try:
        return State(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except PermissionError:
        raise UsageError(f"{path} belongs to another user: choose a folder of your own with --run-dir") from None
    except (ValueError, TypeError, OSError, RecursionError) as error:
        raise PlatformError(f"{path} cannot be read ({error}): run `down`, or choose another folder with --run-dir") from None


class Lock:
    """An exclusive lock that ends with its process, however that ends; the file names the holder for others' messages."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self, *, patience: float = 1.0) -> bool:
        """Take the lock if it is free. Returns whether it is ours now.

        `patience` is for how many seconds to try: somebody who only looks (`held`) is in the way for a moment.
        """
        try:
            file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
        except OSError as error:
            raise unusable(self._path.parent, error) from None
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    file.close()
                    return False
                time.sleep(0.02)
        # Padded, so that a shorter number than the last one leaves nothing of that behind, and the file is never empty.
        file.write(f"{os.getpid():<10}")
        file.flush()
        self._file = file
        return True

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._file:
            self._file.close()
            self._file = None


@contextmanager
def used(run_dir: Path, path: Path) -> Iterator[None]:
    """Hold the run's lock for a `with` block. Raises UsageError when another run has it."""
    lock = Lock(path)
    if not lock.acquire():
        raise UsageError(
            f"the folder {run_dir} is in use by another run (pid {holder(path)}): wait for it, or choose another with --run-dir"
        )
    try:
        yield
    finally:
        lock.release()


def held(path: Path) -> bool:
    """Whether another process holds the lock. Looking is shared: those who look do not see each other."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        raise unusable(path.parent, error) from None
    return False


def holder(path: Path) -> int | None:
    """The process id that the last holder wrote; None where there is none to read."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
