"""The verdict takes what the chart's own gate asks for what it is: a question about the candidate, which can go both ways."""

from __future__ import annotations

import re

import pytest
from chart_support import Render

from harness.verdict.queries import accepts, scope_problem

CANARY, STABLE = "7b64c5d9f8", "5d8f7c9b66"


@pytest.mark.parametrize("source", ["app", "istio", "envoy"])
@pytest.mark.parametrize("platform", ["local", "kind"])
def test_every_query_is_over_the_candidate_alone_and_every_condition_can_be_read(
    render: Render, platform: str, source: str
) -> None:
    objects = render(platform, analysis={"source": source})
    metrics = [each for (kind, _), its in objects.items() if kind == "AnalysisTemplate" for each in its["spec"]["metrics"]]
    assert {each["name"] for each in metrics} == {"requests", "success-rate", "error-rate", "latency-p95"}
    for metric in metrics:
        query = re.sub(r"{{ *args\.([\w-]+) *}}", lambda arg: CANARY if "hash" in arg[1] else "webapp",
                       metric["provider"]["prometheus"]["query"])  # fmt: skip
        assert scope_problem(query, CANARY, STABLE) == "", metric["name"]
        assert {accepts(metric["successCondition"], value) for value in (0.0, 1e6)} == {True, False}
