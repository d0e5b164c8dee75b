"""PURE: a Pod as the API gives it (a dict) to the frozen dataclasses that the plan works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Json = Mapping[str, Any]


class ProbeKind(StrEnum):
    """The three probes of a container, by the name that kubelet's events use."""

    STARTUP = "Startup"
    READINESS = "Readiness"
    LIVENESS = "Liveness"


@dataclass(frozen=True, kw_only=True)
class HttpGet:
    """An HTTP request of a probe or a hook. `host` is None for the pod's own address."""

    path: str
    port: int
    host: str | None = None
    scheme: str = "HTTP"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class TcpSocket:
    """A TCP connection of a probe. `host` is None for the pod's own address."""

    port: int
    host: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExecCommand:
    """A command that runs beside the container's process, with its environment and working directory."""

    command: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Sleep:
    """A hook that only waits. `seconds` as in the pod."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """A probe or hook that cannot be carried out; it fails each time with `message`."""

    message: str


Check = HttpGet | TcpSocket | ExecCommand | Unusable
Hook = HttpGet | ExecCommand | Sleep | Unusable


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A probe with Kubernetes' own defaults. All times are seconds."""

    check: Check
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    grace: float | None = None


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of a pod. `env`, `env_from` and `resources` stay as the API gave them: env.py reads them at each start."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str | None = None
    pull_policy: str = "IfNotPresent"
    env: tuple[Json, ...] = ()
    env_from: tuple[Json, ...] = ()
    resources: Json = field(default_factory=dict)
    ports: tuple[tuple[str, int], ...] = ()
    probes: Mapping[ProbeKind, Probe] = field(default_factory=dict)
    pre_stop: Hook | None = None
    post_start: Hook | None = None
    sidecar: bool = False
    tmp_volume: str | None = None
    log_as_message: bool = False


@dataclass(frozen=True, kw_only=True)
class Pod:
    """What the agent wants to know of a pod. Times are seconds since the epoch."""

    namespace: str
    name: str
    uid: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    node_name: str = ""
    service_account: str = "default"
    restart_policy: str = "Always"
    grace: float = 30.0
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    readiness_gates: tuple[str, ...] = ()
    gated: bool = False
    deleted_at: float | None = None
    deletion_grace: float | None = None
    foreign_conditions: tuple[Json, ...] = ()
    not_honoured: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`, as logs and messages write it."""
        return f"{self.namespace}/{self.name}"

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """Init containers first, in the order in which they run."""
        return (*self.init_containers, *self.containers)

    @property
    def named_ports(self) -> dict[str, int]:
        """Container ports that have a name: istiod resolves a Service's named targetPort by them."""
        return {name: port for container in self.containers for name, port in container.ports if name}


def parse_time(value: str | None) -> float | None:
    """Seconds since the epoch of an RFC 3339 time, or None."""
    return None if not value else datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()


def parse_pod(pod: Json) -> Pod:
    """The Pod of an API object. It is lenient: what the API server accepted never raises here."""
    meta, spec = pod["metadata"], pod.get("spec") or {}
    status = pod.get("status") or {}
    from_tmp = {v["name"] for v in spec.get("volumes") or () if "emptyDir" in v}
    return Pod(
        namespace=meta.get("namespace") or "default",
        name=meta["name"],
        uid=meta["uid"],
        labels=dict(meta.get("labels") or {}),
        annotations=dict(meta.get("annotations") or {}),
        node_name=spec.get("nodeName") or "",
        service_account=spec.get("serviceAccountName") or "default",
        restart_policy=spec.get("restartPolicy") or "Always",
        grace=float(spec.get("terminationGracePeriodSeconds", 30)),
        containers=tuple(_container(c, from_tmp) for c in spec.get("containers") or ()),
        init_containers=tuple(_container(c, from_tmp) for c in spec.get("initContainers") or ()),
        readiness_gates=tuple(g["conditionType"] for g in spec.get("readinessGates") or ()),
        gated=bool(spec.get("schedulingGates")),
        deleted_at=parse_time(meta.get("deletionTimestamp")),
        deletion_grace=meta.get("deletionGracePeriodSeconds"),
        foreign_conditions=tuple(status.get("conditions") or ()),
        not_honoured=tuple(not_honoured(spec)),
    )


def is_tmp(mount: Json, empty_dirs: set[str]) -> bool:
    """Whether the mount is the one that the agent honours: an emptyDir at /tmp, given to the process as TMPDIR."""
    return mount.get("mountPath", "").rstrip("/") == "/tmp" and mount["name"] in empty_dirs  # noqa: S108


def _container(c: Json, empty_dirs: set[str]) -> Container:
    ports = {p["name"]: p["containerPort"] for p in c.get("ports") or () if p.get("name")}
    lifecycle = c.get("lifecycle") or {}
    probes = {kind: c.get(f"{kind.value.lower()}Probe") for kind in ProbeKind}
    tmp = [m["name"] for m in c.get("volumeMounts") or () if is_tmp(m, empty_dirs)]
    return Container(
        name=c["name"],
        image=c.get("image") or "",
        command=tuple(c.get("command") or ()),
        args=tuple(c.get("args") or ()),
        working_dir=c.get("workingDir") or None,
        pull_policy=c.get("imagePullPolicy") or "IfNotPresent",
        env=tuple(c.get("env") or ()),
        env_from=tuple(c.get("envFrom") or ()),
        resources=dict(c.get("resources") or {}),
        ports=tuple((p.get("name") or "", p["containerPort"]) for p in c.get("ports") or ()),
        probes={kind: _probe(p, ports) for kind, p in probes.items() if p},
        pre_stop=_hook(lifecycle.get("preStop"), ports),
        post_start=_hook(lifecycle.get("postStart"), ports),
        sidecar=c.get("restartPolicy") == "Always",
        tmp_volume=tmp[0] if tmp else None,
        log_as_message=c.get("terminationMessagePolicy") == "FallbackToLogsOnError",
    )


def _port(value: int | str, ports: Mapping[str, int]) -> int | None:
    if isinstance(value, int):
        return value
    return ports.get(value) or (int(value) if value.isdigit() else None)


def _http(action: Json, ports: Mapping[str, int]) -> HttpGet | Unusable:
    port = _port(action["port"], ports)
    if port is None:
        return Unusable(message=f"couldn't find port: {action['port']}")
    headers = tuple((h["name"], h.get("value", "")) for h in action.get("httpHeaders") or ())
    path = action.get("path") or "/"
    return HttpGet(
        path=path if path.startswith("/") else f"/{path}",
        port=port,
        host=action.get("host") or None,
        scheme=action.get("scheme") or "HTTP",
        headers=headers,
    )


def _probe(p: Json, ports: Mapping[str, int]) -> Probe:
    grace = p.get("terminationGracePeriodSeconds")
    return Probe(
        check=_check(p, ports),
        initial_delay=float(p.get("initialDelaySeconds") or 0),
        period=float(p.get("periodSeconds") or 10),
        timeout=float(p.get("timeoutSeconds") or 1),
        success_threshold=int(p.get("successThreshold") or 1),
        failure_threshold=int(p.get("failureThreshold") or 3),
        grace=None if grace is None else float(grace),
    )


def _check(p: Json, ports: Mapping[str, int]) -> Check:
    if "httpGet" in p:
        return _http(p["httpGet"], ports)
    if "exec" in p:
        return ExecCommand(command=tuple(p["exec"].get("command") or ()))
    if "tcpSocket" in p:
        port = _port(p["tcpSocket"]["port"], ports)
        if port is None:
            return Unusable(message=f"couldn't find port: {p['tcpSocket']['port']}")
        return TcpSocket(port=port, host=p["tcpSocket"].get("host") or None)
    return Unusable(message="a grpc probe is not supported by the local node agent: use httpGet, tcpSocket or exec")


def _hook(h: Json | None, ports: Mapping[str, int]) -> Hook | None:
    if not h:
        return None
    if "sleep" in h:
        return Sleep(seconds=float(h["sleep"].get("seconds") or 0))
    if "exec" in h:
        return ExecCommand(command=tuple(h["exec"].get("command") or ()))
    if "httpGet" in h:
        return _http(h["httpGet"], ports)
    return Unusable(message="the hook is none of exec, httpGet, sleep")


POD_FIELDS_NOT_HONOURED = (
    *("hostNetwork", "hostPID", "hostIPC", "hostUsers", "hostAliases", "hostname", "subdomain", "setHostnameAsFQDN", "dnsConfig"),
    *("shareProcessNamespace", "runtimeClassName", "imagePullSecrets", "affinity", "topologySpreadConstraints", "nodeSelector"),
    *("ephemeralContainers", "activeDeadlineSeconds", "overhead", "resourceClaims"),
)
CONTAINER_FIELDS_NOT_HONOURED = ("stdin", "tty", "volumeDevices", "resizePolicy", "restartPolicyRules")
VOLUME_KINDS_KNOWN = ("emptyDir", "configMap", "secret", "projected", "downwardAPI")


def not_honoured(spec: Json) -> Sequence[str]:
    """Fields of a pod spec that have no effect here, each as a path a reader finds again in the manifest."""
    found = [f for f in POD_FIELDS_NOT_HONOURED if spec.get(f)]
    found += [f"securityContext.{f}" for f in spec.get("securityContext") or ()]
    empty = {v["name"] for v in spec.get("volumes") or () if "emptyDir" in v}
    for volume in spec.get("volumes") or ():
        found += [f"volumes.{kind}" for kind in volume if kind != "name" and kind not in VOLUME_KINDS_KNOWN]
    for kind in ("containers", "initContainers"):
        for c in spec.get(kind) or ():
            found += [f"{kind}.{f}" for f in CONTAINER_FIELDS_NOT_HONOURED if c.get(f)]
            found += [f"{kind}.securityContext.{f}" for f in c.get("securityContext") or ()]
            found += [f"{kind}.resources.{f}" for f in c.get("resources") or ()]
            found += [f"{kind}.ports.hostPort" for p in c.get("ports") or () if p.get("hostPort")]
            found += ["lifecycle.stopSignal" for _ in (1,) if (c.get("lifecycle") or {}).get("stopSignal")]
            found += [f"{kind}.volumeMounts at {m.get('mountPath')}" for m in c.get("volumeMounts") or () if not is_tmp(m, empty)]
    return list(dict.fromkeys(found))
