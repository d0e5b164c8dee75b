"""The rules that keep the code a house one would live in, enforced on the imports themselves."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IO = {
    "os", "subprocess", "socket", "shutil", "tempfile", "multiprocessing", "asyncio", "requests", "urllib", "http",
    "kubernetes", "psutil", "click", "flask", "gunicorn", "time",
}
PURE = [
    "harness/scenario.py", "harness/faults.py", "harness/disturbances.py",
    "harness/quiet.py", "harness/thin.py", "harness/secrecy.py", "harness/bill/model.py", "harness/bill/judge.py",
    "harness/names.py", "harness/plain.py",
    "harness/campaign/throttle.py", "harness/campaign/trial.py",
    "harness/observation", "harness/verdict", "harness/report",
    "harness/supervisor/plan.py", "harness/dashboard/model.py", "harness/dashboard/promises.py",
    "harness/supervisor/component.py", "harness/platforms/local/components", "harness/platforms/local/node/plan.py",
    "harness/platforms/local/rollout_metrics/families.py",
    "webapp/faults.py", "webapp/fault_schema.py", "webapp/fault_reader.py", "loadtest/traffic", "harness/load_shape.py",
    "harness/lint/check.py", "harness/lint/expr", "harness/lint/model.py", "harness/lint/promql.py",
    "harness/lint/promql_facts.py", "harness/lint/render.py", "harness/lint/rules", "harness/lint/source.py",
    "harness/lint/subject.py", "harness/lint/usage.py",
    "harness/oc/advice.py", "harness/oc/exact.py", "harness/oc/gate.py", "harness/oc/query.py", "harness/oc/reading.py",
    "harness/replay/analysis.py", "harness/replay/cases.py", "harness/replay/clock.py", "harness/replay/judge.py",
    "harness/replay/notation.py", "harness/replay/render.py", "harness/replay/samples.py", "harness/replay/subjects.py",
    "harness/replay/wire.py",
    "harness/gitops/manifests.py",
    "harness/matrix/model.py", "harness/matrix/parse.py", "harness/matrix/render.py",
    "harness/platforms/cluster/rights.py",
    *(f"harness/platforms/kind/{name}.py" for name in
      ("config", "dashboards", "manifests", "pins", "step", "steps", "upstream", "values")),
    "harness/oc/report.py", "harness/oc/traffic.py", "harness/oc/increase.py", "harness/oc/points.py", "harness/oc/simulate.py",
    "harness/oc/acceptance.py", "harness/oc/counting.py", "harness/oc/decide.py", "harness/oc/looks.py", "harness/oc/result.py",
    "harness/oc/schedule.py", "harness/oc/series.py", "harness/oc/timeline.py",
]
LINES_AT_MOST = 330


def files(*places: str) -> list[Path]:
    found: list[Path] = []
    for place in places:
        path = ROOT / place
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert found, places
    return found


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize("path", files(*PURE), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_modules_import_no_io(path: Path) -> None:
    assert {name for name in imports(path) if name.split(".")[0] in IO} == set()


@pytest.mark.parametrize("path", files("harness/supervisor"), ids=lambda path: path.name)
def test_the_supervisor_knows_nothing_of_platforms(path: Path) -> None:
    ours = {name for name in imports(path) if name.startswith("harness")}
    assert {name for name in ours if not name.startswith(("harness.supervisor", "harness.errors"))} == set()


@pytest.mark.parametrize("path", files("harness", "webapp"), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_of_ours_imports_locust_and_the_web_app_stands_alone(path: Path) -> None:
    names = imports(path)
    assert not {name for name in names if name.split(".")[0] == "locust"}
    if path.is_relative_to(ROOT / "webapp"):
        assert not {name for name in names if name.split(".")[0] == "harness"}


@pytest.mark.parametrize("path", files("harness", "webapp", "loadtest"), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES_AT_MOST


def test_only_the_platforms_package_asks_which_platform_it_is() -> None:
    # "kind" is also the name of a field of every API object, so it cannot be told apart here.
    for path in files("harness"):
        if path.is_relative_to(ROOT / "harness" / "platforms"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                literals = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
                assert not literals & {"local", "existing"}, f"{path}:{node.lineno} compares with a platform's name"


def test_every_module_of_the_tests_has_a_name_of_its_own() -> None:
    # pytest imports them all as top-level modules: with two of one name, no run of the whole suite gets past its collection.
    modules = [path for path in files("tests") if path.name != "conftest.py" and not (path.parent / "__init__.py").exists()]
    names = Counter(path.name for path in modules)
    assert [path.relative_to(ROOT) for path in modules if names[path.name] > 1] == []
