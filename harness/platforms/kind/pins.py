"""Every version that the kind platform installs, in this one file. PURE data.

An image is pinned by digest where upstream publishes one that was seen; the others by a tag that upstream never moves. Manifests
and charts come out of Go modules, whose contents go.sum pins (toolchain/manifests), except for the one chart named below. A test
holds the versions here against the go.mod files.
"""

from __future__ import annotations

KIND = "v0.33.0"
ARGO_CD = "v3.6.1"
ARGO_ROLLOUTS = "v1.10.2"
ISTIO = "1.31.3"
"""The images' release. Its charts lie in the module of ISTIO_MODULE, a commit of the same 1.31 line."""
ISTIO_MODULE = "v0.0.0-20260827124520-eed52ebb66ad"
KIALI = "v2.27.0"
"""The one that Istio 1.31 ships beside its charts."""

NODE_IMAGE = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
"""The default of kind v0.33.0, digest included."""
REGISTRY_IMAGE = "docker.io/library/registry:3.0.0"
ISTIO_HUB = "docker.io/istio"
PYTHON_IMAGE = "docker.io/library/python:3.11.14-slim-bookworm"
"""What the web app's own images are built on."""

UPSTREAM_IMAGES = {
    "quay.io/argoproj/argocd": f"quay.io/argoproj/argocd:{ARGO_CD}",
    "ghcr.io/dexidp/dex": "ghcr.io/dexidp/dex:v2.46.0",
    "public.ecr.aws/docker/library/redis": "public.ecr.aws/docker/library/redis:8.10.1-alpine",
    "quay.io/argoproj/argo-rollouts": f"quay.io/argoproj/argo-rollouts:{ARGO_ROLLOUTS}",
    "quay.io/argoproj/kubectl-argo-rollouts": f"quay.io/argoproj/kubectl-argo-rollouts:{ARGO_ROLLOUTS}",
    "quay.io/kiali/kiali": f"quay.io/kiali/kiali:{KIALI}",
}
"""Every image that upstream's manifests name, by its name without a tag. Argo Rollouts' own say `latest`."""

MONITORING_CHART = "oci://ghcr.io/prometheus-community/charts/kube-prometheus-stack"
MONITORING_VERSION = "88.5.3"
"""It names Prometheus v3.14.0, Grafana 13.2.0, Prometheus operator v0.93.1 and kube-state-metrics 2.20.0 itself."""
