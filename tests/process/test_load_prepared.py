"""A load that is prepared waits: it has done all but to send, and is gone when nobody is left to begin it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from load_support import Server, gone, wait_until

from harness.errors import UsageError
from harness.load import BEGIN_ON_STDIN, Load, LoadSpec, command, environment, record_path

LOCUSTFILE = Path(__file__).parents[2] / "loadtest" / "locustfile.py"


@pytest.fixture
def prepared(serve: Callable[..., Server], tmp_path: Path) -> Iterator[tuple[Load, Server]]:
    server = serve()
    spec = LoadSpec(url=server.url, worst_latency_seconds=0.5, duration_limit_seconds=30)
    load = Load(spec=spec, folder=tmp_path / "load", python=sys.executable)
    load.prepare()
    try:
        yield load, server
    finally:
        load.stop()


def waits(load: Load) -> bool:
    """Whether Locust has opened its record, and then come to its standard input."""
    assert load.pid is not None
    channel = Path(f"/proc/{load.pid}/wchan")
    return record_path(load.folder).exists() and "pipe" in channel.read_text() and psutil.Process(load.pid).is_running()


def test_it_sends_nothing_before_it_is_told_to_and_then_at_once(prepared: tuple[Load, Server]) -> None:
    load, server = prepared
    wait_until(lambda: waits(load), "a load that waits")
    assert server.connections == 0
    with load:
        wait_until(lambda: server.count >= 20, "requests")
        load.poll()
        with pytest.raises(UsageError, match="started before"):
            load.start()
        load.poll()
        refused_at = server.count
        wait_until(lambda: server.count >= refused_at + 10, "requests of the load that goes on")
    assert len(load.records()) == server.count


def test_it_ends_without_having_sent_anything(prepared: tuple[Load, Server]) -> None:
    load, server = prepared
    wait_until(lambda: waits(load), "a load that waits")
    pid = load.pid
    load.stop()
    assert pid is not None
    assert gone(pid)
    assert (server.connections, load.records()) == (0, [])


def test_one_that_nobody_will_begin_ends_by_itself(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    argv = command(LoadSpec(url=server.url), python=sys.executable, locustfile=LOCUSTFILE, folder=tmp_path)
    env = environment({}, folder=tmp_path, parent_pid=1)
    assert env[BEGIN_ON_STDIN]
    del env["GATEPROOF_PARENT_PID"]
    done = subprocess.run(
        argv, cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "nobody is left to begin this load" in done.stderr
    assert server.connections == 0


def test_one_that_is_refused_says_why_when_it_is_begun(tmp_path: Path) -> None:
    spec = LoadSpec(url="http://192.0.2.1:80")
    load = Load(spec=spec, folder=tmp_path, python=sys.executable)
    load.prepare()
    with pytest.raises(UsageError, match=r"no load is sent to 192\.0\.2\.1"):
        load.start()


def test_the_time_that_it_has_waited_is_not_of_its_time(serve: Callable[..., Server], tmp_path: Path) -> None:
    server, limit = serve(), 3
    spec = LoadSpec(url=server.url, worst_latency_seconds=0.5, duration_limit_seconds=limit)
    load = Load(spec=spec, folder=tmp_path / "load", python=sys.executable)
    try:
        load.prepare()
        wait_until(lambda: waits(load), "a load that waits")
        waiting = time.monotonic()
        wait_until(lambda: time.monotonic() - waiting > limit - 1, "most of its time to pass")
        load.start()
        wait_until(lambda: load.pid is not None and gone(load.pid), "its end by itself")
    finally:
        load.stop()
    records = load.records()
    # Half of a second at its beginning and its end is Locust's own.
    assert records[-1]["started"] - records[0]["started"] > limit - 1
