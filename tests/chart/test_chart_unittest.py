"""The suites in tests/chart/unittest, by helm-unittest: what each option renders, in the words of those who write charts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from chart_support import CHART, PLATFORMS

from harness.chart import Helm

SUITES = Path(__file__).parent / "unittest"


def unittest(program: Path, home: Path, *suites: Path) -> subprocess.CompletedProcess[str]:
    argv: list[str | Path] = [program, "--strict", *(argument for suite in suites for argument in ("--file", suite)), CHART]
    env = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_every_suite_passes(checks: Path, tmp_path: Path) -> None:
    suites = sorted(SUITES.glob("*_test.yaml"))
    done = unittest(checks / "helm-unittest", tmp_path, *suites)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Test Suites: {len(suites)} passed" in done.stdout


def test_a_suite_that_is_wrong_fails(checks: Path, tmp_path: Path) -> None:
    suite = tmp_path / "wrong_test.yaml"
    suite.write_text("suite: wrong\ntemplates: [hpa.yaml]\ntests: [{it: is there, asserts: [{hasDocuments: {count: 1}}]}]\n")
    done = unittest(checks / "helm-unittest", tmp_path, suite)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Test Suites: 1 failed, 0 passed" in done.stdout, done.stdout
    assert "Expected documents count to be" in done.stdout, done.stdout


@pytest.mark.parametrize("platform", PLATFORMS)
def test_strict_lint_of_an_image_that_is_not_ours(helm: Helm, platform: str) -> None:
    helm.lint(CHART, values_files=[*PLATFORMS[platform], SUITES / "third-party.yaml"])
