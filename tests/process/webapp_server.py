"""The web app as it runs in a pod, for tests: real gunicorn, real sockets, real signals."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests
from prometheus_client.parser import text_string_to_metric_families

from harness.supervisor.ports import free_port

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "gunicorn", "-c", "webapp/gunicorn.conf.py", "webapp.app:create_app()"]
DEADLINE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Server:
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.url + path, headers=headers, timeout=DEADLINE_SECONDS)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=DEADLINE_SECONDS)

    def injected(self, kind: str) -> float:
        """The app's own count of a kind of fault."""
        return self.metric("webapp_faults_injected_total", kind=kind)

    def metric(self, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(self.get("/metrics").text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def worker(self) -> psutil.Process:
        """The process that answers; the one that was started only watches over it."""
        (worker,) = psutil.Process(self.process.pid).children()
        return worker


Start = Callable[..., Server]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} in {DEADLINE_SECONDS:g} s"
        time.sleep(0.01)


@contextmanager
def running(log: Path, *, await_ready: bool = True, **environ: str) -> Iterator[Server]:
    """The web app on a free port; ready, unless that is not to be waited for."""
    port = free_port()
    env = {"PATH": os.environ["PATH"], "BIND_ADDRESS": "127.0.0.1", "PORT": str(port), **environ}
    with (
        log.open("wb") as output,
        subprocess.Popen(COMMAND, cwd=REPOSITORY_ROOT, env=env, stdout=output, stderr=output) as process,
    ):
        server = Server(process=process, url=f"http://127.0.0.1:{port}", log=log)

        def ready() -> bool:
            assert process.poll() is None, f"exited early with {process.returncode}: {log.read_text()}"
            try:
                return server.get("/readyz").status_code == 200
            except requests.ConnectionError:
                return False

        try:
            if await_ready:
                wait_for(ready, "readiness")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(DEADLINE_SECONDS)
            finally:
                process.kill()
