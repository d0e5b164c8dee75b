"""What helm is told for the stable version and for the candidate."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.chart import Helm
from harness.errors import PlatformError
from harness.release import Chart
from harness.variants import BuiltImage

SPARED = "--disable-openapi-validation"


@pytest.fixture
def chart(tmp_path: Path) -> Chart:
    """A chart whose helm notes each call, and fails as long as there is a file `broken`."""
    (tmp_path / "Chart.yaml").write_text("name: webapp\n")
    helm = tmp_path / "helm"
    helm.write_text(f"#!/bin/sh\necho \"$*\" >> {tmp_path}/calls\ntest ! -e {tmp_path}/broken\n")
    helm.chmod(0o700)
    return Chart(
        helm=Helm(binary=helm, kubeconfig=tmp_path / "kubeconfig", home=tmp_path / "home"), path=tmp_path, namespace="webapp",
        values_files=(), values={}, user_values={},
    )  # fmt: skip


def image(tag: str) -> BuiltImage:
    return BuiltImage(repository="localhost/webapp", tag=tag, digest="sha256:1", reference=f"localhost/webapp:{tag}@sha256:1")


def test_the_fields_are_looked_at_until_the_cluster_took_them_once(chart: Chart, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(PlatformError):
        chart.apply(image("v1.0"), trial="a")
    (tmp_path / "broken").unlink()
    for tag in ("v1.0", "v1.1"):
        chart.apply(image(tag), trial=tag)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [SPARED in each for each in calls] == [False, False, True]
