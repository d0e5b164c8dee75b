"""The local platform as the harness sees it: `up`, `status`, `down`, and a session for one scenario."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

import harness
from harness.disk import full
from harness.errors import EXIT_USAGE, HarnessError, Inconclusive, PlatformError, UsageError
from harness.platforms import Endpoints, GitOps, Part, Say
from harness.platforms.local import binaries, gitops_programs, look, seed, state
from harness.platforms.local.components import components
from harness.platforms.local.config import APP_NAMESPACE, ARGOCD_NAMESPACE, CLUSTER, GATEWAY_PORT, LOOPBACK, REGISTRY_PORT
from harness.platforms.local.hand import LocalHand
from harness.platforms.local.lane import lane
from harness.platforms.local.links import links
from harness.platforms.local.paths import RunPaths
from harness.platforms.local.plan import configure
from harness.platforms.local.ready import Ready
from harness.platforms.local.versions import versions
from harness.supervisor.plan import plan, render
from harness.supervisor.ports import foreign_holder, owned_by

START_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 60.0
CHART = Path(harness.__file__).parents[1] / "charts" / "webapp"
REPOSITORY = "release.git"
MEASURES = frozenset({"prometheus"})
"""What the gate measures with: when it dies the experiment is inconclusive, not the platform's own failure alone."""


@dataclass(kw_only=True)
class LocalPlatform:
    """Real control plane, mesh gateway, metrics and registry as processes on loopback, in one run's folder."""

    run_dir: Path
    gateway_port: int = GATEWAY_PORT
    registry_port: int = REGISTRY_PORT
    gitops: bool = False
    """Whether it must have Argo CD."""
    ready: Ready | None = None
    """A file of ready programs, where an option names one."""
    name: str = "local"
    most_lanes: int = 32
    _owner: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    """What was started here, if it was."""

    def foresee(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Nothing is to be prepared here: whoever owns the platform may do everything in it."""

    @property
    def paths(self) -> RunPaths:
        """The layout of the run's folder."""
        return RunPaths(root=self.run_dir)

    def read(self) -> state.State | None:
        """The platform's state while its owner lives, else None."""
        return state.read(self.paths.state) if state.held(self.paths.lock) else None

    def up(self, say: Say, *, detach: bool = True) -> state.State:
        """Start the platform, or find it running. Raises the owner's own error, in one line."""
        self.setup(say)
        self.paths.make()
        running = self.read()
        if running and running.phase == "ready":
            if self.gitops and not running.gitops:
                raise UsageError(
                    f"the platform in {self.run_dir} is up without Argo CD: stop it with `down`, or choose another with --run-dir"
                )
            say(f"the platform in {self.run_dir} is up already (pid {running.pid})")
            return running
        if running:
            raise UsageError(
                f"the folder {self.run_dir} is in use by another run (pid {running.pid}, {running.phase}): "
                "wait for it, or choose another with --run-dir"
            )
        return self._start(say, detach=detach)

    def _start(self, say: Say, *, detach: bool) -> state.State:
        self.paths.state.unlink(missing_ok=True)
        argv = [
            sys.executable, "-m", "harness.platforms.local.owner", "--run-dir", str(self.run_dir), "--parent", str(os.getpid()),
            "--gateway-port", str(self.gateway_port), "--registry-port", str(self.registry_port),
            *(["--detach"] if detach else []), *(["--gitops"] if self.gitops else []),
        ]
        env = os.environ | {"PYTHONPATH": str(Path(harness.__file__).parents[1])}
        with (self.run_dir / "owner.log").open("w") as log:
            self._owner = owner = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True
            )
        try:
            return self._wait_ready(owner, say)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                owner.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                owner.wait(STOP_TIMEOUT_SECONDS)
            self._owner = None
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
            if now and now.phase == "ready" and now.pid == owner.pid:  # and not somebody else's, who was faster
                return now
            if code is not None:
                raise self._owner_failed(code, now)
            time.sleep(0.05)
        raise PlatformError(f"the platform was not ready after {START_TIMEOUT_SECONDS:.0f} s: see {self.run_dir / 'owner.log'}")

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
        if not state.held(self.paths.lock):
            return False
        pid = state.holder(self.paths.lock)
        try:
            if pid is None:
                raise PlatformError(f"a platform is just starting in {self.run_dir}: try again in a moment")
            process = psutil.Process(pid)
            if "harness.platforms.local.owner" not in " ".join(process.cmdline()):
                raise PlatformError(f"{self.paths.lock} names pid {pid}, which is no platform of ours: remove it if it is stale")
            process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
            # One that has ended counts as gone, even where nobody reaps it: a container's first process seldom does.
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                if time.monotonic() > deadline:
                    raise PlatformError(f"the platform (pid {pid}) did not stop within {STOP_TIMEOUT_SECONDS:.0f} s")
                time.sleep(0.05)
        except psutil.NoSuchProcess:
            return True
        return True

    @contextlib.contextmanager
    def session(self, say: Say, *, keep: bool) -> Iterator[Endpoints]:
        """The platform for one scenario at a time: started if it is not up, and then stopped at the end unless `keep`."""
        self.paths.make()
        with state.used(self.run_dir, self.paths.run_lock):
            self._owner = None
            # All of it inside: an interrupt that comes as the platform gets ready must not leave it to end by itself.
            try:
                up = self.up(say, detach=keep)
                if self._owner is not None:
                    say(f"platform ready after {up.ready_after:.1f} s")
                yield self.endpoints()
            finally:
                # One that was up before, or was brought up by somebody else just now, is not ours to stop.
                if self._owner is not None and not keep:
                    self.down()

    @contextlib.contextmanager
    def lane(self, name: str, endpoints: Endpoints) -> Iterator[Endpoints]:
        """A namespace, a host name and a Prometheus of their own; the namespace is removed with all that is in it."""
        tools = self.tools()
        with lane(name, paths=self.paths, program=tools["prometheus"], endpoints=endpoints) as own:
            try:
                yield own
            finally:
                delete = [str(tools["kubectl"]), f"--kubeconfig={own.kubeconfig}", "delete", "namespace", own.namespace]
                env = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.paths.data), "KUBERC": "off"}
                subprocess.run(
                    [*delete, "--ignore-not-found", "--wait=false"], env=env, capture_output=True, check=False, timeout=30
                )

    def endpoints(self) -> Endpoints:
        """Where the running platform can be reached. Raises PlatformError when it is not up."""
        now = self._running()
        return Endpoints(
            kubeconfig=self.paths.kubeconfig, context=CLUSTER, gateway_url=f"http://{LOOPBACK}:{now.ports['gateway']}",
            prometheus_url=f"http://{LOOPBACK}:{now.ports['prometheus']}", registry=f"localhost:{now.ports['registry']}",
            namespace=APP_NAMESPACE, scratch=self.paths.data / "harness", one_gateway=True, gitops=self._gitops(now),
        )

    def _gitops(self, now: state.State) -> GitOps | None:
        programs = gitops_programs.find() if now.gitops else None
        return None if programs is None else GitOps(
            push_url=str(self.paths.data / "git" / REPOSITORY), repo_url=f"http://{LOOPBACK}:{now.ports['git']}/{REPOSITORY}",
            namespace=ARGOCD_NAMESPACE, destination=f"https://{LOOPBACK}:{now.ports['apiserver']}", git=programs.git,
        )  # fmt: skip

    def _running(self) -> state.State:
        now = self.read()
        if now is None:
            if told := full(self.run_dir, option="--run-dir"):
                raise PlatformError(f"{told} (the platform in it has ended)")
            log = self.run_dir / "owner.log"
            told = f"is not running any more: see {log}" if log.exists() else "was never started: use `up`"
            raise PlatformError(f"the platform in {self.run_dir} {told}")
        if not now.ports:
            raise PlatformError(f"the platform in {self.run_dir} is just starting: try again in a moment")
        return now

    def check(self) -> None:
        """Raise PlatformError when a component died, Inconclusive when it was what the gate measures with."""
        now = self._running()
        if now.died and (told := full(self.run_dir, option="--run-dir")):
            raise PlatformError(f"{told} ({'; '.join(now.died.values())})")
        for name, line in now.died.items():
            if name in MEASURES:
                raise Inconclusive(f"{line}: the gate has nothing to measure with, so its decision proves nothing; run again")
            raise PlatformError(f"{line}; its log is {self.paths.logs / (name + '.log')}")

    def hand(self) -> LocalHand:
        """Its owner kills and restarts components by order."""
        return LocalHand(folder=self.run_dir, read=self._running)

    def verify_load_target(self, _: Endpoints) -> None:
        """Raise PlatformError unless our Envoy alone serves the gateway port, UsageError where it is open to the network."""
        now = self._running()
        pid = next(c["pid"] for c in now.components if c["name"] == "gateway")
        port = now.ports["gateway"]
        if not owned_by(pid, LOOPBACK, port):
            who = foreign_holder(pid, LOOPBACK, port)
            raise PlatformError(
                f"port {LOOPBACK}:{port} is served by {who or 'nobody'}, "
                f"not by this platform's gateway (pid {pid}): no load was sent"
            )
        listening = (each.laddr for each in psutil.Process(pid).net_connections("tcp") if each.status == psutil.CONN_LISTEN)
        if any(each.port == port and not each.ip.startswith("127.") for each in listening):
            raise UsageError(
                f"the chart's Gateway listens on every interface of this machine, port {port}: "
                f"give its server `bind: {LOOPBACK}` (in our chart, gateway.bind)"
            )

    def values_files(self) -> tuple[Path, ...]:
        """The chart's differences for this platform."""
        return (CHART / "values-local.yaml",)

    def values(self) -> Mapping[str, Any]:
        """Where things are this time."""
        now = self._running()
        return {
            "analysis": {"prometheus": {"address": f"http://{LOOPBACK}:{now.ports['prometheus']}"}},
            "gateway": {"port": now.ports["gateway"]},
        }

    def tools(self) -> Mapping[str, Path]:
        """The programs that the harness calls itself."""
        found = binaries.find()
        if found is None:
            raise PlatformError("the platform's programs are not built yet: run ./run.sh setup")
        return {name: found[name] for name in ("helm", "crane", "kubectl", "prometheus")}

    def facts(self) -> Mapping[str, str]:
        """Versions of every part, from the lock files that pin them."""
        return versions(gitops=self.gitops)

    def setup(self, say: Say) -> None:
        """Have every program: looked up, unpacked or built."""
        binaries.ensure(say, self.ready)
        if self.gitops:
            gitops_programs.ensure(say, self.ready)

    def plan(self) -> str:
        """What `up` would start, as text."""
        found = binaries.find() or binaries.cached()
        gitops = gitops_programs.expected() if self.gitops else None
        config = configure(
            self.paths, found, gateway_port=self.gateway_port, registry_port=self.registry_port, gitops=gitops,
            seeded=None if found.missing() else seed.find(found),
        )  # fmt: skip
        return render(plan(components(config), existing={c.argv[0] for c in components(config)}))

    def healthy(self) -> bool:
        """Whether the platform is up and every component lives."""
        now = self.read()
        return bool(now and now.phase == "ready" and not now.died)

    def status(self) -> dict[str, Any]:
        """The platform's state, as data."""
        now = self.read()
        if now is None:
            return {"phase": "down", "run_dir": str(self.run_dir)}
        memory = sum(c["rss"] or 0 for c in now.components)
        return {**asdict(now), "run_dir": str(self.run_dir), "rss_bytes": memory, "urls": self._urls(now)}

    def describe(self) -> str:
        """The platform's state, for people."""
        return look.described(self.status())

    def _urls(self, now: state.State) -> dict[str, str]:
        return links(now.ports, kubectl=self.tools()["kubectl"], kubeconfig=self.paths.kubeconfig, gitops=now.gitops)

    def parts(self) -> list[Part]:
        """Each part, and whether it is well. Raises PlatformError when the platform is not up."""
        now = self._running()
        return [*look.components(now), *look.asked(self._urls(now)), look.targets(self.endpoints().prometheus_url)]

    def logs(self) -> Mapping[str, Path]:
        """Every log of this run by a name of its own."""
        return look.logs(self.paths)

    def dashboards(self) -> tuple[list[str], bool]:
        """A line for each thing that can be looked at, and whether all of them answer."""
        found = self._urls(self._running())
        answers = {part.name: part for part in look.asked(found)}
        lines = [f"{name:<24} {url}" + (f"  {answers[name].told}" if name in answers else "") for name, url in found.items()]
        return lines, self.healthy() and all(part.well for part in answers.values())
