"""Every answer as one JSON line, in a file that another process may read while it grows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypedDict


class Record(TypedDict):
    """One request and what came of it."""

    started: float
    """Epoch seconds at which the request was sent."""
    at: float
    """Epoch seconds at which the answer was complete, or was given up."""
    status: int
    """HTTP status; 0 when no complete HTTP answer came."""
    version: str | None
    """X-App-Version of the answer."""
    pod: str | None
    """X-Pod-Name of the answer."""
    latency: float
    """Seconds from `started` to `at`, from a monotonic clock."""
    error: str | None
    """Why the request counts as failed; null when it does not."""
    route: str
    """What was asked for, as in --routes: the path, with the method before it unless that is GET."""
    marked: bool
    """Whether the request carried the --header."""


class Recorder:
    """Collects records in memory; `flush` appends them with a single write, so that a line is rarely seen in two halves."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._pending: list[Record] = []

    def add(self, record: Record) -> None:
        """Keep a record for the next flush."""
        self._pending.append(record)

    def flush(self) -> None:
        """Append what was collected since the last flush. Raises OSError when the disk does not take it."""
        if not self._pending:
            return
        # Taken before the write: under gevent another greenlet may add while this one encodes.
        records, self._pending = self._pending, []
        left = memoryview("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records).encode())
        while left:
            left = left[os.write(self._file, left) :]
