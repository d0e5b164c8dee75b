"""The objects of our own that a kind platform is made of: kind's configuration and what is applied to the cluster. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from harness.platforms.kind.config import (
    ARGOCD_NAMESPACE,
    GIT_MOUNT,
    GIT_SETTINGS,
    LOOPBACK,
    MESH_NAMESPACE,
    MONITORING,
    MONITORING_NAMESPACE,
    NODE_PORTS,
    OWN_NAMESPACE,
    RECORD,
    REPOSITORY,
    ROLLOUTS_NAMESPACE,
    SCRAPE_SECONDS,
    KindConfig,
)
from harness.platforms.kind.pins import NODE_IMAGE

Object = dict[str, Any]
PROXY_METRICS_PORT = 15020
"""Where a sidecar's agent hands on the app's metrics together with Envoy's, outside mTLS."""
CONFIG_LABEL = "gateproof.io/config"
"""On the cluster's node: the fingerprint of the configuration that it was made with."""
REGISTRY_DOCS = "https://kind.sigs.k8s.io/docs/user/local-registry/"


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """Make no anchors."""
        del data
        return True


def text(*objects: Object) -> str:
    """Objects as one YAML text, in their own order."""
    return "---\n".join(yaml.dump(each, Dumper=_Plain, sort_keys=False) for each in objects)


def cluster(config: KindConfig, labels: Mapping[str, str]) -> Object:
    """What kind is told: one node of the pinned image, each port of ours mapped to one of the node's, the repository's folder.

    The node images of kind 0.27 and later have containerd's config_path set to /etc/containerd/certs.d already.
    """
    mappings = [
        {
            "containerPort": NODE_PORTS[name], "hostPort": getattr(config.ports, name), "listenAddress": LOOPBACK,
            "protocol": "TCP",
        }
        for name in NODE_PORTS
    ]
    mount = {"hostPath": str(config.git), "containerPath": GIT_MOUNT, "readOnly": True}
    node = {"role": "control-plane", "image": NODE_IMAGE, "extraPortMappings": mappings, "extraMounts": [mount]}
    return {
        "kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "name": config.cluster,
        "networking": {"apiServerAddress": LOOPBACK},
        "nodes": [node | ({"labels": dict(labels)} if labels else {})],
    }


def hosts(config: KindConfig) -> str:
    """For a node's containerd: images of localhost:PORT come from the registry's container."""
    return f'[host."http://{config.registry}:5000"]\n'


def basics(config: KindConfig) -> tuple[Object, ...]:
    """Namespaces, the record of what is installed, git's settings, and where the registry is, as KEP-1755 wants it told."""
    namespaces = (OWN_NAMESPACE, MESH_NAMESPACE, ROLLOUTS_NAMESPACE, ARGOCD_NAMESPACE, MONITORING_NAMESPACE)
    hosting = {"host": f"localhost:{config.ports.registry}", "help": REGISTRY_DOCS}
    return (
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces),
        _object("v1", "ConfigMap", RECORD, OWN_NAMESPACE),
        _object("v1", "ConfigMap", GIT_SETTINGS, ARGOCD_NAMESPACE, data={"gitconfig": git_settings(f"{GIT_MOUNT}/{REPOSITORY}")}),
        _object(
            "v1", "ConfigMap", "local-registry-hosting", "kube-public",
            data={"localRegistryHosting.v1": yaml.safe_dump(hosting, sort_keys=False)},
        ),
    )


def git_settings(repository: str) -> str:
    """For the repo-server's git, whose user is another one than the repository's: git refuses to read it otherwise."""
    return f"[safe]\n\tdirectory = {repository}\n"


def access() -> tuple[Object, ...]:
    """For each user interface a Service at one of the node's ports, beside upstream's own Services."""
    grafana = {"app.kubernetes.io/name": "grafana", "app.kubernetes.io/instance": MONITORING}
    prometheus = {"app.kubernetes.io/name": "prometheus", "operator.prometheus.io/name": f"{MONITORING}-prometheus"}
    return (
        _node_port("argocd", ARGOCD_NAMESPACE, {"app.kubernetes.io/name": "argocd-server"}, 8080),
        _node_port("rollouts", ROLLOUTS_NAMESPACE, {"app.kubernetes.io/name": "argo-rollouts-dashboard"}, 3100),
        _node_port("grafana", MONITORING_NAMESPACE, grafana, 3000),
        _node_port("prometheus", MONITORING_NAMESPACE, prometheus, 9090),
        _node_port("kiali", MESH_NAMESPACE, {"app.kubernetes.io/name": "kiali"}, 20001),
    )


def mesh_policy() -> Object:
    """Every sidecar of the mesh takes mutual TLS only."""
    return _object("security.istio.io/v1", "PeerAuthentication", "default", MESH_NAMESPACE, spec={"mtls": {"mode": "STRICT"}})


def monitors() -> tuple[Object, ...]:
    """What Prometheus scrapes besides the cluster: each proxy and the app behind it, istiod, Argo CD, the rollouts controller."""
    return (
        proxies(),
        _service_monitor("istiod", MESH_NAMESPACE, {"istio": "pilot"}, "http-monitoring"),
        _service_monitor("argo-rollouts", ROLLOUTS_NAMESPACE, {"app.kubernetes.io/name": "argo-rollouts-metrics"}, "metrics"),
        _service_monitor("argocd", ARGOCD_NAMESPACE, {"app.kubernetes.io/name": "argocd-metrics"}, "metrics"),
    )


def proxies() -> Object:
    """One target for each pod with a proxy.

    A target is found by the one port that the injected container declares; what is asked is the agent's port, which no container
    declares, so that a monitor that names it by number finds nothing.
    """
    relabelings = [
        # The name by which the chart's dashboards and rules know the app.
        {"sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"], "targetLabel": "app"},
        {
            "sourceLabels": ["__address__"], "regex": r"(.+):\d+",
            "replacement": f"$1:{PROXY_METRICS_PORT}", "targetLabel": "__address__",
        },
    ]
    endpoint = {
        "port": "http-envoy-prom", "path": "/stats/prometheus", "interval": f"{SCRAPE_SECONDS}s",
        "scrapeTimeout": f"{SCRAPE_SECONDS}s", "relabelings": relabelings,
    }
    return _object(
        "monitoring.coreos.com/v1", "PodMonitor", "istio-proxies", MONITORING_NAMESPACE,
        spec={
            "namespaceSelector": {"any": True},
            "selector": {"matchExpressions": [{"key": "istio-prometheus-ignore", "operator": "DoesNotExist"}]},
            "podTargetLabels": ["rollouts-pod-template-hash", "version"],
            "podMetricsEndpoints": [endpoint],
        },
    )


def _service_monitor(name: str, namespace: str, labels: Mapping[str, str], port: str) -> Object:
    spec = {
        "namespaceSelector": {"matchNames": [namespace]}, "selector": {"matchLabels": dict(labels)},
        "endpoints": [{"port": port, "interval": "15s"}],
    }
    return _object("monitoring.coreos.com/v1", "ServiceMonitor", name, MONITORING_NAMESPACE, spec=spec)


def _node_port(name: str, namespace: str, selector: Mapping[str, str], target: int) -> Object:
    port = {"name": "http", "port": target, "targetPort": target, "nodePort": NODE_PORTS[name], "protocol": "TCP"}
    spec = {"type": "NodePort", "selector": dict(selector), "ports": [port]}
    return _object("v1", "Service", f"{OWN_NAMESPACE}-{name}", namespace, spec=spec)


def _object(version: str, kind: str, name: str, namespace: str, **rest: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **rest}
