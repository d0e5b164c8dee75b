"""The processes of the pods: started, waited for, signalled, and never left behind.

Three lines of defence against a pod process that outlives the agent: the kernel kills a container's first process when the agent
dies (PR_SET_PDEATHSIG, harness.supervisor.spawn); a guard process kills the rest of its process group (harness.supervisor.guard);
and what both missed is found at the next start by the records here, each with the start time and a marker in its environment, so
that a process that only has the same number is never touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.supervisor.guard import Guard
from harness.supervisor.procfs import snapshot
from harness.supervisor.spawn import spawn

MARKER = "GATEPROOF_CONTAINER"
# Output of a probe or hook that is kept for its message, in bytes.
OUTPUT_LIMIT = 1024


class Processes:
    """The running containers, each by a key of the caller's. Thread-safe."""

    def __init__(self, records: Path) -> None:
        records.mkdir(parents=True, exist_ok=True)
        self._records = records
        self._guard = Guard()
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        key: str,
        argv: list[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        started: Callable[[int], None],
        exited: Callable[[int], None],
    ) -> None:
        """Start a container's process; `started` is called with its pid, then `exited` with its exit code. Raises OSError."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            child = spawn(tuple(argv), env={**env, MARKER: key}, cwd=cwd, output=output).result()
        self._guard.watch(child.pid)
        with self._lock:
            self._running[key] = child
        record = self._records / f"{child.pid}.json"
        entry = snapshot().get(child.pid)
        # A record that cannot be written is one line of defence less, and no reason to have a process that nobody waits for.
        with contextlib.suppress(OSError):
            record.write_text(json.dumps({"pid": child.pid, "start": entry.start if entry else 0, "marker": key}))
        started(child.pid)
        threading.Thread(target=self._wait, args=(key, child, record, exited), name=f"wait-{child.pid}", daemon=True).start()

    def _wait(self, key: str, child: subprocess.Popen[bytes], record: Path, exited: Callable[[int], None]) -> None:
        # The zombie keeps its number taken, so the group that is killed here can be no other.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
        with self._lock:
            self._running.pop(key, None)
        self._guard.forget(child.pid)
        code = child.wait()
        record.unlink(missing_ok=True)
        exited(code if code >= 0 else 128 - code)

    def terminate(self, key: str) -> None:
        """SIGTERM to the container's first process alone, as a container runtime sends it."""
        with self._lock, contextlib.suppress(OSError):
            if child := self._running.get(key):
                os.kill(child.pid, signal.SIGTERM)

    def kill(self, key: str) -> None:
        """SIGKILL to the whole process group."""
        with self._lock, contextlib.suppress(OSError):
            if child := self._running.get(key):
                os.killpg(child.pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """SIGKILL to every container, and end the guard."""
        with self._lock:
            keys = list(self._running)
        for key in keys:
            self.kill(key)
        self._guard.close()

    def run(self, argv: list[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> tuple[int | None, str]:
        """Run a command to its end: exit code (None: `timeout` seconds were over, it was killed) and output. Raises OSError."""
        with tempfile.TemporaryFile() as output:
            child = spawn(tuple(argv), env=env, cwd=cwd, output=output).result()
            self._guard.watch(child.pid)
            try:
                code: int | None = child.wait(timeout)
            except subprocess.TimeoutExpired:
                code = None
                with contextlib.suppress(OSError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            self._guard.forget(child.pid)
            output.seek(0)
            return code, output.read(OUTPUT_LIMIT).decode(errors="replace").strip()

    def sweep(self) -> list[str]:
        """Kill what an earlier agent left behind; returns one line for each process that was killed."""
        killed = []
        seen = snapshot()
        for record in sorted(self._records.glob("*.json")):
            with contextlib.suppress(ValueError, KeyError, TypeError, OSError):
                old = json.loads(record.read_text())
                pid, marker = int(old["pid"]), str(old["marker"])
                leader = seen.get(pid)
                ours = leader is None or leader.dead or leader.start == old["start"]
                for entry in seen.values():
                    if entry.group == pid and ours and not entry.dead and _marked(entry.pid, marker):
                        os.kill(entry.pid, signal.SIGKILL)
                        killed.append(f"killed process {entry.pid}, left over from container {marker}")
            record.unlink(missing_ok=True)
        return killed


def _marked(pid: int, marker: str) -> bool:
    try:
        return f"{MARKER}={marker}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
