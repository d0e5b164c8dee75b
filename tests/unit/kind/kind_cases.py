"""A kind platform as the tests have it: upstream's texts are small stand-ins of the same shape."""

from __future__ import annotations

from pathlib import Path

from harness.platforms.kind.config import KindConfig, Sources

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  template:
    spec:
      containers:
      - image: {image}
        name: {name}
"""
CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
"""
KIALI_SETTINGS = """\
data:
  config.yaml: |
    external_services:
      prometheus:
        enabled: true
      tracing:
        enabled: false
...
"""
SOURCES = Sources(
    argo_cd=CONFIG_MAP.format(name="argocd-cmd-params-cm")
    + "---\n"
    + DEPLOYMENT.format(name="argocd-server", image="quay.io/argoproj/argocd:v0")
    + "---\n"
    + DEPLOYMENT.format(name="argocd-repo-server", image="quay.io/argoproj/argocd:v0"),
    argo_rollouts=DEPLOYMENT.format(name="argo-rollouts", image="quay.io/argoproj/argo-rollouts:latest"),
    argo_rollouts_dashboard=DEPLOYMENT.format(
        name="argo-rollouts-dashboard", image="quay.io/argoproj/kubectl-argo-rollouts:latest"
    ),
    kiali="---\n" + CONFIG_MAP.format(name="kiali") + KIALI_SETTINGS + "---\n"
    + DEPLOYMENT.format(name="kiali", image='"quay.io/kiali/kiali:v0"'),
    charts=Path("/charts"),
)
CONFIG = KindConfig(
    folder=Path("/run/kind"), kubeconfig=Path("/run/kubeconfig"), sources=SOURCES, git=Path("/private/git")
)
