"""docs/kind.md: its command is run as it stands there, and its versions and ports are those of the code."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from docs_support import DOCS, ROOT, run_commands

from harness.platforms.kind import pins
from harness.platforms.kind.config import ARGOCD_NAMESPACE, GIT_MOUNT, GIT_SETTINGS, REPOSITORY_URL, Ports
from harness.platforms.kind.gitops import IN_CLUSTER
from harness.platforms.kind.platform import KindPlatform
from harness.platforms.kind.preflight import MIN_CPUS, MIN_MEMORY_BYTES
from harness.platforms.kind.upstream import name_of

TEXT = (DOCS / "kind.md").read_text()


def test_the_plan_is_printed(tmp_path: Path) -> None:
    (told,) = run_commands("kind.md", tmp_path, links=("harness",))
    for step in ("registry", "cluster", "istiod", "gateway", "argo-cd", "argo-rollouts", "monitoring", "kiali"):
        assert f"# {step}: " in told
    assert "mode: STRICT" in told


def test_every_version_and_port_is_told() -> None:
    versions = (
        pins.KIND, pins.ARGO_CD, pins.ARGO_ROLLOUTS, pins.ISTIO, pins.KIALI, pins.MONITORING_VERSION,
        pins.NODE_IMAGE.partition("@")[0], *(name_of(each).rpartition("/")[2] + ":" + each.rpartition(":")[2] for each in
                                             (pins.REGISTRY_IMAGE, pins.PYTHON_IMAGE)),
    )  # fmt: skip
    for version in versions:
        assert version in TEXT, version
    for port in asdict(Ports()).values():
        assert f"| {port} |" in TEXT, port
    assert f"with {MIN_CPUS} CPUs and {MIN_MEMORY_BYTES // 2**30} GiB" in TEXT


def test_where_the_repository_of_gitops_is_is_told() -> None:
    for word in (GIT_MOUNT, REPOSITORY_URL, f"{ARGOCD_NAMESPACE}/{GIT_SETTINGS}", IN_CLUSTER):
        assert f"`{word}`" in TEXT, word
    git = KindPlatform(run_dir=Path()).git
    assert f"`{git.relative_to(git.parents[1])}`" in TEXT


def test_the_readme_says_what_has_never_run() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "never run on a real kind cluster" in readme
    assert "docs/kind.md#what-was-checked-and-what-has-never-run" in readme
    assert "## What was checked, and what has never run\n" in TEXT
