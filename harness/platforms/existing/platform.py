"""The platform `existing`: a cluster of somebody's, in which a run makes what it needs and removes it again."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
from harness.chart import Helm
from harness.errors import HarnessError, UsageError
from harness.platforms import Images, Say
from harness.platforms.cluster import access
from harness.platforms.cluster.api import ClusterApi
from harness.platforms.cluster.namespaces import checked
from harness.platforms.cluster.platform import ClusterPlatform
from harness.platforms.cluster.reach import At, Reach, at, forward, is_loopback
from harness.platforms.existing.options import LACKS, PLATFORM, read
from harness.release import RELEASE

CHART = Path(harness.__file__).parents[1] / "charts" / "webapp"


@dataclass(kw_only=True)
class ExistingPlatform(ClusterPlatform):
    """A context that the user named."""

    name: str = PLATFORM
    lacks: str = ""
    """What the options left out that a run needs, though not the commands around it."""

    def foresee(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Refuse, before anything is asked of the cluster, a run that was not told what it needs. Raises UsageError."""
        if self.lacks:
            raise UsageError(self.lacks)
        super().foresee(objects)

    @property
    def down_command(self) -> str:
        """The command that removes what a run left."""
        named = shlex.join(["--context", self.access.context, "--kubeconfig", str(self.access.kubeconfig)])
        return f"python -m harness down --platform {PLATFORM} {named} --run-dir {shlex.quote(str(self.run_dir))}"

    def up(self, _: Say, *, detach: bool = True) -> object:
        """Refuse: the cluster is not ours to start."""
        del detach
        raise UsageError(f"--platform {PLATFORM} is up already, or not ours to start: run `success` or `failure` on it")

    def down(self) -> bool:
        """Remove what killed or kept runs of this folder left in the cluster; the cluster itself stays."""
        return self.clean(lambda _: None)

    def plan(self) -> str:
        """What a run would make, and what it needs to be allowed. The cluster is asked, and nothing is changed in it."""
        with tempfile.TemporaryDirectory() as home:
            helm = Helm(binary=self.tools()["helm"], kubeconfig=self.access.kubeconfig, home=Path(home))
            self.foresee(helm.template(RELEASE, "plan", CHART, values_files=self.values_files()))
        api = ClusterApi(self.access)
        self._version = api.version()
        places = self.places(self._namespaces(api, lambda _: None))
        lines = self.announcement(places)
        lines += [f"the {name} is reached at {_told(reach)}" for name, reach in
                  (("gateway", self.gateway), ("Prometheus", self.prometheus))]  # fmt: skip
        refused = set(api.refused(self.rights(places)))
        lines += ["rights:", *(f"  {'missing' if right in refused else 'granted'}  {right}" for right in self.rights(places))]
        return "\n".join(lines)

    def healthy(self) -> bool:
        """Whether the API answers."""
        try:
            ClusterApi(self.access).version()
        except HarnessError:
            return False
        return True

    def status(self) -> dict[str, Any]:
        """What is known of the cluster, and what of ours is in it, as data."""
        try:
            version = ClusterApi(self.access).version()
        except HarnessError as error:
            return {"phase": "unreachable", "context": self.access.context, "error": str(error)}
        left = [claim.namespace for claim in self.ledger.claims() if claim.server == self.access.server]
        where = {"context": self.access.context, "server": self.access.server}
        return {"phase": "ready", **where, "kubernetes": version, "left": left}

    def describe(self) -> str:
        """The same for people."""
        now = self.status()
        if now["phase"] != "ready":
            return str(now["error"])
        left = f"left by earlier runs: {', '.join(now['left'])}" if now["left"] else "nothing of ours is in it"
        return f"context {now['context']} at {now['server']}: Kubernetes {now['kubernetes']}; {left}"

    def dashboards(self) -> tuple[list[str], bool]:
        """Where the parts are that we were told of; the cluster's own dashboards are its owner's."""
        if self.lacks:
            raise UsageError(self.lacks)
        ways = (("gateway", self.gateway), ("Prometheus", self.prometheus))
        return [f"{name:<24} {_told(reach)}" for name, reach in ways], self.healthy()


def _told(reach: Reach) -> str:
    return reach.url if isinstance(reach, At) else f"{reach.inside} (by a port-forward)"


def make(given: Mapping[str, Any], *, run_dir: Path) -> ExistingPlatform:
    """The platform of these options. Raises UsageError."""
    options = read(given)
    names = tuple(checked(name, option="--namespace") for name in options.namespaces)
    if len(set(names)) < len(names):
        raise UsageError("--namespace: the same one twice")
    where: dict[str, Any] = {
        "run_dir": run_dir, "access": access.find(options.kubeconfig, options.context), "namespaces": names,
        "namespace_labels": options.labels, "domain": options.domain,
    }  # fmt: skip
    parts = options.parts
    if parts is None:
        return ExistingPlatform(**where, gateway=At(url=""), prometheus=At(url=""), images=Images(), lacks=LACKS)
    prometheus = _reach(*parts.prometheus)
    if _is_own_machine(prometheus) and not parts.prometheus_address:
        raise UsageError(
            "--prometheus-url is on this machine, where the rollouts controller need not be: "
            "say with --prometheus-address where that finds Prometheus (it may be the same)"
        )
    if parts.prometheus_address is not None:
        at(parts.prometheus_address, option="--prometheus-address")
    return ExistingPlatform(
        **where, gateway=_reach(*parts.gateway), prometheus=prometheus, prometheus_address=parts.prometheus_address or "",
        images=parts.images,
    )  # fmt: skip


def _reach(option: str, value: str) -> Reach:
    return at(value, option=option) if option.endswith("-url") else forward(value, option=option)


def _is_own_machine(reach: Reach) -> bool:
    return isinstance(reach, At) and is_loopback(reach.host)
