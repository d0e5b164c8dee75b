"""The user interfaces of a kind platform: where they are, how to tell that they are well, who may log in. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from harness.platforms.kind.config import (
    ARGOCD_NAMESPACE,
    LOOPBACK,
    MONITORING,
    MONITORING_NAMESPACE,
    KindConfig,
)
from harness.platforms.kind.step import Call
from harness.platforms.kind.steps import kubectl


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user, and the Secret in the cluster that holds the password."""

    user: str
    namespace: str
    secret: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One user interface. It is well when `health` answers 200."""

    name: str
    port: int
    health: str
    path: str = "/"
    """Where a person begins."""
    login: Login | None = None

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://{LOOPBACK}:{self.port}{self.path}"

    @property
    def health_url(self) -> str:
        """What is asked whether it is well."""
        return f"http://{LOOPBACK}:{self.port}{self.health}"


def dashboards(config: KindConfig) -> tuple[Dashboard, ...]:
    """All of them, in the order in which they are shown."""
    ports = config.ports
    argocd = Login(user="admin", namespace=ARGOCD_NAMESPACE, secret="argocd-initial-admin-secret", key="password")  # noqa: S106 -- its name
    grafana = Login(user="admin", namespace=MONITORING_NAMESPACE, secret=f"{MONITORING}-grafana", key="admin-password")
    return (
        Dashboard(name="Argo CD", port=ports.argocd, health="/healthz", login=argocd),
        Dashboard(name="Argo Rollouts", port=ports.rollouts, path="/rollouts/", health="/rollouts/api/v1/version"),
        Dashboard(name="Grafana", port=ports.grafana, health="/api/health", login=grafana),
        Dashboard(name="Kiali", port=ports.kiali, path="/kiali/", health="/kiali/healthz"),
        Dashboard(name="Prometheus", port=ports.prometheus, health="/-/ready"),
        Dashboard(name="registry", port=ports.registry, path="/v2/", health="/v2/"),
    )


def password(config: KindConfig, login: Login) -> Call:
    """The call that prints the password, in base64."""
    look = f"--output=jsonpath={{.data.{login.key}}}"
    return kubectl(config, "get", "secret", login.secret, f"--namespace={login.namespace}", look)
