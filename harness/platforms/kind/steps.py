"""The steps that make a kind platform, and the calls that take it away. PURE: data from a configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.platforms.kind import manifests, upstream, values
from harness.platforms.kind.config import (
    ARGOCD_NAMESPACE,
    FINGERPRINT_LABEL,
    GATEWAY,
    GIT_MOUNT,
    GIT_SETTINGS,
    LOOPBACK,
    MESH_NAMESPACE,
    MONITORING,
    MONITORING_NAMESPACE,
    NETWORK,
    NETWORK_LABEL,
    OWN_NAMESPACE,
    OWNER_LABEL,
    PROMETHEUS_URL,
    RECORD,
    ROLLOUTS_NAMESPACE,
    KindConfig,
)
from harness.platforms.kind.pins import (
    ARGO_CD,
    ARGO_ROLLOUTS,
    ISTIO,
    KIALI,
    MONITORING_CHART,
    MONITORING_VERSION,
    NODE_IMAGE,
    PYTHON_IMAGE,
    REGISTRY_IMAGE,
    UPSTREAM_IMAGES,
)
from harness.platforms.kind.step import Call, Check, File, Step, fingerprint

CREATE_SECONDS = 900.0
"""A first run pulls the node image (about 400 MB)."""
INSTALL_SECONDS = 600
"""For one part to be installed and ready; a first run pulls its images."""
LOOK_SECONDS = 5
PENDING = "status in (pending-install,pending-upgrade,pending-rollback)"
VERSIONS = ("v1.0", "v1.1")
"""Of the web app. Two images do for all releases: what a version does wrong is told to its pods by their environment."""


def steps(config: KindConfig) -> tuple[Step, ...]:
    """Everything from the registry to the last dashboard. Raises PlatformError where upstream's manifests are not as expected."""
    return (
        _registry(config), _images(config), _repository(config), cluster(config), _kubeconfig(config),
        _registry_network(config), _registry_hosts(config),
        _basics(config), _access(config), _istio_base(config), _istiod(config), _mesh_policy(config), _gateway(config),
        _argo_rollouts(config), _argo_cd(config), _monitoring(config), _monitors(config), _kiali(config),
    )


def removal(config: KindConfig, *, network: bool) -> tuple[Call, ...]:
    """The calls that take the platform away; the registry, whose labels say that all of it is ours, goes after the cluster.

    `network`: kind's network too, which was not there before this platform and which nobody else uses.
    """
    programs = config.programs
    calls = (
        Call(argv=(programs.kind, "delete", "cluster", "--name", config.cluster, "--kubeconfig", str(config.kubeconfig)),
             timeout_seconds=300.0),
        Call(argv=(programs.docker, "container", "rm", "--force", "--volumes", config.registry)),
    )
    return (*calls, Call(argv=(programs.docker, "network", "rm", NETWORK))) if network else calls


def _registry(config: KindConfig) -> Step:
    docker = config.programs.docker
    run = ("--detach", "--restart=always", "--publish", f"{LOOPBACK}:{config.ports.registry}:5000", "--network", "bridge",
           "--name", config.registry)
    mark = fingerprint((Call(argv=("", *run, REGISTRY_IMAGE)),), {})
    labels = {
        OWNER_LABEL: config.cluster, FINGERPRINT_LABEL: mark, NETWORK_LABEL: "made" if config.makes_network else "found",
    }
    options = tuple(word for name, value in labels.items() for word in ("--label", f"{name}={value}"))
    look = f'{{{{.State.Running}}}} {{{{index .Config.Labels "{FINGERPRINT_LABEL}"}}}}'
    return Step(
        name="registry", title=f"container registry at localhost:{config.ports.registry}",
        # A container of that name that is not ours is refused before anything is started.
        calls=(
            Call(argv=(docker, "container", "rm", "--force", "--volumes", config.registry)),
            Call(argv=(docker, "run", *run, *options, REGISTRY_IMAGE), timeout_seconds=INSTALL_SECONDS),
        ),
        done=(Check(call=Call(argv=(docker, "container", "inspect", "--format", look, config.registry)), prints=f"true {mark}"),),
    )


def _images(config: KindConfig) -> Step:
    """Not skipped: whether the source has changed is what Docker's build cache knows."""
    docker, calls = config.programs.docker, []
    for version in VERSIONS:
        given = {"PYTHON_IMAGE": PYTHON_IMAGE, "VERSION": version, "SOURCE_DATE_EPOCH": "0"}
        arguments = tuple(word for name, value in given.items() for word in ("--build-arg", f"{name}={value}"))
        build = (docker, "build", "--tag", config.image(version), *arguments, str(config.source))
        calls += [Call(argv=build, timeout_seconds=INSTALL_SECONDS), Call(argv=(docker, "push", config.image(version)))]
    return Step(name="images", title="images of the web app", needs=("registry",), calls=tuple(calls))


def _repository(config: KindConfig) -> Step:
    """An empty folder, which Docker would otherwise make as root's; open to all, since the repo-server is another user."""
    make = [("install", "-d", "-m", mode, str(path)) for mode, path in (("0700", config.git.parent), ("0755", config.git))]
    return Step(
        name="repository", title="folder for GitOps' repository", calls=tuple(Call(argv=argv) for argv in make),
        done=(Check(call=Call(argv=("test", "-d", str(config.git)))),),
    )


def cluster(config: KindConfig) -> Step:
    """The kind cluster. Its node carries the fingerprint of its configuration as a label."""
    kind, docker = config.programs.kind, config.programs.docker
    # Where the repository is on this machine is no part of it, as of no fingerprint.
    plain = manifests.text(manifests.cluster(replace(config, git=Path()), {}))
    mark = fingerprint((), {Path("kind.yaml"): File(text=plain)})
    marked = manifests.text(manifests.cluster(config, {manifests.CONFIG_LABEL: mark}))
    path = config.files / "kind.yaml"
    look = (docker, "exec", config.node, "kubectl", "get", "nodes", "--kubeconfig=/etc/kubernetes/admin.conf",
            f"--selector={manifests.CONFIG_LABEL}={mark}", "--output=name")
    return Step(
        name="cluster", title=f"kind cluster {config.cluster} ({NODE_IMAGE.partition('@')[0]})",
        needs=("registry", "repository"), files={path: File(text=marked)},
        calls=(
            Call(
                argv=(kind, "create", "cluster", "--name", config.cluster, "--config", str(path), "--kubeconfig",
                      str(config.kubeconfig), "--wait", "5m"),
                timeout_seconds=CREATE_SECONDS,
            ),
        ),
        done=(Check(call=Call(argv=look), prints=f"node/{config.node}"),),
        undo=(removal(config, network=False)[0],),
    )


def _kubeconfig(config: KindConfig) -> Step:
    export = (config.programs.kind, "export", "kubeconfig", "--name", config.cluster, "--kubeconfig", str(config.kubeconfig))
    return Step(name="kubeconfig", title="kubeconfig of this folder", needs=("cluster",), calls=(Call(argv=export),))


def _registry_network(config: KindConfig) -> Step:
    docker = config.programs.docker
    look = f'{{{{if index .NetworkSettings.Networks "{NETWORK}"}}}}connected{{{{end}}}}'
    return Step(
        name="registry-network", title="registry in kind's network", needs=("registry", "cluster"),
        calls=(Call(argv=(docker, "network", "connect", NETWORK, config.registry)),),
        done=(Check(call=Call(argv=(docker, "container", "inspect", "--format", look, config.registry)), prints="connected"),),
    )


def _registry_hosts(config: KindConfig) -> Step:
    docker, folder = config.programs.docker, f"/etc/containerd/certs.d/localhost:{config.ports.registry}"
    place, told, path = f"{folder}/hosts.toml", manifests.hosts(config), config.files / "hosts.toml"
    return Step(
        name="registry-hosts", title="registry's name on the node", needs=("cluster",), files={path: File(text=told)},
        calls=(
            Call(argv=(docker, "exec", config.node, "mkdir", "-p", folder)),
            Call(argv=(docker, "cp", str(path), f"{config.node}:{place}")),
        ),
        done=(Check(call=Call(argv=(docker, "exec", config.node, "cat", place)), prints=told.strip()),),
    )


def _basics(config: KindConfig) -> Step:
    return _ours(config, Part(name="namespaces", title="namespaces", needs=("kubeconfig",)), *manifests.basics(config))


def _access(config: KindConfig) -> Step:
    return _ours(config, Part(name="access", title="ports of the user interfaces", needs=("namespaces",)), *manifests.access())


def _mesh_policy(config: KindConfig) -> Step:
    # After the gateway, so that istiod's webhook, which looks at it, has had time to answer.
    return _ours(config, Part(name="mesh-policy", title="mutual TLS, strict", needs=("gateway",)), manifests.mesh_policy())


def _monitors(config: KindConfig) -> Step:
    return _ours(config, Part(name="monitors", title="what Prometheus scrapes", needs=("monitoring",)), *manifests.monitors())


def _istio_base(config: KindConfig) -> Step:
    release = Release(name="istio-base", chart=str(config.sources.charts / "base"), namespace=MESH_NAMESPACE, values={})
    return _chart(config, Part(name="istio-base", title="Istio's definitions", needs=("namespaces",)), release)


def _istiod(config: KindConfig) -> Step:
    chart = str(config.sources.charts / "istiod")
    release = Release(name="istiod", chart=chart, namespace=MESH_NAMESPACE, values=values.istiod())
    part = Part(name="istiod", title=f"Istio {ISTIO}", needs=("istio-base",), ready=("deployment/istiod",))
    return _chart(config, part, release)


def _gateway(config: KindConfig) -> Step:
    chart, title = str(config.sources.charts / "gateway"), f"Istio's gateway at :{config.ports.gateway}"
    release = Release(name=GATEWAY, chart=chart, namespace=MESH_NAMESPACE, values=values.gateway())
    return _chart(config, Part(name="gateway", title=title, needs=("istiod",), ready=(f"deployment/{GATEWAY}",)), release)


def _monitoring(config: KindConfig) -> Step:
    prometheus = f"statefulset/prometheus-{MONITORING}-prometheus"
    part = Part(
        name="monitoring", title=f"Prometheus and Grafana (kube-prometheus-stack {MONITORING_VERSION})", needs=("namespaces",),
        ready=(f"deployment/{MONITORING}-grafana", prometheus), later=(prometheus,),
    )
    release = Release(
        name=MONITORING, chart=MONITORING_CHART, namespace=MONITORING_NAMESPACE, values=values.monitoring(),
        version=MONITORING_VERSION,
    )
    return _chart(config, part, release)


def _argo_rollouts(config: KindConfig) -> Step:
    both = config.sources.argo_rollouts.rstrip() + "\n---\n" + config.sources.argo_rollouts_dashboard
    part = Part(
        name="argo-rollouts", title=f"Argo Rollouts {ARGO_ROLLOUTS} and its dashboard", needs=("namespaces",),
        ready=("deployment/argo-rollouts", "deployment/argo-rollouts-dashboard"),
    )
    told = "upstream's manifests/install.yaml and manifests/dashboard-install.yaml with pinned images"
    return _applied(config, part, File(text=upstream.pinned(both, UPSTREAM_IMAGES), origin=told), ROLLOUTS_NAMESPACE)


def _argo_cd(config: KindConfig) -> Step:
    text = upstream.pinned(config.sources.argo_cd, UPSTREAM_IMAGES)
    text = upstream.changed(text, "ConfigMap", "argocd-cmd-params-cm", upstream.without_tls)
    text = upstream.changed(text, "Deployment", "argocd-repo-server", upstream.reads_folder)
    names = ("applicationset-controller", "dex-server", "notifications-controller", "redis", "repo-server", "server")
    ready = (*(f"deployment/argocd-{name}" for name in names), "statefulset/argocd-application-controller")
    told = (
        'upstream\'s manifests/install.yaml with pinned images, server.insecure: "true" in argocd-cmd-params-cm, and for the '
        f"repo-server the node's folder {GIT_MOUNT} and GIT_CONFIG_GLOBAL from the ConfigMap {GIT_SETTINGS}"
    )
    part = Part(name="argo-cd", title=f"Argo CD {ARGO_CD}", needs=("namespaces",), ready=ready)
    return _applied(config, part, File(text=text, origin=told), ARGOCD_NAMESPACE)


def _kiali(config: KindConfig) -> Step:
    text = upstream.pinned(config.sources.kiali, UPSTREAM_IMAGES)
    text = upstream.changed(text, "ConfigMap", "kiali", upstream.kiali_settings(PROMETHEUS_URL))
    told = f"upstream's samples/addons/kiali.yaml with a pinned image and external_services.prometheus.url {PROMETHEUS_URL}"
    part = Part(name="kiali", title=f"Kiali {KIALI}", needs=("istiod", "monitoring"), ready=("deployment/kiali",))
    return _applied(config, part, File(text=text, origin=told), MESH_NAMESPACE)


@dataclass(frozen=True, kw_only=True)
class Part:
    """What every step in the cluster has: `ready` are the workloads that must have come up, as kubectl names them."""

    name: str
    title: str
    needs: tuple[str, ...]
    ready: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    """Those of them that somebody in the cluster makes, some time after the calls: until then kubectl knows none to wait for."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """A helm release; `version` is empty for a chart in a folder."""

    name: str
    chart: str
    namespace: str
    values: values.Values
    version: str = ""


def _ours(config: KindConfig, part: Part, *objects: manifests.Object) -> Step:
    """A step that applies objects of our own, which say themselves where they belong."""
    return _applied(config, part, File(text=manifests.text(*objects)), "")


def _applied(config: KindConfig, part: Part, file: File, namespace: str) -> Step:
    path = config.files / f"{part.name}.yaml"
    where = (f"--namespace={namespace}",) if namespace else ()
    apply = kubectl(config, "apply", "--server-side", "--force-conflicts", "--field-manager=gateproof", *where,
                    f"--filename={path}", seconds=120.0)
    return _recorded(config, part, (apply,), {path: file}, namespace)


def _chart(config: KindConfig, part: Part, release: Release) -> Step:
    path, namespace = config.files / f"{part.name}-values.yaml", release.namespace
    # Of an installation that was interrupted, helm keeps a record that makes it refuse every further one.
    pending = f"owner=helm,name={release.name},{PENDING}"
    clear = kubectl(config, "delete", "secret", f"--namespace={namespace}", f"--selector={pending}")
    version = ("--version", release.version) if release.version else ()
    # istiod fills in its own webhook, and so owns fields that the chart has too.
    upgrade = (
        config.programs.helm, "upgrade", release.name, release.chart, "--install", "--force-conflicts", "--namespace", namespace,
        *version, "--values", str(path), "--wait", "--timeout", f"{INSTALL_SECONDS}s",
        "--kubeconfig", str(config.kubeconfig), "--kube-context", config.context,
    )
    calls = (clear, Call(argv=upgrade, timeout_seconds=INSTALL_SECONDS + 60.0))
    return _recorded(config, part, calls, {path: File(text=manifests.text(release.values))}, namespace)


def _recorded(config: KindConfig, part: Part, calls: tuple[Call, ...], files: Mapping[Path, File], namespace: str) -> Step:
    """A step in the cluster: once its workloads are ready, its fingerprint is put on record, by which a later run knows it."""
    mark = fingerprint(calls, files, forget=(str(config.files), str(config.kubeconfig)))
    waits = tuple(
        kubectl(config, "wait", what, "--for=create", f"--namespace={namespace}", f"--timeout={INSTALL_SECONDS}s",
                seconds=INSTALL_SECONDS + 10.0)
        for what in part.later
    ) + tuple(_status(config, namespace, what, INSTALL_SECONDS) for what in part.ready)  # fmt: skip
    record = kubectl(config, "patch", "configmap", RECORD, f"--namespace={OWN_NAMESPACE}", "--type=merge",
                     f"--patch={json.dumps({'data': {part.name: mark}})}")
    look = kubectl(config, "get", "configmap", RECORD, f"--namespace={OWN_NAMESPACE}", f"--output=jsonpath={{.data.{part.name}}}")
    alive = tuple(Check(call=_status(config, namespace, what, LOOK_SECONDS)) for what in part.ready)
    return Step(
        name=part.name, title=part.title, needs=part.needs, files=files, calls=(*calls, *waits, record),
        done=(Check(call=look, prints=mark), *alive),
    )


def _status(config: KindConfig, namespace: str, what: str, seconds: int) -> Call:
    return kubectl(config, "rollout", "status", what, f"--namespace={namespace}", f"--timeout={seconds}s", seconds=seconds + 10.0)


def kubectl(config: KindConfig, *arguments: str, seconds: float = 60.0) -> Call:
    """A call of kubectl, to this platform's cluster by name and to no other."""
    where = (f"--kubeconfig={config.kubeconfig}", f"--context={config.context}")
    return Call(argv=(config.programs.kubectl, *arguments, *where), timeout_seconds=seconds)
