"""Ctrl-C: the first one ends the command, further ones leave the clearing-up alone, and nohup is respected."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
import signal, sys
from harness.signals import Stopped, raise_on_signal
if "nohup" in sys.argv: signal.signal(signal.SIGHUP, signal.SIG_IGN)
raise_on_signal()
try:
    try:
        print("up", flush=True)
        sys.stdin.readline()
        print("read", flush=True)
    except Exception:
        print("swallowed", flush=True)
except Stopped as stop:
    print(stop, flush=True)
    sys.stdin.readline()
    print("cleared", flush=True)
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def test_the_first_ends_it_and_the_second_does_not_disturb_the_clearing_up() -> None:
    with start() as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.send_signal(signal.SIGTERM)
        assert "interrupted by SIGTERM" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == "cleared\n"
        assert process.wait(10) == 0


def test_the_third_insists() -> None:
    with start() as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGINT)
        assert "interrupted by SIGINT" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        # Two signals of one kind that arrive together are one: this one is of another kind.
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) != 0


def test_a_hang_up_that_was_to_be_ignored_is() -> None:
    with start("nohup") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.send_signal(signal.SIGHUP)
        process.stdin.write("x\n")
        process.stdin.flush()
        assert process.stdout.readline() == "read\n"
        assert process.wait(10) == 0
