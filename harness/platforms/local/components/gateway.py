"""Envoy as Istio's ingress gateway, configured by istiod over XDS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.platforms.local.config import CLUSTER, LOOPBACK, MESH_NAMESPACE, LocalConfig
from harness.supervisor.component import Component, HttpProbe, MetricsEndpoint, Port

# What Istio's own proxies set, so that a query over the gateway's statistics is the same here and in a cluster: istiod ends a
# cluster's name with a semicolon in statistics, and these labels are how Prometheus then sees them.
STATS_TAGS = {
    "cluster_name": r"^cluster(\.(.+);)",
    "http_conn_manager_prefix": r"^http\.(((?:[_.[:digit:]\w]*|[_\[\]aAbBcCdDeEfF[:digit:]\w\:]*));\.)",
    "response_code": r"_rq(_(\d{3}))$",
    "response_code_class": r"_rq(_(\dxx))$",
}
# Envoy keeps two digits of a time and counts under a bound whatever begins at or below it: 300 would hold all under 310 ms, 299
# holds all under 300. So these are the app's own bounds, each less one.
LATENCY_BOUNDS_MS = (4, 9, 24, 49, 74, 99, 149, 199, 249, 299, 399, 499, 749, 999, 2499, 4999, 7499, 9999)
NODE_ID = f"router~{LOOPBACK}~istio-ingressgateway.{MESH_NAMESPACE}~{MESH_NAMESPACE}.svc.cluster.local"


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One Envoy. Its admin port answers only to reading: readiness, statistics and the configuration it runs."""
    admin = f"http://{LOOPBACK}:{config.ports.envoy_admin}"
    return (
        Component(
            name="gateway",
            argv=(
                str(config.envoy), "--config-path", str(config.paths.config / "envoy.json"), "--concurrency", "1",
                "--disable-hot-restart", "--log-level", "warning", "--drain-time-s", "1",
            ),
            ports=(
                Port(name="admin", host=LOOPBACK, number=config.ports.envoy_admin),
                Port(name="http", host=LOOPBACK, number=config.ports.gateway),
            ),
            ready=HttpProbe(url=f"{admin}/ready"),
            needs=("istiod",),
            metrics=MetricsEndpoint(port="admin", path="/stats/prometheus"),
        ),
    )


def files(config: LocalConfig) -> dict[Path, str]:
    """Envoy's bootstrap: who it is, and where istiod is."""
    return {config.paths.config / "envoy.json": json.dumps(_bootstrap(config), indent=2)}


def _bootstrap(config: LocalConfig) -> dict[str, Any]:
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {
            "id": NODE_ID,
            "cluster": f"istio-ingressgateway.{MESH_NAMESPACE}",
            "metadata": {
                "NAMESPACE": MESH_NAMESPACE, "CLUSTER_ID": CLUSTER, "MESH_ID": "cluster.local", "ISTIO_VERSION": "1.31.0",
                "LABELS": {"istio": "ingressgateway"}, "INSTANCE_IPS": LOOPBACK,
            },
        },
        # Histograms are written out this often only; by default every 5 s, which a short window would notice.
        "stats_flush_interval": "1s",
        "stats_config": {
            "use_all_default_tags": False,
            "stats_tags": [{"tag_name": name, "regex": regex} for name, regex in STATS_TAGS.items()],
            "histogram_bucket_settings": [{"match": {"prefix": "cluster.outbound"}, "buckets": list(LATENCY_BOUNDS_MS)}],
        },
        "admin": {
            "address": _address(config.ports.envoy_admin),
            # Everything else of the admin API (quit, drain, log levels) is closed to the other users of the machine.
            "allow_paths": [{"exact": "/ready"}, {"prefix": "/stats"}, {"exact": "/listeners"}, {"prefix": "/clusters"}],
        },
        "dynamic_resources": {
            "lds_config": ads, "cds_config": ads,
            "ads_config": {
                "api_type": "GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
        },
        "static_resources": {
            "clusters": [{
                "name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s",
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        "explicit_http_config": {"http2_protocol_options": {}},
                    }
                },
                "load_assignment": {
                    "cluster_name": "xds-grpc",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(config.ports.istiod_grpc)}}]}],
                },
            }],
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}
