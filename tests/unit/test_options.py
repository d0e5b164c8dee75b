"""What comes in by options, and the value trees made of it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.options import next_report_dir, parse_set
from harness.platforms.local import binaries
from harness.platforms.local.versions import versions
from harness.release import merged


@pytest.mark.parametrize(
    ("pairs", "tree"),
    [
        ((), {}),
        (("slo.errorRate=0.02",), {"slo": {"errorRate": 0.02}}),
        (("a.b=1", "a.c=x"), {"a": {"b": 1, "c": "x"}}),
        (("a=[10, 50]",), {"a": [10, 50]}),
        (("a=",), {"a": None}),
        (("a=b=c",), {"a": "b=c"}),
        (('a="2024-01-01"',), {"a": "2024-01-01"}),
        (("a=1", "a=2"), {"a": 2}),
    ],
)
def test_set_is_a_tree_of_typed_values(pairs: tuple[str, ...], tree: dict[str, Any]) -> None:
    assert parse_set(pairs) == tree


@pytest.mark.parametrize("pair", ["a", "=1", ".a=1", "a.=1", "a={", "a=2024-01-01", "a=2024-13-45", "a=0b_", "a=" + "[" * 3000])
def test_set_refuses_in_one_line_what_a_chart_cannot_hold(pair: str) -> None:
    with pytest.raises(UsageError, match="--set") as caught:
        parse_set((pair,))
    assert "\n" not in str(caught.value)


def test_what_looks_like_a_date_is_not_silently_one() -> None:
    assert not isinstance(parse_set(('a="2024-01-01"',))["a"], datetime.date)


def test_later_trees_win_and_the_earlier_ones_stay_as_they_were() -> None:
    below, above = {"a": {"b": 1, "c": [1]}, "d": 1}, {"a": {"c": [2]}, "d": {"e": 1}}
    assert merged(below, above) == {"a": {"b": 1, "c": [2]}, "d": {"e": 1}}
    assert below == {"a": {"b": 1, "c": [1]}, "d": 1}
    assert merged() == {}


def test_each_run_has_a_report_folder_of_its_own(tmp_path: Path) -> None:
    assert next_report_dir(tmp_path) == tmp_path / "run-1"
    (tmp_path / "run-1").mkdir()
    assert next_report_dir(tmp_path) == tmp_path / "run-2"


def test_the_versions_that_are_compiled_in_are_those_that_go_mod_pins() -> None:
    pinned = versions()
    assert "unknown" not in pinned.values()
    flags = " ".join(module.ldflags for module in binaries.MODULES)
    assert pinned["Kubernetes"] == binaries.KUBERNETES
    assert f"version.version={pinned['Argo Rollouts']}" in flags
    # Prometheus 3.16.0 is published as module version v0.316.0.
    major, minor = divmod(int(pinned["Prometheus"].split(".")[1]), 100)
    assert f"version.Version={major}.{minor}.{pinned['Prometheus'].split('.')[2]}" in flags
