"""The commands of docs/oc.md, run as they stand there, and the figures of its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from docs_support import DOCS, run_commands

from harness.lint.source import documents
from harness.oc.exact import characteristic, prepare
from harness.oc.reading import read_gate
from harness.oc.report import chance


def test_every_command_of_the_document_works(bin_dir: Path, tmp_path: Path) -> None:
    told = run_commands("oc.md", tmp_path, links=("charts",), path=(bin_dir,))
    assert "0.5 % errors: 0.252" in told[0]
    assert "a window of 344 s or more" in told[0]
    assert (tmp_path / "oc.svg").is_file()


GATE = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: shop}}
spec:
  strategy:
    canary:
      steps:
      - setWeight: 20
      - pause: {{duration: 1m}}
      - analysis: {{templates: [{{templateName: success-rate}}]}}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {{name: success-rate}}
spec:
  metrics:
  - name: success-rate
    interval: {interval}s
    count: 5
    failureLimit: {limit}
    successCondition: result[0] >= 0.95
    provider:
      prometheus:
        query: sum(rate(requests_total{{code!~"5.*"}}[1m])) / sum(rate(requests_total[1m]))
"""


def test_the_usual_gates_figures_are_those_that_are_computed() -> None:
    text = (DOCS / "oc.md").read_text(encoding="utf-8").partition("| failureLimit | every 20 s")[2].partition("\n\n")[0]
    rows = [[cell.partition(",")[0].strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    for limit, *told in rows:
        found = []
        for interval in (20, 60):
            gate = read_gate(documents("shop.yaml", GATE.format(interval=interval, limit=limit)))
            plan = prepare(gate, rps=20)
            found += [chance(float(each)) for each in characteristic(plan, np.array([0.03, 0.04, 0.08])).rollback]
        assert found == told
