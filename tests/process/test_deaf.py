"""A program that was made deaf goes on, and nobody can reach it."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.platforms.local.deaf import CALLS, program

ROOT = Path(__file__).parents[2]
LISTENER = """
import os, socket, sys
with socket.socket() as server:
    server.bind(("0.0.0.0", 0))
    server.listen()
    server.setblocking(False)
    print(server.getsockname()[1], flush=True)
    try:
        server.accept()
    except BlockingIOError:
        print("nobody", flush=True)
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as out:
        out.sendall(b"I can still talk")
    child = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", "import socket; s = socket.create_server(('', 0))"])
    print("child", child, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(platform.machine() not in CALLS, reason=f"no system call numbers for {platform.machine()}")
def test_it_believes_to_listen_and_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        argv = [sys.executable, "-m", "harness.platforms.local.deaf", sys.executable, "-c", LISTENER, str(other.getsockname()[1])]
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        assert process.stdout
        with process:
            port = int(process.stdout.readline())
            assert process.stdout.readline() == "nobody\n"
            connection, _ = other.accept()
            with connection:
                assert connection.recv(100) == b"I can still talk"
            assert process.stdout.readline() == "child 0\n"
            mine = psutil.Process(process.pid).net_connections("tcp")
            assert [each for each in mine if each.status == psutil.CONN_LISTEN] == []
            with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
            process.communicate("", timeout=10)
    assert process.returncode == 0


def test_the_same_program_without_it_does_listen() -> None:
    # Otherwise the test above might pass for a reason of its own.
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        mine = psutil.Process().net_connections("tcp")
        assert server.getsockname()[1] in {each.laddr.port for each in mine if each.status == psutil.CONN_LISTEN}


@pytest.mark.parametrize("machine", sorted(CALLS))
def test_the_filter_is_ten_instructions_and_each_jump_ends_inside(machine: str) -> None:
    code = program(machine)
    assert len(code) == 10 * 8
    for at in range(10):
        yes, no = code[8 * at + 2], code[8 * at + 3]
        assert at + 1 + max(yes, no) <= 9 or (yes, no) == (0, 0)
