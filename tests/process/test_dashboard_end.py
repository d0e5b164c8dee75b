"""The live page's server at its end: Ctrl-C once and for all, and nothing on stderr of a browser that went away before."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
CODE = """
import sys, threading, time
from harness.dashboard.server import serve
from harness.signals import AGAIN_SECONDS, raise_on_signal

class Slow:
    def state(self):
        print("asked", flush=True)
        if sys.stdin.readline() == "fail\\n":
            raise RuntimeError("the page's own")
        return {"text": "x" * 1_000_000}

    def log(self, name):
        return None

raise_on_signal()
serve(Slow(), 0, tell=lambda url: print(url, flush=True))
time.sleep(3 * AGAIN_SECONDS)
print("ended", flush=True)
for each in threading.enumerate():
    if each is not threading.main_thread():
        each.join(20)
"""
STATE = b"GET /api/state HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@contextmanager
def started() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The server, whose process waits for the requests under way after its end, and its port. Killed if it is still there."""
    with subprocess.Popen(
        [sys.executable, "-c", CODE], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            port = urlsplit(process.stdout.readline().strip()).port
            assert port is not None
            yield process, port
        finally:
            process.kill()


def answer_with(process: subprocess.Popen[str], word: str) -> None:
    """Let the request that waits go on."""
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def see_it_serve(port: int) -> None:
    """By then the main thread is done with every connection that came before: an interrupt closes the one it is at."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as browser:
        browser.sendall(b"GET /static/page.css HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert browser.recv(12) == b"HTTP/1.1 200"


def test_a_browser_goes_away_and_then_the_page_ends() -> None:
    with started() as (process, port):
        assert process.stdout is not None
        assert process.stderr is not None
        # Reset, before the answer and in the middle of a request.
        for request in (STATE, b"GET /api/st"):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as browser:
                browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                browser.sendall(request)
                if request == STATE:
                    assert process.stdout.readline() == "asked\n"
        answer_with(process, "go on")
        see_it_serve(port)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "ended\n", "")


def test_what_fails_before_the_end_is_told_and_what_fails_after_it_is_not() -> None:
    with started() as (process, port), socket.create_connection(("127.0.0.1", port), timeout=10) as browser:
        assert process.stdout is not None
        browser.sendall(STATE)
        assert process.stdout.readline() == "asked\n"
        answer_with(process, "fail")
        assert browser.recv(12) == b"HTTP/1.1 500"
        with socket.create_connection(("127.0.0.1", port), timeout=10) as late:
            late.sendall(STATE)
            assert process.stdout.readline() == "asked\n"
            see_it_serve(port)
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "ended\n"
            answer_with(process, "fail")
            assert late.recv(12) == b"HTTP/1.1 500"
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert err.count("RuntimeError: the page's own") == 1
