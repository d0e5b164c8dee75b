"""A lane: a namespace, a host name and a Prometheus of its own on a platform that is up, so that releases run side by side.

The Prometheus is a lane's own because its discovery slows down with every pod that comes or goes anywhere: beside others' pods a
canary's would be scraped up to 7.5 s late, and a short window would measure something else than it does alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests
import yaml

from harness.errors import PlatformError
from harness.loopback import local_session
from harness.platforms import Endpoints
from harness.platforms.local.config import APP_NAMESPACE, LOOPBACK
from harness.platforms.local.paths import RunPaths, make_private
from harness.supervisor.ports import free_port
from harness.supervisor.process import Process

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
KEPT_JOBS = frozenset({"gateway", "prometheus", "pods"})
"""What a gate asks for: the gateway's statistics, the pods, and Prometheus about itself."""


@contextlib.contextmanager
def lane(name: str, *, paths: RunPaths, program: Path, endpoints: Endpoints) -> Iterator[Endpoints]:
    """The endpoints of a lane for a `with` block. Raises PlatformError when its Prometheus does not start."""
    folder = paths.data / "lanes" / name
    shutil.rmtree(folder, ignore_errors=True)
    make_private(folder)
    # A name that was never there: an earlier lane's namespace takes its time to go, and nothing can be made in it meanwhile.
    namespace, port = f"{APP_NAMESPACE}-{name}-{uuid.uuid4().hex[:6]}", free_port(LOOPBACK)
    config = folder / "prometheus.yml"
    config.write_text(_config((paths.config / "prometheus.yml").read_text(), namespace=namespace, port=port))
    log = paths.logs / f"prometheus-{name}.log"
    log.unlink(missing_ok=True)
    argv = (
        str(program), f"--config.file={config}", f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={LOOPBACK}:{port}", "--log.level=warn", "--scrape.discovery-reload-interval=200ms",
    )  # fmt: skip
    process = Process(argv, env={"PATH": os.environ.get("PATH", "")}, cwd=folder, log=log)
    url = f"http://{LOOPBACK}:{port}"
    try:
        process.start()
        _wait_ready(process, url)
        yield replace(
            endpoints, namespace=namespace, host=f"{namespace}.local", prometheus_url=url, scratch=folder / "harness",
            values={"analysis": {"prometheus": {"address": url}}, "gateway": {"host": f"{namespace}.local"}}, gitops=None,
        )  # fmt: skip
    finally:
        process.stop(timeout=STOP_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def _config(text: str, *, namespace: str, port: int) -> str:
    settings: dict[str, Any] = yaml.safe_load(text)
    jobs = [job for job in settings["scrape_configs"] if job["job_name"] in KEPT_JOBS]
    for job in jobs:
        for discovery in job.get("kubernetes_sd_configs", ()):
            discovery["namespaces"] = {"names": [namespace]}
        if job["job_name"] == "prometheus":
            job["static_configs"] = [{"targets": [f"{LOOPBACK}:{port}"]}]
    return yaml.safe_dump(settings | {"scrape_configs": jobs}, sort_keys=False)


def _wait_ready(process: Process, url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    session = local_session()
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(requests.RequestException):
            if session.get(f"{url}/-/ready", timeout=1).ok:
                return
        time.sleep(0.05)
    last = " ".join(process.log_tail(1))
    raise PlatformError(f"a lane's Prometheus was not ready within {READY_SECONDS:.0f} s: {last} (see {process.log})")

