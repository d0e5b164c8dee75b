"""The kind platform as the harness sees it: made, looked at and taken away; for scenarios it is a cluster like any other."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import requests

import harness
from harness.errors import PlatformError, UsageError
from harness.loopback import local_session
from harness.platforms import Endpoints, Say
from harness.platforms.cluster.platform import MOST_LANES, ClusterPlatform
from harness.platforms.kind import gitops, pins, preflight, toolchain
from harness.platforms.kind.config import (
    CLUSTER,
    GATEWAY_CONTAINER_PORT,
    LOOPBACK,
    NETWORK,
    REPOSITORY,
    REPOSITORY_URL,
    KindConfig,
    Ports,
    Programs,
)
from harness.platforms.kind.dashboards import Dashboard, dashboards, password
from harness.platforms.kind.preflight import Facts
from harness.platforms.kind.release import VALUES, in_cluster
from harness.platforms.kind.runner import Runner
from harness.platforms.kind.step import Step, ordered, render
from harness.platforms.kind.steps import cluster, removal, steps
from harness.platforms.local import binaries, state
from harness.platforms.local.paths import RunPaths, cache_root

ANSWER_SECONDS = 5
SOURCE = Path(harness.__file__).parents[1]


@dataclass(kw_only=True)
class KindPlatform:
    """A kind cluster with everything in it, and a registry beside it. `run_dir` holds its kubeconfig, files and logs."""

    run_dir: Path
    ports: Ports = field(default_factory=Ports)
    programs: Programs | None = None
    """None: `docker` from PATH, the others those that are built."""
    gitops: bool = False
    """Whether releases are going to be commits. Argo CD is there in any case."""
    git: Path = field(default_factory=lambda: cache_root() / f"kind-{CLUSTER}" / "git")
    """The folder of the repository: like the cluster, one to a user of this machine, whatever the run's folder is."""
    name: str = "kind"
    _foreseen: tuple[Mapping[str, Any], ...] = ()
    _inner: ClusterPlatform | None = None

    @property
    def paths(self) -> RunPaths:
        """The layout of the run's folder."""
        return RunPaths(root=self.run_dir)

    def config(self, programs: Programs, made: toolchain.Toolchain, *, makes_network: bool = True) -> KindConfig:
        """What this platform is made of, with programs and upstream's texts as given."""
        return KindConfig(
            folder=self.run_dir / "kind", kubeconfig=self.paths.kubeconfig, sources=made.sources(), git=self.git,
            programs=programs, ports=self.ports, source=SOURCE, makes_network=makes_network,
        )

    def setup(self, say: Say) -> None:
        """Make whatever is not there yet. Raises PlatformError with everything that stands in the way, or with what failed."""
        if self.gitops:
            gitops.refuse_without_git()
        plain = self._config(say)
        runner = self._runner(plain, say)
        facts = self._facts(plain, runner)
        if found := preflight.problems(plain, facts):
            raise PlatformError(f"the kind platform cannot be made here: {'; '.join(found)}")
        for line in preflight.warnings(facts):
            say(line)
        self.paths.make()
        with _alone(plain):
            runner.run(steps(replace(plain, makes_network=facts.makes_network)))

    def up(self, say: Say, *, detach: bool = True) -> None:
        """The same as `setup`: a cluster stays until it is taken away."""
        del detach
        self.setup(say)

    def plan(self) -> str:
        """Every command and every manifest that `setup` may use, in order.

        Nothing is asked of Docker, and nothing is written but upstream's manifests into the cache.
        """
        return render(steps(self.config(Programs(), toolchain.ensure(_told_beside))))

    def down(self) -> bool:
        """Take away the cluster, the registry, and kind's network if that is ours alone. Returns whether there was anything.

        Raises UsageError when a cluster or container of our name is somebody else's, PlatformError when something stays.
        """
        config = self._config(_quiet)
        runner = self._runner(config, _quiet)
        facts = self._found(config, runner)
        if not facts.ours:
            if facts.registry or facts.node:
                raise UsageError("; ".join(preflight.problems(config, facts)))
            return False
        with _alone(config):
            network = facts.makes_network and self._network_is_free(config, runner)
            for call in removal(config, network=False):
                if runner.answer(*call.argv, seconds=call.timeout_seconds) is None:
                    raise PlatformError(f"it did not work, so something stays: {' '.join(call.argv)}")
            if network:
                runner.answer(*removal(config, network=True)[-1].argv)  # another kind cluster may have come in between
        with contextlib.suppress(FileNotFoundError):
            config.kubeconfig.unlink()
        shutil.rmtree(config.folder, ignore_errors=True)
        gitops.forget(config)
        return True

    @staticmethod
    def _network_is_free(config: KindConfig, runner: Runner) -> bool:
        """Whether nobody but the two containers of ours is in kind's network."""
        look = "{{range .Containers}}{{.Name}} {{end}}"
        told = runner.answer(config.programs.docker, "network", "inspect", "--format", look, NETWORK)
        return told is not None and set(told.split()) <= {config.node, config.registry}

    def dashboards(self) -> tuple[list[str], bool]:
        """A line for each user interface with its health and login, and whether all of them answer.

        Passwords are read from the cluster at this moment and are kept nowhere.
        """
        config = self._config(_quiet)
        runner = self._runner(config, _quiet)
        if not self._found(config, runner).same_cluster:
            raise PlatformError("no kind platform of this configuration is up: ./run.sh setup --platform kind")
        healthy = True
        lines = [f"{'gateway (webapp.local)':<24} http://{LOOPBACK}:{config.ports.gateway}  {self._gateway(config)}"]
        for each in dashboards(config):
            status = _status(each)
            healthy = healthy and status == "200"
            lines.append(f"{each.name:<24} {each.url}  {status}{self._login(config, runner, each)}")
        kubectl = f"{config.programs.kubectl} --kubeconfig {config.kubeconfig} --context {config.context}"
        lines.append(f"{'repository for --gitops':<24} {config.git / REPOSITORY}, for Argo CD {REPOSITORY_URL}")
        return [*lines, f"{'kubectl':<24} {kubectl}"], healthy

    @staticmethod
    def _gateway(config: KindConfig) -> str:
        try:
            answer = local_session().get(
                f"http://{LOOPBACK}:{config.ports.gateway}/version", headers={"Host": "webapp.local"}, timeout=ANSWER_SECONDS
            )
        except requests.RequestException:
            return "no release is installed"  # it listens only once a Gateway asks for it
        return str(answer.status_code)

    @staticmethod
    def _login(config: KindConfig, runner: Runner, each: Dashboard) -> str:
        if each.login is None:
            return ""
        told = runner.answer(*password(config, each.login).argv)
        if not told:
            return f"  user {each.login.user}, password not found in secret {each.login.namespace}/{each.login.secret}"
        return f"  user {each.login.user}, password {base64.b64decode(told).decode(errors='replace')}"

    def healthy(self) -> bool:
        """Whether every part that was installed is there and ready."""
        states = self._states()
        return bool(states) and all(ok for _, ok in states)

    def status(self) -> dict[str, Any]:
        """The platform's state, as data."""
        states = self._states()
        if not states:
            return {"phase": "down", "run_dir": str(self.run_dir)}
        return {
            "phase": "ready" if all(ok for _, ok in states) else "incomplete", "run_dir": str(self.run_dir),
            "steps": {step.name: "ready" if ok else "missing or not ready" for step, ok in states},
        }

    def describe(self) -> str:
        """The platform's state, for people."""
        states = self._states()
        if not states:
            return "no kind platform of ours is up"
        return "\n".join(f"{step.title:<60} {'ready' if ok else 'missing or not ready'}" for step, ok in states)

    def _states(self) -> list[tuple[Step, bool]]:
        config = self._config(_quiet)
        runner = self._runner(config, _quiet)
        facts = self._found(config, runner)
        if facts.node is None or not facts.ours:
            return []
        known = replace(config, makes_network=facts.makes_network)
        return [(step, all(runner.holds(each) for each in step.done)) for step in ordered(steps(known)) if step.done]

    @property
    def most_lanes(self) -> int:
        """How many releases can be under way at once. Each lane has a namespace; Prometheus and the gateway are everybody's."""
        return MOST_LANES

    def foresee(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Take note of what the chart renders to."""
        self._foreseen = tuple(objects)

    @contextlib.contextmanager
    def session(self, say: Say, *, keep: bool) -> Iterator[Endpoints]:
        """The cluster for one scenario or campaign; the release goes at the end unless `keep`, and the cluster stays."""
        config = self._config(say)
        inner = in_cluster(config, self.run_dir, crane=self.tools()["crane"])
        inner.foresee(self._foreseen)
        if self.gitops:
            gitops.refuse_unseen(config, self._runner(config, say).answer)
            say(gitops.ANNOUNCED)
        with inner.session(say, keep=keep) as endpoints:
            self._inner = inner
            gateway = {**endpoints.values["gateway"], "port": GATEWAY_CONTAINER_PORT}
            try:
                yield replace(endpoints, values={**endpoints.values, "gateway": gateway}, gitops=gitops.place(config))
            finally:
                if not keep:
                    gitops.withdraw_what_is_left(endpoints, say)

    def _opened(self) -> ClusterPlatform:
        if self._inner is None:
            raise PlatformError("a session of the kind platform must be open for this")
        return self._inner

    def lane(self, name: str, endpoints: Endpoints) -> contextlib.AbstractContextManager[Endpoints]:
        """A namespace and a host name of their own."""
        return self._opened().lane(name, endpoints)

    def check(self) -> None:
        """Raise PlatformError when the way to the cluster has broken off."""
        self._opened().check()

    def hand(self) -> None:
        """Nobody breaks a cluster's parts."""

    def verify_load_target(self, endpoints: Endpoints) -> None:
        """Raise PlatformError unless what answers at the gateway is a pod of this session's."""
        self._opened().verify_load_target(endpoints)

    def values_files(self) -> tuple[Path, ...]:
        """The chart's differences for this platform."""
        return (VALUES,)

    def values(self) -> Mapping[str, Any]:
        """Nothing: where things are is a matter of a session's endpoints."""
        return {}

    def facts(self) -> Mapping[str, str]:
        """Versions of every part, for the report."""
        return {
            **(self._inner.facts() if self._inner else {}),
            "kind": pins.KIND, "node": pins.NODE_IMAGE, "Argo Rollouts": pins.ARGO_ROLLOUTS, "Argo CD": pins.ARGO_CD,
            "Istio": pins.ISTIO, "kube-prometheus-stack": pins.MONITORING_VERSION, "Kiali": pins.KIALI,
        }

    def tools(self) -> Mapping[str, Path]:
        """The programs that the harness calls itself."""
        found = binaries.find()
        if found is None:
            raise PlatformError("the harness' programs are not built yet: run ./run.sh setup --platform kind")
        return {name: found[name] for name in ("helm", "crane", "kubectl")}

    def _config(self, say: Say) -> KindConfig:
        made = toolchain.ensure(say)
        if self.programs:
            return self.config(self.programs, made)
        built = binaries.ensure(say)
        return self.config(Programs(kind=str(made.kind), kubectl=str(built["kubectl"]), helm=str(built["helm"])), made)

    def _runner(self, config: KindConfig, say: Say) -> Runner:
        return Runner(env=environment(os.environ, config.folder), logs=config.folder / "logs", say=say)

    def _found(self, config: KindConfig, runner: Runner) -> Facts:
        """The facts, for whoever cannot do without Docker. Raises PlatformError."""
        facts = self._facts(config, runner)
        if not facts.docker or not facts.engine:
            raise PlatformError(preflight.problems(config, facts)[0])
        return facts

    @staticmethod
    def _facts(config: KindConfig, runner: Runner) -> Facts:
        wanted = cluster(config).done
        return preflight.look(config, runner.answer, same_cluster=lambda: all(runner.holds(each) for each in wanted))


@contextlib.contextmanager
def _alone(config: KindConfig) -> Iterator[None]:
    """One at a time on this machine makes or removes the cluster of this name. Raises UsageError."""
    lock = state.Lock(cache_root() / f"kind-{config.cluster}.lock")
    if not lock.acquire():
        raise UsageError(f"another setup or down of the kind cluster {config.cluster} is under way: wait for it")
    try:
        yield
    finally:
        lock.release()


def environment(inherited: Mapping[str, str], folder: Path) -> dict[str, str]:
    """What the programs get: the caller's environment without anything that steers helm, kubectl or kind elsewhere."""
    kept = {name: value for name, value in inherited.items() if not name.startswith(("HELM_", "KUBE", "KIND_"))}
    helm = {f"HELM_{name}_HOME": str(folder / "helm" / name.lower()) for name in ("CONFIG", "CACHE", "DATA")}
    return kept | helm | {"KUBECACHEDIR": str(folder / "kube-cache"), "KUBERC": "off", "KIND_EXPERIMENTAL_PROVIDER": "docker"}


def _status(each: Dashboard) -> str:
    try:
        return str(local_session().get(each.health_url, timeout=ANSWER_SECONDS).status_code)
    except requests.RequestException:
        return "no answer"


def _told_beside(line: str) -> None:
    print(line, file=sys.stderr)


def _quiet(_: str) -> None:
    """Say nothing."""
