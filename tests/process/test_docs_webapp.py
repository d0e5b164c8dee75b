"""The commands in docs/webapp.md, run as a reader would: one after another, in one shell."""

import os
import subprocess
import sys
from pathlib import Path

from docs_support import shell_blocks
from webapp_server import REPOSITORY_ROOT

from harness.supervisor.ports import free_port

DEADLINE_SECONDS = 60.0


def test_the_commands_work_as_they_stand() -> None:
    # -e: the first command that fails ends it. -m: job control, which an interactive shell has.
    script = "\n".join(["trap 'kill %1 2>/dev/null || true' EXIT", *shell_blocks("webapp.md")])
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PORT": str(free_port())}
    done = subprocess.run(
        ["bash", "-e", "-u", "-m", "-c", script],
        cwd=REPOSITORY_ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for expected in (
        '{"status":"ready"}',
        "HTTP/1.1 200 OK",
        "X-App-Version: v1.0",
        '{"pod":null,"service":"webapp","version":"v1.0"}',
        '"error_rate":20.0',
        '"error_rate":0.0',
        '{"detail":"hang_rate=50: error_rate + hang_rate must not exceed 100","status":422,',
        "Shutting down: Master",
    ):
        assert expected in said, f"{expected} is not in {said}"
