"""What the owner of a local platform says of itself: written by the owner, read by everyone else of the same user."""

from __future__ import annotations

import fcntl
import json
import os
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
    components: list[dict[str, Any]] = field(default_factory=list)
    died: dict[str, str] = field(default_factory=dict)
    """Components that ended by themselves after they were ready: name to the one line about it."""


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
    except (ValueError, TypeError, OSError) as error:
        raise PlatformError(f"{path} cannot be read ({error}): run `down`, or choose another folder with --run-dir") from None


class Lock:
    """An exclusive lock that ends with its process, however that ends; the file names the holder for others' messages."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free. Returns whether it is ours now."""
        try:
            file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
        except OSError as error:
            raise unusable(self._path.parent, error) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return True

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._file:
            self._file.close()
            self._file = None


def held(path: Path) -> bool:
    """Whether another process holds the lock."""
    if not path.exists():
        return False
    lock = Lock(path)
    if lock.acquire():
        lock.release()
        return False
    return True


def holder(path: Path) -> str:
    """The process id of the holder, as text for a message."""
    try:
        return path.read_text().strip() or "unknown"
    except OSError:
        return "unknown"
