"""The values that upstream's charts get. PURE."""

from __future__ import annotations

import json
from typing import Any

from harness.platforms.kind.config import GATEWAY_CONTAINER_PORT, MONITORING, NODE_PORTS
from harness.platforms.kind.pins import ISTIO, ISTIO_HUB

Values = dict[str, Any]
SMALL = {"requests": {"cpu": "50m", "memory": "128Mi"}}
GATEWAY_BUCKETS_MS = [1, 5, 10, 25, 50, 99, 249, 299, 499, 999, 2499, 4999, 9999]
PROXY = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}


def istiod() -> Values:
    """Istio's control plane: the released images, one pod, and small proxies."""
    return {
        "global": {"hub": ISTIO_HUB, "tag": ISTIO, "proxy": {"resources": PROXY}},
        "autoscaleEnabled": False, "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
    }


def gateway() -> Values:
    """The ingress gateway: one pod, reached at a port of the node. Its image is injected by istiod."""
    return {
        "service": {
            "type": "NodePort",
            "ports": [
                {
                    "name": "http-webapp", "port": GATEWAY_CONTAINER_PORT, "targetPort": GATEWAY_CONTAINER_PORT,
                    "nodePort": NODE_PORTS["gateway"], "protocol": "TCP",
                },
                {"name": "status-port", "port": 15021, "targetPort": 15021, "protocol": "TCP"},
            ],
        },
        "autoscaling": {"enabled": False}, "replicaCount": 1, "resources": PROXY,
        # What the gate counts with analysis.source=envoy, in the bounds of charts/webapp/values-kind.yaml.
        "podAnnotations": {
            "sidecar.istio.io/statsInclusionRegexps": r"cluster\.outbound\|[0-9]+\|canary\|.*upstream_rq.*",
            "sidecar.istio.io/statsHistogramBuckets": json.dumps({"cluster.outbound": GATEWAY_BUCKETS_MS}),
            "sidecar.istio.io/statsFlushInterval": "1s",
        },
    }


def monitoring() -> Values:
    """Prometheus that looks at every monitor in the cluster, and Grafana that loads every dashboard in it.

    What a kind node's control plane does not offer to others is not scraped: its controller-manager, scheduler, etcd and
    kube-proxy answer on its own loopback.
    """
    unreachable = ("kubeControllerManager", "kubeScheduler", "kubeEtcd", "kubeProxy")
    everything = ("podMonitor", "serviceMonitor", "rule", "probe", "scrapeConfig")
    return {
        "fullnameOverride": MONITORING,
        "alertmanager": {"enabled": False},
        "nodeExporter": {"enabled": False},
        **{name: {"enabled": False} for name in unreachable},
        "prometheus": {
            "prometheusSpec": {
                **{f"{name}SelectorNilUsesHelmValues": False for name in everything},
                "retention": "24h", "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}},
            }
        },
        "grafana": {
            "defaultDashboardsTimezone": "browser", "resources": SMALL,
            "sidecar": {"dashboards": {"enabled": True, "label": "grafana_dashboard", "searchNamespace": "ALL"}},
        },
        "prometheusOperator": {"resources": SMALL},
        "kube-state-metrics": {"resources": SMALL},
    }
