"""Prometheus: finds the pods through the API as a cluster's own would, and the components by what they declare."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from harness.platforms.local.config import LOOPBACK, SCRAPE_INTERVAL_SECONDS, LocalConfig
from harness.supervisor.component import Component, HttpProbe, MetricsEndpoint, Port


def components(config: LocalConfig) -> tuple[Component, ...]:
    """One Prometheus, its data in the run's folder."""
    return (
        Component(
            name="prometheus",
            argv=(
                str(config.binaries["prometheus"]), f"--config.file={config.paths.config / 'prometheus.yml'}",
                f"--storage.tsdb.path={config.paths.data / 'prometheus'}", "--storage.tsdb.retention.time=1d",
                # What is older than a quarter of an hour goes to disk. By default that is three hours: with each release's pods
                # among it, three hours of many releases.
                "--storage.tsdb.min-block-duration=10m",
                f"--web.listen-address={LOOPBACK}:{config.ports.prometheus}", "--log.level=warn",
                "--enable-feature=exemplar-storage",
                # By default a new pod waits up to 5 s before it is scraped, which a short window would miss.
                "--scrape.discovery-reload-interval=200ms",
            ),
            ports=(Port(name="http", host=LOOPBACK, number=config.ports.prometheus),),
            ready=HttpProbe(url=f"{config.prometheus_url}/-/ready"),
            needs=("roles",),
            metrics=MetricsEndpoint(port="http", path="/metrics"),
        ),
    )


def files(config: LocalConfig, declared: Iterable[Component]) -> dict[Path, str]:
    """prometheus.yml: a job per component that declares metrics, and one for annotated pods."""
    settings = {
        "global": {"scrape_interval": f"{SCRAPE_INTERVAL_SECONDS}s", "scrape_timeout": f"{SCRAPE_INTERVAL_SECONDS}s"},
        "scrape_configs": [*(_job(c, c.metrics) for c in declared if c.metrics), _pods(config)],
    }
    return {config.paths.config / "prometheus.yml": yaml.safe_dump(settings, sort_keys=False)}


def _job(component: Component, metrics: MetricsEndpoint) -> dict[str, Any]:
    port = next(p for p in component.ports if p.name == metrics.port)
    return {
        "job_name": component.name, "metrics_path": metrics.path,
        "static_configs": [{"targets": [f"{port.host}:{port.number}"]}],
    }


def _pods(config: LocalConfig) -> dict[str, Any]:
    """Pods that ask for it by the usual prometheus.io annotations; the labels that gates select by come from the Pod itself."""

    def copy(source: str, target: str) -> dict[str, Any]:
        return {"source_labels": [f"__meta_kubernetes_{source}"], "target_label": target}

    return {
        "job_name": "pods",
        "kubernetes_sd_configs": [{
            "role": "pod", "api_server": config.apiserver_url,
            "tls_config": {
                "ca_file": str(config.paths.pki / "ca.crt"), "cert_file": str(config.cert("prometheus")),
                "key_file": str(config.key("prometheus")),
            },
        }],
        "relabel_configs": [
            {"source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"], "action": "keep", "regex": "true"},
            {"source_labels": ["__meta_kubernetes_pod_phase"], "action": "drop", "regex": "Succeeded|Failed"},
            # One target per pod, not one per container port.
            {"source_labels": ["__meta_kubernetes_pod_container_init"], "action": "drop", "regex": "true"},
            {"source_labels": ["__meta_kubernetes_pod_ip", "__meta_kubernetes_pod_annotation_prometheus_io_port"],
             "separator": ":", "regex": r"([^:]+):(\d+)", "target_label": "__address__", "replacement": "$1:$2"},
            {"source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_path"], "regex": "(.+)",
             "target_label": "__metrics_path__"},
            copy("namespace", "namespace"),
            copy("pod_name", "pod"),
            copy("pod_label_app_kubernetes_io_name", "app"),
            copy("pod_label_version", "version"),
            copy("pod_label_rollouts_pod_template_hash", "rollouts_pod_template_hash"),
        ],
    }
