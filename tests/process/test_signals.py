"""Ctrl-C: the first one ends the command and is never lost, further ones leave the clearing-up alone, nohup is respected."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import signal, sys
from harness.signals import Stopped, raise_on_signal, settle
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
    settle()
"""


def start(*arguments: str, code: str = CODE) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
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


LOST = """
import sys, time, weakref
from harness.signals import Stopped, raise_on_signal, settle
raise_on_signal()
class Thing: pass
def callback(_):
    print("up", flush=True)
    sys.stdin.readline()
def bare():
    try:
        callback(None)
    except:
        pass
def weak():
    thing = Thing()
    kept = weakref.ref(thing, callback)
    del thing
try:
    {"bare": bare, "weak": weak}[sys.argv[1]]()
    print("lost", flush=True)
    time.sleep(30)
    print("never", flush=True)
except Stopped as stop:
    print(stop, flush=True)
    try:
        raise ValueError("in the clearing-up")
    except ValueError:
        time.sleep(2)
    time.sleep(2)
    print("cleared", flush=True)
    settle()
time.sleep(2)
print("settled", flush=True)
"""


@pytest.mark.parametrize("where", ["bare", "weak"])
def test_one_that_is_swallowed_on_its_way_comes_again(where: str) -> None:
    # As in the weak references' callbacks of Python's own import system: a run once went on after its Ctrl-C.
    with start(where, code=LOST) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert err == ""
    assert out.splitlines() == ["lost", "interrupted by SIGINT: stopping everything that was started", "cleared", "settled"]
