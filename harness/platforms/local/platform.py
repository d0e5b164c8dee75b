"""The local platform as the harness sees it: `up`, `status`, `down`, and a session for one scenario."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import harness
from harness.errors import EXIT_USAGE, HarnessError, Inconclusive, PlatformError, UsageError
from harness.platforms import Endpoints, Say
from harness.platforms.local import binaries, state
from harness.platforms.local.config import APP_NAMESPACE, CLUSTER, GATEWAY_PORT, LOOPBACK, REGISTRY_PORT
from harness.platforms.local.paths import RunPaths
from harness.platforms.local.versions import versions
from harness.supervisor.ports import foreign_holder, owned_by

START_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 60.0
CHART = Path(harness.__file__).parents[1] / "charts" / "webapp"
MEASURES = frozenset({"prometheus"})
"""What the gate measures with: when it dies the experiment is inconclusive, not the platform's own failure alone."""


@dataclass(kw_only=True)
class LocalPlatform:
    """Real control plane, mesh gateway, metrics and registry as processes on loopback, in one run's folder."""

    run_dir: Path
    gateway_port: int = GATEWAY_PORT
    registry_port: int = REGISTRY_PORT
    name: str = "local"

    @property
    def paths(self) -> RunPaths:
        """The layout of the run's folder."""
        return RunPaths(root=self.run_dir)

    def read(self) -> state.State | None:
        """The platform's state while its owner lives, else None."""
        return state.read(self.paths.state) if state.held(self.paths.lock) else None

    def up(self, say: Say, *, detach: bool = True) -> state.State:
        """Start the platform, or find it running. Raises the owner's own error, in one line."""
        programs = binaries.ensure(say)
        self.paths.make()
        running = self.read()
        if running and running.phase == "ready":
            say(f"the platform in {self.run_dir} is up already (pid {running.pid})")
            return running
        if running:
            raise UsageError(
                f"the folder {self.run_dir} is in use by another run (pid {running.pid}, {running.phase}): "
                "wait for it, or choose another with --run-dir"
            )
        return self._start(say, programs, detach=detach)

    def _start(self, say: Say, programs: binaries.Binaries, *, detach: bool) -> state.State:
        self.paths.state.unlink(missing_ok=True)
        argv = [
            sys.executable, "-m", "harness.platforms.local.owner", "--run-dir", str(self.run_dir), "--parent", str(os.getpid()),
            "--gateway-port", str(self.gateway_port), "--registry-port", str(self.registry_port), *(["--detach"] if detach else []),
        ]
        env = os.environ | {"PYTHONPATH": str(Path(harness.__file__).parents[1])}
        with (self.run_dir / "owner.log").open("w") as log:
            owner = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True)
        try:
            return self._wait_ready(owner, say)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                owner.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                owner.wait(STOP_TIMEOUT_SECONDS)
            raise

    def _wait_ready(self, owner: subprocess.Popen[bytes], say: Say) -> state.State:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        said: set[str] = set()
        while time.monotonic() < deadline:
            code = owner.poll()
            now = state.read(self.paths.state)
            for component in now.components if now else []:
                if component["state"] == "ready" and component["name"] not in said:
                    said.add(component["name"])
                    say(f"{component['name']} ready after {component['ready_after']:.1f} s")
            if now and now.phase == "ready":
                return now
            if code is not None:
                raise self._owner_failed(code, now)
            time.sleep(0.05)
        raise PlatformError(f"the platform in {self.run_dir} was not ready after {START_TIMEOUT_SECONDS:.0f} s: see owner.log there")

    def _owner_failed(self, code: int, last: state.State | None) -> HarnessError:
        if last and last.error:
            kind = UsageError if last.exit_code == EXIT_USAGE else PlatformError
            return kind(last.error)
        if state.held(self.paths.lock):
            return UsageError(f"the folder {self.run_dir} is in use by another run: choose another with --run-dir")
        log = self.run_dir / "owner.log"
        tail = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
        return PlatformError(f"the platform's owner ended with code {code} before it was ready: {' '.join(tail)} (see {log})")

    def down(self) -> bool:
        """Stop the platform of this folder. Returns whether there was one. Raises PlatformError when it does not end."""
        if not self.paths.lock.exists() or not state.held(self.paths.lock):
            return False
        pid = int(state.holder(self.paths.lock) or 0)
        try:
            process = psutil.Process(pid)
            if "harness.platforms.local.owner" not in " ".join(process.cmdline()):
                raise PlatformError(f"{self.paths.lock} names pid {pid}, which is not a platform of ours: remove the file if it is stale")
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_TIMEOUT_SECONDS)
        except psutil.NoSuchProcess:
            return True
        except psutil.TimeoutExpired:
            raise PlatformError(f"the platform (pid {pid}) did not stop within {STOP_TIMEOUT_SECONDS:.0f} s") from None
        return True

    @contextlib.contextmanager
    def session(self, say: Say, *, keep: bool) -> Iterator[Endpoints]:
        """The platform for one scenario at a time: started if it is not up, and then stopped at the end unless `keep`."""
        self.paths.make()
        lock = state.Lock(self.paths.run_lock)
        if not lock.acquire():
            raise UsageError(
                f"the folder {self.run_dir} is in use by another run (pid {state.holder(self.paths.run_lock)}): "
                "wait for it, or choose another with --run-dir"
            )
        try:
            mine = self.read() is None
            up = self.up(say, detach=keep)
            if mine:
                say(f"platform ready after {up.ready_after:.1f} s")
            try:
                yield self.endpoints()
            finally:
                if mine and not keep:
                    self.down()
        finally:
            lock.release()

    def endpoints(self) -> Endpoints:
        """Where the running platform can be reached. Raises PlatformError when it is not up."""
        now = self._running()
        return Endpoints(
            kubeconfig=self.paths.kubeconfig, context=CLUSTER, gateway_url=f"http://{LOOPBACK}:{now.ports['gateway']}",
            prometheus_url=f"http://{LOOPBACK}:{now.ports['prometheus']}", registry=f"localhost:{now.ports['registry']}",
            namespace=APP_NAMESPACE,
        )

    def _running(self) -> state.State:
        now = self.read()
        if now is None:
            raise PlatformError(f"the platform in {self.run_dir} is not running any more: see {self.run_dir / 'owner.log'}")
        return now

    def check(self) -> None:
        """Raise PlatformError when a component died, Inconclusive when it was what the gate measures with."""
        now = self._running()
        for name, line in now.died.items():
            if name in MEASURES:
                raise Inconclusive(f"{line}: the gate has nothing to measure with, so its decision proves nothing; run again")
            raise PlatformError(f"{line}; its log is {self.paths.logs / (name + '.log')}")

    def verify_load_target(self) -> None:
        """Raise PlatformError unless the gateway's port is served by our Envoy alone."""
        now = self._running()
        pid = next(c["pid"] for c in now.components if c["name"] == "gateway")
        port = now.ports["gateway"]
        if not owned_by(pid, LOOPBACK, port):
            who = foreign_holder(pid, LOOPBACK, port)
            raise PlatformError(
                f"port {LOOPBACK}:{port} is not served by this platform's gateway (pid {pid}) but by {who or 'nobody'}: no load was sent"
            )

    def values(self) -> tuple[tuple[Path, ...], Mapping[str, Any]]:
        """The chart's values for this platform."""
        now = self._running()
        return (CHART / "values-local.yaml",), {
            "analysis": {"prometheus": {"address": f"http://{LOOPBACK}:{now.ports['prometheus']}"}},
            "gateway": {"port": now.ports["gateway"]},
        }

    def tools(self) -> Mapping[str, Path]:
        """The programs that the harness calls itself."""
        found = binaries.find()
        if found is None:
            raise PlatformError("the platform's programs are not built yet: run ./run.sh setup")
        return {name: found[name] for name in ("helm", "crane", "kubectl")}

    def facts(self) -> Mapping[str, str]:
        """Versions of every part, from the lock files that pin them."""
        return versions()
