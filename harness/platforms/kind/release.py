"""The kind platform's cluster as one that releases can be tried in, by what all platforms with a kubeconfig share."""

from __future__ import annotations

from pathlib import Path

import harness
from harness.images.crane import Crane
from harness.platforms import Images
from harness.platforms.cluster import access
from harness.platforms.cluster.platform import ClusterPlatform
from harness.platforms.cluster.reach import At
from harness.platforms.kind.config import APP_NAMESPACE, LOOPBACK, PROMETHEUS_URL, KindConfig
from harness.platforms.kind.steps import VERSIONS

VALUES = Path(harness.__file__).parents[1] / "charts" / "webapp" / "values-kind.yaml"


def in_cluster(config: KindConfig, run_dir: Path, *, crane: Path) -> ClusterPlatform:
    """The cluster that is up. Its images are those that were pushed last.

    Raises UsageError when the kubeconfig is not there, ImageNotFound and RegistryUnavailable when the images are not.
    """
    stable, candidate = (f"{config.image(version)}@{Crane(crane).digest(config.image(version))}" for version in VERSIONS)
    return ClusterPlatform(
        name="kind", run_dir=run_dir, access=access.find(config.kubeconfig, config.context),
        gateway=At(url=f"http://{LOOPBACK}:{config.ports.gateway}"),
        prometheus=At(url=f"http://{LOOPBACK}:{config.ports.prometheus}"), prometheus_address=PROMETHEUS_URL,
        images=Images(registry=f"localhost:{config.ports.registry}", stable=stable, candidate=candidate),
        namespaces=(APP_NAMESPACE,), make_lanes=True, host="webapp.local", files=(VALUES,),
    )  # fmt: skip
