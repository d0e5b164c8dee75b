"""Envoy as Istio's ingress gateway, configured by istiod over XDS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.platforms.local.config import CLUSTER, LOOPBACK, MESH_NAMESPACE, LocalConfig
from harness.supervisor.component import Component, HttpProbe, MetricsEndpoint, Port

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
