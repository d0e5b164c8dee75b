"""Our own chart under our own lint, rendered by real helm; and the lint's way to a chart."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from chart_support import CHART, PLATFORMS

from harness.chart import Helm
from harness.cli import main
from harness.lint.check import lint
from harness.lint.model import Finding, Options
from harness.lint.source import documents

Lint = Callable[..., list[Finding]]


@pytest.fixture
def linted(helm: Helm) -> Lint:
    def run(platform: str = "default", **values: object) -> list[Finding]:
        text = helm.render("webapp", "webapp", CHART, values_files=PLATFORMS[platform], set_values=values)
        return lint(documents("chart", text), Options())

    return run


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_chart_is_clean(linted: Lint, platform: str) -> None:
    assert linted(platform) == []


@pytest.mark.parametrize("source", ["app", "envoy", "istio"])
def test_every_source_is_clean(linted: Lint, source: str) -> None:
    assert linted("local", **{"analysis.source": source}) == []


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_mode_with_two_services_is_what_the_lint_warns_of(linted: Lint, platform: str) -> None:
    found = linted(platform, **{"rollout.trafficSplit": "services"})
    assert [each.rule.id for each in found] == ["GP501"]


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"analysis.windowSeconds": 30}, "GP209"),
        ({"rollout.scaleDownDelaySeconds": 0}, "GP406"),
        ({"rollout.progressDeadlineAbort": False}, "GP407"),
        ({"analysis.consecutiveErrorLimit": 0}, "GP308"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_values_that_weaken_the_gate_are_found(linted: Lint, values: dict[str, object], rule: str) -> None:
    assert {each.rule.id for each in linted(**values)} == {rule}


def test_a_chart_is_rendered_and_linted_by_one_command(helm: Helm, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--chart", str(CHART), "--values", str(CHART / "values-local.yaml")]) == 0
    capsys.readouterr()
    arguments = ["--set", "rollout.trafficSplit=services", "--output", "json", "--fail-on", "warning"]
    assert main(["lint", "--chart", str(CHART), *arguments]) == 1
    (finding,) = json.loads(capsys.readouterr().out)
    assert (finding["rule"], finding["file"]) == ("GP501", f"{CHART} (rendered)")


def test_values_that_the_chart_refuses_are_wrong_usage(helm: Helm, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--chart", str(CHART), "--set", "nobody.knows=1"]) == 2
    assert capsys.readouterr().err.startswith("error: helm template: ")
