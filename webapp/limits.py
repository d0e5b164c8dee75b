"""How many threads and connections the server may have, within what its container lets it have."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_PIDS_MAX = Path("/sys/fs/cgroup/pids.max")  # of the container's own group (cgroup v2); threads count
# Threads and processes that are not for requests: the parent, the worker's own, the exporter's, a shell that looks around.
_OTHER_THREADS = 64
# Files that are not connections being served: modules, logs, the exporter's connection, and connections that a fault hangs.
_OTHER_FILES = 640
_FILES_PER_CONNECTION = 2  # a new connection is waited on with a selector of its own
_AT_LEAST = 16


def capacity(threads: int, idle: int, *, tasks: int, files: int) -> tuple[int, int]:
    """Threads for requests, and connections (those and `idle` ones), of which the limits `tasks` and `files` leave room for.

    The server ends when it can open no file for a connection that it takes, or start no thread for it. So it must not try.
    """
    threads = max(_AT_LEAST, min(threads, tasks - _OTHER_THREADS))
    connections = max(2 * _AT_LEAST, min(threads + idle, (files - _OTHER_FILES) // _FILES_PER_CONNECTION))
    return min(threads, connections // 2), connections


def task_limit(pids_max: Path = _PIDS_MAX) -> int:
    """How many threads and processes there may be in this container."""
    try:
        return int(pids_max.read_text())
    except (OSError, ValueError):  # no such limit here, or the word `max`
        return sys.maxsize


def raise_file_limit() -> int:
    """Let this process open as many files as it may ask for without privileges; returns how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard
