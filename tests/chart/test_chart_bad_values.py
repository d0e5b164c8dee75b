"""Every property of the chart's schema with values that it must refuse, and what a file of values must not be."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from chart_support import CHART, Render
from hypothesis import given, settings
from hypothesis import strategies as st
from values_table import VALUES, groups

from harness import files
from harness.chart import Helm
from harness.errors import HarnessError, UsageError, one_line

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
ODD: tuple[Any, ...] = (None, True, -1, 10**12, 1.5, "", "\n", "a b;{}", "\u00e9", [], [None], {}, {"surprise": None}, 1e300)


def leaves(values: dict[str, Any]) -> Iterator[str]:
    """Every dotted path to a value that the schema has a say about."""
    parents = set(groups(values))
    for parent in parents:
        place = at(values, parent)
        for key in place:
            path = f"{parent}.{key}".lstrip(".")
            if path not in parents and path != "global":
                yield path


def at(values: Any, path: str) -> Any:
    for key in filter(None, path.split(".")):
        values = values[key]
    return values


def with_value(path: str, value: Any) -> dict[str, Any]:
    tree = json.loads(json.dumps(VALUES))
    above, _, key = path.rpartition(".")
    at(tree, above)[key] = value
    return dict(tree)


LEAVES = sorted(leaves(VALUES))


@pytest.mark.parametrize("path", LEAVES)
def test_every_value_has_something_that_is_refused_by_its_name(path: str) -> None:
    refusals = [
        error for odd in ODD for error in VALIDATOR.iter_errors(with_value(path, odd))
        if error.json_path.removeprefix("$.").startswith(path)
    ]  # fmt: skip
    assert len({error.message for error in refusals}) >= 2, "it takes almost anything"


@pytest.mark.parametrize("number", range(4))
def test_helm_names_each_value_that_it_refuses(helm: Helm, number: int) -> None:
    """All bad values of a quarter of the chart at once: helm tells all that its schema refuses."""
    wanted, tree = [], json.loads(json.dumps(VALUES))
    for path in LEAVES[number::4]:
        above, _, key = path.rpartition(".")
        odd = next(each for each in ODD if not VALIDATOR.is_valid(with_value(path, each)) and each is not None)
        at(tree, above)[key] = odd
        wanted.append(path.replace(".", "/"))
    with pytest.raises(UsageError, match="specifications of the schema") as refused:
        helm.template("webapp", "webapp", CHART, set_values=tree)
    told = str(refused.value)
    assert [path for path in wanted if f"/{path}" not in told and path.rpartition("/")[2] not in told] == []
    assert "\n" not in told


BAD_FILES: dict[str, bytes] = {
    "binary": bytes(range(128, 256)), "a list": b"[1]", "a text": b"just words", "a number": b"5", "a tab": b"a:\n\tb: 1",
    "twice": b"slo: {p95Ms: 300}\nslo: {p95Ms: 250}\n", "open": b"a: [", "deep": b"[" * 100_000,
    "NUL": b"a: \0", "control": b"a: \x07",
    "loop": b"slo: &a\n  b: *a\n", "an alias": b"slo: *nowhere\n", "NaN": b"slo: {successRate: .nan}",
    "infinite": b"slo: {successRate: .inf}", "unknown": b"surprise: 1",
    "bomb": b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    + b"".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n".encode() for n in range(1, 9)),
}  # fmt: skip


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_of_values_that_is_none_is_one_line(helm: Helm, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "values.yaml"
    file.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        helm.template("webapp", "webapp", CHART, values_files=[file])
    assert one_line(str(refused.value)).isprintable()
    assert "\n" not in str(refused.value)


def test_a_file_of_values_of_another_kind_is_one_line(helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SILENCE_SECONDS", 0.02)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large.yaml").write_bytes(b"# " + b"x" * (50 * files.MIB))
    for file in (tmp_path, tmp_path / "fifo", tmp_path / "large.yaml", Path("/dev/zero"), tmp_path / "absent"):
        with pytest.raises(UsageError, match="--values"):
            helm.template("webapp", "webapp", CHART, values_files=[file])


TAKEN = [(path, odd) for path in LEAVES for odd in ODD if odd is not None and VALIDATOR.is_valid(with_value(path, odd))]
"""What is odd and in the schema's sight right: the templates have to refuse it, or to render it."""


@settings(max_examples=40)
@given(st.lists(st.sampled_from(TAKEN), min_size=1, max_size=3, unique_by=lambda each: each[0]))
def test_any_change_is_refused_clearly_or_renders(helm: Helm, changes: list[tuple[str, Any]]) -> None:
    try:
        objects = helm.template("webapp", "webapp", CHART, set_values=dict(changes))
    except UsageError as error:
        assert one_line(str(error)).isprintable()  # noqa: PT017
        return
    assert all(each["kind"] and each["metadata"]["name"] for each in objects)
    yaml.safe_dump_all(objects)


def test_what_helm_says_of_a_chart_that_is_none_is_one_line(helm: Helm, tmp_path: Path, render: Render) -> None:
    assert render()
    (tmp_path / "Chart.yaml").write_bytes(b"\xff")
    with pytest.raises(HarnessError) as refused:
        helm.template("webapp", "webapp", tmp_path)
    assert "\n" not in str(refused.value)
