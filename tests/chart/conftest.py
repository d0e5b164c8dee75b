"""The chart as real helm renders it, and the schemas that real API servers would hold it against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from chart_support import CHART, PLATFORMS, Object, Render, closed, definitions

from harness.chart import Helm


@pytest.fixture(scope="session")
def helm(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(binary=bin_dir / "helm", kubeconfig=Path("/dev/null"), home=tmp_path_factory.mktemp("helm"))


@pytest.fixture
def render(helm: Helm) -> Render:
    """Objects by (kind, name) for a platform and further values."""

    def run(platform: str = "default", **values: object) -> dict[tuple[str, str], Object]:
        documents = helm.template("webapp", "webapp", CHART, values_files=PLATFORMS[platform], set_values=values)
        objects = {(each["kind"], each["metadata"]["name"]): each for each in documents}
        assert len(objects) == len(documents), "two objects of one name"
        return objects

    return run


@pytest.fixture(scope="session")
def schemas(crd_dir: Path) -> dict[tuple[str, str], Object]:
    """What a structural CRD accepts, by (apiVersion, kind), as a JSON schema that refuses what the API server would drop."""
    found: dict[tuple[str, str], Object] = {}
    for definition in definitions(crd_dir):
        spec = definition["spec"]
        for version in spec["versions"]:
            key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
            found[key] = closed(version["schema"]["openAPIV3Schema"])
    return found


@pytest.fixture
def accepts(schemas: dict[tuple[str, str], Object]) -> Callable[[Object], None]:
    """Fails with the place and the reason when a CRD would refuse an object, or silently drop a part of it."""

    def check(document: Object) -> None:
        schema = dict(schemas[document["apiVersion"], document["kind"]])
        schema["properties"] = {"apiVersion": {}, "kind": {}, **schema["properties"], "metadata": {}}
        errors = list(jsonschema.Draft202012Validator(schema).iter_errors(document))
        assert not errors, "\n".join(f"{error.json_path}: {error.message[:200]}" for error in errors)

    return check
