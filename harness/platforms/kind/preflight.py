"""What must be there before anything is made, and all that is missing told at once. Facts are read here; `problems` is pure."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.platforms.kind.config import LOOPBACK, NETWORK, NETWORK_LABEL, OWNER_LABEL, KindConfig
from harness.supervisor.ports import is_free

MIN_MEMORY_BYTES = 6 * 2**30
"""Measured by nobody here: the sum of what the parts reserve is about 2.5 GiB, and a node, its API server and the images' pages
come on top."""
MIN_CPUS = 2
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
MIN_INOTIFY_INSTANCES = 256
"""kind's documentation names it as a cause of "too many open files" and suggests 512; many systems come with 128."""

Answer = Callable[..., str | None]
"""Runs a program; what it printed, or None when it failed."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container of Docker's."""

    running: bool
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was found on this machine. Memory in bytes."""

    docker: bool = True
    engine: bool = True
    memory: int = 0
    cpus: int = 0
    os_type: str = "linux"
    registry: Container | None = None
    node: Container | None = None
    same_cluster: bool = False
    """Whether the cluster that is there was made with the configuration that is wanted."""
    network: bool = False
    taken: tuple[int, ...] = field(default=())
    """Ports of ours on which somebody listens."""
    inotify_instances: int | None = None

    @property
    def ours(self) -> bool:
        """Whether a platform of ours is there: its registry's labels say so."""
        return self.registry is not None and OWNER_LABEL in self.registry.labels

    @property
    def makes_network(self) -> bool:
        """Whether kind's network is, or will be, of our making."""
        if self.registry is not None and self.ours:
            return self.registry.labels.get(NETWORK_LABEL) == "made"
        return not self.network


def problems(config: KindConfig, facts: Facts) -> list[str]:
    """Everything that stands in the way, each with what to do about it."""
    if not facts.docker:
        return ["there is no `docker` on PATH: install Docker (its client and its engine)", *_ports(config, facts)]
    if not facts.engine:
        return ["Docker's engine does not answer: start it, or set DOCKER_HOST (`docker info` says more)", *_ports(config, facts)]
    return [*_machine(facts), *_owners(config, facts), *_ports(config, facts)]


def warnings(facts: Facts) -> list[str]:
    """What may go wrong, and need not."""
    if facts.inotify_instances is None or facts.inotify_instances >= MIN_INOTIFY_INSTANCES:
        return []
    return [(
        f"note: fs.inotify.max_user_instances is {facts.inotify_instances}; should pods fail with \"too many open files\": "
        "sudo sysctl fs.inotify.max_user_instances=512"
    )]  # fmt: skip


def _machine(facts: Facts) -> list[str]:
    found = []
    if facts.os_type != "linux":
        found.append(f"Docker runs {facts.os_type} containers: switch it to linux ones")
    if facts.memory < MIN_MEMORY_BYTES:
        has, wants = facts.memory / 2**30, MIN_MEMORY_BYTES / 2**30
        found.append(f"Docker has {has:.1f} GiB of memory, and {wants:.0f} GiB are needed: give it more")
    if facts.cpus < MIN_CPUS:
        found.append(f"Docker has {facts.cpus} CPU, and {MIN_CPUS} are needed: give it more")
    return found


def _owners(config: KindConfig, facts: Facts) -> list[str]:
    found = []
    if facts.registry is not None and facts.registry.labels.get(OWNER_LABEL) != config.cluster:
        found.append(f"there is a container {config.registry} that this harness did not make: remove or rename it")
    if facts.node is not None and not facts.ours:
        found.append(
            f"there is a kind cluster {config.cluster} that this harness did not make: "
            f"`kind delete cluster --name {config.cluster}` if nobody needs it"
        )
    elif facts.node is not None and not facts.node.running:
        found.append(f"the cluster's node is stopped: docker start {config.node} {config.registry}")
    elif facts.node is not None and not facts.same_cluster:
        found.append(
            "the cluster was made with another configuration (ports or version), or never finished: "
            "./run.sh down --platform kind, then again"
        )
    return found


def _ports(config: KindConfig, facts: Facts) -> list[str]:
    names = {port: name for name, port in asdict(config.ports).items()}
    double = {port for port in names if list(asdict(config.ports).values()).count(port) > 1}
    told = [f"port {port} is wanted twice: choose another --gateway-port or --registry-port" for port in sorted(double)]
    return told + [
        f"port {LOOPBACK}:{port} ({names[port]}) is taken: stop what listens there"
        + (f", or choose another --{names[port]}-port" if names[port] in {"gateway", "registry"} else "")
        for port in facts.taken
    ]


def look(config: KindConfig, answer: Answer, *, same_cluster: Callable[[], bool]) -> Facts:
    """Read the facts. `answer` runs a program; `same_cluster` is asked only when a cluster is there."""
    docker = config.programs.docker
    inotify = _inotify_instances()
    if shutil.which(docker) is None:
        return Facts(docker=False, taken=_taken(config, set()), inotify_instances=inotify)
    told = answer(docker, "info", "--format", "{{json .}}")
    info = _json(told)
    if not info or info.get("ServerErrors"):
        return Facts(engine=False, taken=_taken(config, set()), inotify_instances=inotify)
    registry, node = _container(config.registry, docker, answer), _container(config.node, docker, answer)
    ours = registry is not None and OWNER_LABEL in registry.labels
    held = {config.ports.registry} if ours else set()
    if node is not None:
        held = {port for port in asdict(config.ports).values() if ours or port != config.ports.registry}
    return Facts(
        memory=int(info.get("MemTotal") or 0), cpus=int(info.get("NCPU") or 0), os_type=str(info.get("OSType") or "linux"),
        registry=registry, node=node, same_cluster=bool(node and node.running and same_cluster()),
        network=answer(docker, "network", "inspect", "--format", "{{.Id}}", NETWORK) is not None,
        taken=_taken(config, held), inotify_instances=inotify,
    )


def _container(name: str, docker: str, answer: Answer) -> Container | None:
    told = _json(answer(docker, "container", "inspect", "--format", "{{json .}}", name))
    if not told:
        return None
    return Container(running=bool(told["State"]["Running"]), labels=told["Config"].get("Labels") or {})


def _json(told: str | None) -> dict[str, Any]:
    try:
        found = json.loads(told or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _taken(config: KindConfig, ours: set[int]) -> tuple[int, ...]:
    """The ports that somebody has; what a platform of ours holds itself is not asked."""
    wanted = dict.fromkeys(asdict(config.ports).values())
    return tuple(port for port in wanted if port not in ours and not is_free(LOOPBACK, port))


def _inotify_instances() -> int | None:
    """The kernel's limit, where Docker's engine runs on this very kernel; None elsewhere."""
    if os.environ.get("DOCKER_HOST", "unix://").startswith("unix://"):
        try:
            return int(INOTIFY.read_text())
        except (OSError, ValueError):
            return None
    return None
