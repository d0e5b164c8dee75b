"""A process that holds the application can fork: gunicorn does, and so does whoever starts a program from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
# The thread pools' own fork handlers come with their first use. Had OpenTelemetry's been there before, which uses a pool in the
# child to describe its process anew, then it would wait there for a lock that was taken for the fork.
FORK = """
import os
from webapp.app import create_app
app = create_app({})
from concurrent.futures import ThreadPoolExecutor
ThreadPoolExecutor(1).submit(int).result()
child = os.fork()
if child == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_does_not_wait_for_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stdout.strip()) == (0, "7"), done.stderr
