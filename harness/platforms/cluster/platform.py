"""A cluster as the harness sees it: a session for scenarios, lanes side by side, and everything given back in the end."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import requests

from harness.chart import Helm
from harness.errors import Inconclusive, PlatformError, UsageError
from harness.loopback import local_session
from harness.platforms import Endpoints, Images, Say
from harness.platforms.cluster.access import Access
from harness.platforms.cluster.api import ClusterApi
from harness.platforms.cluster.ledger import Claim, Ledger
from harness.platforms.cluster.namespaces import Namespaces, Place
from harness.platforms.cluster.reach import At, Reach, Reached, is_loopback, reached
from harness.platforms.cluster.rights import WATCHED, Right, in_namespace, kinds_of, to_forward, to_make_namespaces
from harness.platforms.local import binaries, state
from harness.platforms.local.paths import RunPaths, make_private
from harness.platforms.local.versions import versions

TOOLS = ("helm", "crane", "kubectl")
MOST_LANES = 32
READY_SECONDS = 180.0
"""A node may have to pull the image first."""


@dataclass(kw_only=True)
class ClusterPlatform:
    """A cluster that is up: what is run in it, and where it is reached. `run_dir` holds logs and what is not removed yet."""

    name: str
    run_dir: Path
    access: Access
    gateway: Reach
    """The mesh's ingress gateway, as users reach it."""
    prometheus: Reach
    prometheus_address: str = ""
    """Prometheus as the rollouts controller reaches it; empty: the address or the Service given above."""
    images: Images
    namespaces: tuple[str, ...] = ()
    """Namespaces by name; what is not there is made, and removed afterwards. Empty: one with a name of its own is made."""
    make_lanes: bool | None = None
    """Whether each lane has a namespace made for it (True), or takes one of `namespaces` (False); None: by what is there."""
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    """Of namespaces that are made, such as istio-injection=enabled."""
    host: str = ""
    """The host name of the first namespace's release; empty: like those of lanes, <namespace>.<domain>."""
    domain: str = "local"
    files: tuple[Path, ...] = ()
    """The chart's values files for this platform."""
    _kinds: frozenset[tuple[str, str]] = frozenset()
    _reached: list[Reached] = field(default_factory=list)
    _spaces: Namespaces | None = None
    _free: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _version: str = "unknown"

    @property
    def paths(self) -> RunPaths:
        """The layout of the run's folder."""
        return RunPaths(root=self.run_dir)

    @property
    def ledger(self) -> Ledger:
        """What is not removed yet."""
        return Ledger(self.run_dir / "cluster.json")

    @property
    def most_lanes(self) -> int:
        """How many releases can be under way at once: one to each namespace, where only named ones may be used."""
        return MOST_LANES if self._lanes_are_made else len(self._free) or 1

    @property
    def _lanes_are_made(self) -> bool:
        return not self.namespaces if self.make_lanes is None else self.make_lanes

    def foresee(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Take note of what the chart renders to: the rights for it are asked for before anything is made."""
        self._kinds |= kinds_of(objects)

    @contextlib.contextmanager
    def session(self, say: Say, *, keep: bool) -> Iterator[Endpoints]:
        """The cluster for one scenario or one campaign at a time; all that was made in it is removed at the end unless `keep`."""
        self.paths.make()
        with state.used(self.run_dir, self.paths.run_lock), self._open(say, keep=keep) as endpoints:
            yield endpoints

    @contextlib.contextmanager
    def _open(self, say: Say, *, keep: bool) -> Iterator[Endpoints]:
        api = ClusterApi(self.access)
        self._version = api.version()
        self._spaces = spaces = self._namespaces(api, say)
        places = self.places(spaces)
        self.preflight(api, places)
        for line in self.announcement(places):
            say(line)
        with contextlib.ExitStack() as ways:
            gateway, prometheus = (
                ways.enter_context(reached(
                    reach, name=name, access=self.access, kubectl=self.tools()["kubectl"], folder=self.paths.logs,
                ))
                for name, reach in (("gateway", self.gateway), ("prometheus", self.prometheus))
            )  # fmt: skip
            self._reached = [gateway, prometheus]
            _answers(prometheus)
            try:
                claims = [spaces.take(place) for place in places]
                self._free = [claim.namespace for claim in claims]
                yield self._endpoints(places[0].namespace, gateway=gateway, prometheus=prometheus)
            finally:
                self._end(spaces, say, keep=keep)

    def _end(self, spaces: Namespaces, say: Say, *, keep: bool) -> None:
        mine = [claim for claim in self.ledger.claims() if claim.server == self.access.server]
        if keep:
            say("kept: " + ", ".join(claim.namespace for claim in mine) + f"; `{self.down_command}` removes it")
            return
        for line in spaces.give_back(mine):
            say(f"note: not removed: {line}; `{self.down_command}` tries again")

    @property
    def down_command(self) -> str:
        """The command that removes what a run left."""
        return f"python -m harness down --platform {self.name} --run-dir {self.run_dir}"

    def _namespaces(self, api: ClusterApi, say: Say) -> Namespaces:
        helm = Helm(
            binary=self.tools()["helm"], kubeconfig=self.access.kubeconfig, context=self.access.context,
            home=self.paths.data / "harness",
        )
        return Namespaces(
            api=api, helm=helm, ledger=self.ledger, server=self.access.server, labels=self.namespace_labels, say=say
        )

    def places(self, spaces: Namespaces) -> list[Place]:
        """The namespaces that a session takes at its begin."""
        if not self.namespaces:
            return [Place(namespace=f"gateproof-{uuid.uuid4().hex[:6]}", there=False)]
        return [spaces.look(name) for name in self.namespaces]

    def rights(self, places: Iterable[Place]) -> list[Right]:
        """Every right that a session needs."""
        found = [right for place in places for right in in_namespace(self._kinds, place.namespace)]
        if self._lanes_are_made or any(not place.there for place in places):
            found += to_make_namespaces()
        for reach in (self.gateway, self.prometheus):
            found += () if isinstance(reach, At) else to_forward(reach.namespace)
        return found

    def preflight(self, api: ClusterApi, places: list[Place]) -> None:
        """Raise PlatformError with everything at once that the cluster lacks, or that its user may not do."""
        lacking = [f"it does not serve {resource}.{group}" for group, resource in api.unknown({*self._kinds, *WATCHED})]
        lacking += [f"we may not {right}" for right in api.refused(self.rights(places))]
        if lacking:
            raise PlatformError(
                f"context {self.access.context} ({self.access.server}) cannot be used: {'; '.join(lacking)} "
                "(`python -m harness role` prints the Role that a run needs)"
            )

    def announcement(self, places: Iterable[Place]) -> list[str]:
        """What a session is going to make, in lines."""
        kinds = ", ".join(sorted(f"{resource}.{group}" if group else resource for group, resource in self._kinds))
        lines = [f"context {self.access.context} at {self.access.server}"]
        for place in places:
            how = "is there and stays" if place.there else "is made for this run, and removed with all that is in it"
            lines.append(f"namespace {place.namespace} {how}")
        lines.append(f"the helm release webapp in it is made, and removed again: {kinds}, and helm's own secrets")
        return lines

    def _endpoints(self, namespace: str, *, gateway: Reached, prometheus: Reached) -> Endpoints:
        host = self.gateway.host if isinstance(self.gateway, At) else ""
        return Endpoints(
            kubeconfig=self.access.kubeconfig, context=self.access.context, gateway_url=gateway.url,
            prometheus_url=prometheus.url, registry=self.images.registry, namespace=namespace, images=self.images,
            scratch=self.paths.data / "harness", host=self.host or f"{namespace}.{self.domain}", makes_namespace=False,
            ready_seconds=READY_SECONDS,
            load_host="" if is_loopback(host) else host,
            values={
                "analysis": {"prometheus": {"address": self.prometheus_address or self.prometheus.inside}},
                "gateway": {"port": self.gateway.port, "host": self.host or f"{namespace}.{self.domain}"},
            },
        )  # fmt: skip

    @contextlib.contextmanager
    def lane(self, name: str, endpoints: Endpoints) -> Iterator[Endpoints]:
        """A namespace and a host name of their own; the Prometheus is the cluster's. Raises UsageError when none is free."""
        if self._spaces is None:
            raise PlatformError("a lane needs a session")
        if not self._lanes_are_made:
            with self._named(name) as namespace:
                yield self._in(namespace, name, endpoints)
            return
        namespace = f"{endpoints.namespace[:40].rstrip('-')}-{name}-{uuid.uuid4().hex[:6]}"
        claim = self._spaces.take(Place(namespace=namespace, there=False))
        try:
            yield self._in(namespace, name, endpoints)
        finally:
            self._leave(claim, self._spaces)

    @contextlib.contextmanager
    def _named(self, lane: str) -> Iterator[str]:
        with self._lock:
            if not self._free:
                raise UsageError(f"{lane} needs a namespace of its own: name another with --namespace, or use fewer --lanes")
            namespace = self._free.pop(0)
        try:
            yield namespace
        finally:
            with self._lock:
                self._free.append(namespace)

    @staticmethod
    def _leave(claim: Claim, spaces: Namespaces) -> None:
        # What goes wrong here is tried again, and told of, at the session's end.
        with contextlib.suppress(PlatformError):
            spaces.begin_removal(claim)

    def _in(self, namespace: str, lane: str, endpoints: Endpoints) -> Endpoints:
        folder = self.paths.data / "lanes" / lane
        make_private(folder)
        host = f"{namespace}.{self.domain}"
        values = {**endpoints.values, "gateway": {**endpoints.values["gateway"], "host": host}}
        return replace(endpoints, namespace=namespace, host=host, scratch=folder / "harness", values=values, gitops=None)

    def check(self) -> None:
        """Raise PlatformError when the way to the gateway has broken off, Inconclusive when it was the one to Prometheus."""
        for each in self._reached:
            if told := each.gone():
                kind = Inconclusive if each.name == "prometheus" else PlatformError
                raise kind(f"{told}: run again, or give its address instead")

    def hand(self) -> None:
        """Nobody breaks a cluster's parts."""

    def verify_load_target(self, endpoints: Endpoints) -> None:
        """Raise PlatformError unless what answers at the gateway for our host is a pod of our own namespace."""
        gateway = self._reached[0]
        if not gateway.ours():
            raise PlatformError(f"{gateway.url} is not served by our own port-forward: no load was sent")
        try:
            answer = local_session().get(f"{gateway.url}/version", headers={"Host": endpoints.host}, timeout=5)
            pod = answer.headers.get("X-Pod-Name", "")
        except requests.RequestException as error:
            raise PlatformError(f"{gateway.url} does not answer ({type(error).__name__}): no load was sent") from None
        pods = ClusterApi(self.access).call("GET", f"/api/v1/namespaces/{endpoints.namespace}/pods").body.get("items") or ()
        if pod not in {each["metadata"]["name"] for each in pods}:
            raise PlatformError(
                f"{gateway.url} answered for {endpoints.host} as pod {pod or '(unnamed)'}, which is none of namespace "
                f"{endpoints.namespace}: no load was sent"
            )

    def setup(self, say: Say) -> None:
        """Have the programs built that the harness calls."""
        binaries.ensure(say)

    def values_files(self) -> tuple[Path, ...]:
        """The chart's differences for this platform."""
        return self.files

    def values(self) -> Mapping[str, Any]:
        """Nothing: where things are is a matter of a session's endpoints."""
        return {}

    def tools(self) -> Mapping[str, Path]:
        """The programs that the harness calls itself."""
        found = binaries.find()
        if found is None:
            raise PlatformError("the harness' programs are not built yet: run ./run.sh setup")
        return {name: found[name] for name in TOOLS}

    def facts(self) -> Mapping[str, str]:
        """What is known of the cluster, and the versions of what the harness brought along."""
        brought = versions()
        return {"Kubernetes": self._version, "context": self.access.context} | {
            part: brought[part] for part in ("Helm", "Flask", "gunicorn", "Locust")
        }

    def clean(self, say: Say) -> bool:
        """Remove what earlier runs of this folder left in this cluster. Returns whether there was anything."""
        self.paths.make()
        left = [claim for claim in self.ledger.claims() if claim.server == self.access.server]
        if not left:
            return False
        if wrong := self._namespaces(ClusterApi(self.access), say).give_back(left):
            raise PlatformError("not removed: " + "; ".join(wrong))
        return True


def _answers(prometheus: Reached) -> None:
    """Raise PlatformError unless Prometheus says that it is ready: without it no gate decides anything."""
    try:
        status = local_session().get(f"{prometheus.url}/-/ready", timeout=5).status_code
    except requests.RequestException as error:
        raise PlatformError(f"Prometheus does not answer at {prometheus.url} ({type(error).__name__})") from None
    if status != 200:
        raise PlatformError(f"Prometheus is not ready at {prometheus.url}: /-/ready answered {status}")
