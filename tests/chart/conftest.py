"""The chart as real helm renders it, and the schemas that real API servers would hold it against."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jsonschema
import pytest
import yaml
from audited_api import Audited, flags
from chart_api import Api, api_server
from chart_support import CHART, PLATFORMS, Object, Render, closed, definitions
from chart_tools import check_programs, operator_definitions
from gate_support import SCRAPE, Evaluate, Series

from harness.chart import Helm

# What the chart's objects are, and what the rollouts controller watches besides.
ARGO = {"Rollout", "AnalysisTemplate", "ClusterAnalysisTemplate", "AnalysisRun", "Experiment"}
ISTIO = {"Gateway", "VirtualService", "DestinationRule", "PeerAuthentication", "AuthorizationPolicy"}


@pytest.fixture(scope="session")
def api(bin_dir: Path, crd_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One real API server with the real definitions, for all tests; each uses a namespace of its own."""
    wanted = [each for each in definitions(crd_dir) if each["spec"]["names"]["kind"] in ARGO | ISTIO]
    assert len(wanted) == len(ARGO | ISTIO), "crd_dir holds other definitions than expected"
    with api_server(bin_dir, tmp_path_factory.mktemp("api"), [*wanted, *operator_definitions()]) as running:
        yield running


@pytest.fixture(scope="session")
def audited(bin_dir: Path, crd_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    """Another one, which writes down who asks it for what."""
    folder = tmp_path_factory.mktemp("audited")
    wanted = [each for each in definitions(crd_dir) if each["spec"]["group"] in {"argoproj.io", "networking.istio.io"}]
    with api_server(bin_dir, folder, wanted, flags=flags(folder)) as running:
        yield Audited(api=running, folder=folder)


@pytest.fixture(scope="session")
def checks() -> Path:
    """The folder with helm-unittest and kubeconform."""
    return check_programs()


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


@pytest.fixture
def evaluate(bin_dir: Path, tmp_path: Path) -> Evaluate:
    """Fails unless each query gives its value (None: no sample) at the end of the window."""

    def run(series: Series, expressions: dict[str, str], values: Mapping[str, float | None]) -> None:
        tests = []
        for name, value in values.items():
            expression, wanted = expressions[name], value
            if value is not None and math.isnan(value):  # promtool cannot expect NaN; nothing but NaN differs from itself
                expression, wanted = f"count({expression} != {expression})", 1
            samples = [] if wanted is None else [{"labels": "{}", "value": wanted}]
            tests.append({"expr": expression, "eval_time": "60s", "exp_samples": samples})
        group = {"interval": f"{SCRAPE}s", "input_series": series, "promql_expr_test": tests}
        file = tmp_path / "test.yaml"
        file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": f"{SCRAPE}s", "tests": [group]}))
        argv: list[str | Path] = [bin_dir / "promtool", "test", "rules", file]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run
