"""What is no file of ours, given to everything that reads one: a clear line, whatever is in it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import files
from harness.campaign.store import FORMAT, Store
from harness.chart import refuse_values_file
from harness.errors import HarnessError, UsageError, one_line
from harness.lint import source
from harness.matrix.parse import parse as parse_matrix
from harness.oc import points
from harness.options import parse_set
from harness.plain import Unbounded, look_through
from harness.platforms.cluster.access import find
from harness.platforms.cluster.ledger import Ledger
from harness.platforms.local import state
from harness.replay import agreement, cases, notation, record, samples

REFUSALS = (HarnessError, source.Unreadable, notation.Unreadable, points.BadPoints)


def in_file(folder: Path, name: str, read: Callable[[Path], Any], **beside: str) -> Callable[[str], Any]:
    """A reader of a file that has this name in a folder of its own."""
    folder.mkdir(exist_ok=True)
    for other, text in beside.items():
        (folder / other.replace("_", ".")).write_text(text)

    def run(text: str) -> Any:
        (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        return read(folder / name)

    return run


def replayed(folder: Path) -> Any:
    """All that is made of a run's kept files without Prometheus."""
    runs, _ = agreement.load(folder)
    return [(list(agreement.measurements(run)), list(agreement.phases(run))) for run in runs]


SPEC = {"scenario": "success"}


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[str], Any]]:
    root = tmp_path_factory.mktemp("readers")
    spec = json.dumps({"format": FORMAT, **SPEC})
    return {
        "lint": lambda text: source.documents("f", text),
        "matrix": lambda text: parse_matrix(text, file="f"),
        "cases": cases.read,
        "samples": samples.read,
        "points": points.parse,
        "set": lambda text: parse_set((f"a={text}",)),
        "kubeconfig": in_file(root / "kube", "config", lambda file: find(file, "team")),
        "values": in_file(root / "values", "values.yaml", refuse_values_file),
        "campaign": in_file(root / "campaign", "campaign.json", lambda file: Store(folder=file.parent).look(SPEC)),
        "trials": in_file(
            root / "trials", "trials.jsonl", lambda file: Store(folder=file.parent).look(SPEC), campaign_json=spec
        ),
        "runs": in_file(root / "runs", record.RUNS, lambda file: replayed(file.parent), **{record.SERIES.replace(".", "_"): ""}),
        "series": in_file(
            root / "series", record.SERIES, lambda file: replayed(file.parent), **{record.RUNS.replace(".", "_"): '{"items": []}'}
        ),
        "state": in_file(root / "state", "state.json", state.read),
        "ledger": in_file(root / "ledger", "cluster.json", lambda file: Ledger(file).claims()),
    }


NAMES = ("lint", "matrix", "cases", "samples", "points", "set", "kubeconfig", "values", "campaign", "trials", "runs", "series",
         "state", "ledger")  # fmt: skip


def bomb(levels: int) -> str:
    """A few lines that unfold to 10 to the power of `levels`."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    lines += [f"{key}: *a{levels - 1}" for key in ("series", "cases", "scenarios", "items")]
    return "\n".join(lines) + "\n"


HOSTILE: dict[str, str] = {
    "empty": "", "blank": " \n\t\n", "nul": "\0", "mark": "\ufeff", "control": "a: \x07", "text": "just words", "null": "null",
    "true": "true", "number": "5", "list": "[]", "mapping": "{}", "quoted": '"a"', "open quote": "a: 'b", "tab": "a:\n\tb: 1",
    "documents": "---\n---\n", "directive": "%YAML 9.9\n---\na", "python": "!!python/object/apply:os.system [true]",
    "binary": "a: !!binary é", "no int": "a: !!int x", "no float": "series: !!float x", "no time": "a: !!timestamp x",
    "no date": "a: 2024-13-45", "date": "a: 2024-01-01", "set": "a: !!set {b, c}", "omap": "!!omap [a: 1]",
    "pairs": "!!pairs [a]",
    "key": "? [a]\n: b", "key of a mapping": "? {a: 1}\n: b", "merge": "<<: 5",
    "merge of a list": "<<: [1, [2]]",
    "twice": "a: 1\na: 2\n", "twice in JSON": '{"a": 1, "a": 2}', "undefined alias": "a: *b", "loop": "&a [*a]",
    "loop of a mapping": "&a {b: *a}", "bomb": bomb(9), "deep list": "[" * 100_000, "deep and whole": "[" * 3000 + "]" * 3000,
    "deep mapping": '{"a":' * 20_000, "deep mapping, whole": '{"a":' * 3000 + "1" + "}" * 3000, "deep block": "- " * 5000,
    "deep indent": "".join(" " * n + "a:\n" for n in range(1500)), "digits": "9" * 5000, "digits as a value": "a: " + "9" * 5000,
    "NaN": '[{"error_rate_percent": NaN, "rps": 1, "window_seconds": 1, "trials": 1, "rollbacks": 1}]',
    "huge trials": '[{"error_rate_percent": 1, "rps": 1, "window_seconds": 1, "trials": 1%s, "rollbacks": 1}]' % ("0" * 400),
    "infinite": '{"labels": {"a": "b"}, "samples": [[1e999, "1"]]}', "labels": '{"labels": {"a": 5}, "samples": [[1, "1"]]}',
    "label list": '{"labels": {"a": [5]}, "samples": [[1, "1"]]}', "matrix": '{"data": {"resultType": "matrix", "result": 5}}',
    "metric": '{"data": {"resultType": "matrix", "result": [{"metric": 5, "values": [[1, "1"]]}]}}',
    "items": '{"items": 5}', "items of text": '{"items": ["a"]}', "items of nothing": '{"items": [null]}',
    "a run of odd parts": '{"items": [{"spec": [], "status": {"metricResults": [5, {"name": {}, "measurements": [5, {}]}]}}]}',
    "a run of odd metrics": '{"items": [{"metadata": 5, "spec": {"metrics": [5, {"name": 5}], "args": [5, {"name": []}]}, '
    '"status": {"phase": [], "metricResults": [{"name": "a", "count": "x"}]}}]}',
    "lines": "5\n[]\n{}\n", "a cut line": '{"index": 1', "openmetrics": "# TYPE a counter\na_total{b=\"c\n# EOF\n",
    "openmetrics without times": "# TYPE a gauge\na 1\n# EOF\n", "openmetrics twice": "a 1 5\na 1 5\n# EOF\n",
    "csv": "error_rate_percent,rps\n,\n", "csv field": "a,b\n" + "x" * 200_000 + ",1\n", "csv quote": 'a,b\n"x',
    "interval": "interval: 99999999999999999999w\nseries: [{series: a, values: 0+1x60}]",
    "interval of digits": f"interval: {'9' * 5000}s\nseries: []", "at": f"at: {'9' * 400}w\nseries: []",
    "a million": "series: [{series: a, values: '0x99999999999'}]",
    "samples of digits": f"series: [{{series: a, values: '0x{'9' * 5000}'}}]",
    "many samples": "series:\n" + "".join(f"- {{series: a{n}, values: 0x1999990}}\n" for n in range(30)),
    "names": "series: [{series: '{', values: 0}]", "long name": f"series: [{{series: 'a{'a' * 100_000}', values: 0}}]",
    "contexts": "contexts: [{name: [a], context: {cluster: [b]}}]\nclusters: [{name: b, cluster: 5}]",
    "no cluster": "contexts: [{name: team, context: {cluster: [b]}}]\nclusters: [{name: b, cluster: 5}]",
    "a scenario": "scenarios: [{name: a, fault: {kind: hang, hang_rate: .nan}}]", "rps": "scenarios: [{name: a, rps: 1.0e+400}]",
    "steps": "scenarios: [{name: a, steps: [10, 10]}]", "window": f"scenarios: [{{name: a, window: {'9' * 400}}}]",
    "values": "scenarios: [{name: a, values: {'a': 1, 'a.b': 2}}]", "seed": f"scenarios: [{{name: a, seed: {'9' * 400}}}]",
    "many": f"matrix: {{fault: [none], seed: {list(range(3000))}}}",
    "state": '{"phase": [], "pid": "x", "started_at": {}}', "claims": '[{"server": 5}]',
    "claim": '[{"server": [], "namespace": {}, "made": 5}]',
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", NAMES)
def test_whatever_it_holds_is_read_or_refused_in_one_line(readers: dict[str, Callable[[str], Any]], name: str, text: str) -> None:
    try:
        readers[name](text)
    except REFUSALS as error:
        assert str(error).strip()  # noqa: PT017 -- either outcome is right
        assert len(one_line(str(error))) < 1000  # noqa: PT017


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
KEYS = st.sampled_from((
    "series", "cases", "name", "values", "items", "spec", "status", "metrics", "provider", "prometheus", "query", "labels",
    "samples", "scenarios", "matrix", "defaults", "fault", "kind", "contexts", "clusters", "context", "cluster", "metadata",
    "expect", "phase", "metricResults", "measurements", "startedAt", "args", "interval", "at", "steps", "apiVersion",
    "result", "resultType", "data", "index", "seed", "valid", "count", "template", "strategy", "canary", "analysis",
    "successCondition", "exclude", "rps",
)) | st.text(max_size=5)  # fmt: skip
DOCUMENTS = st.recursive(
    LEAVES, lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYS, below, max_size=5), max_leaves=25
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(document=DOCUMENTS)
def test_any_document_is_read_or_refused(readers: dict[str, Callable[[str], Any]], name: str, document: object) -> None:
    for text in (json.dumps(document), yaml.safe_dump(document, allow_unicode=True)):
        try:
            readers[name](text)
        except REFUSALS as error:
            assert str(error).strip()  # noqa: PT017


def test_a_file_of_another_kind_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SILENCE_SECONDS", 0.02)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path, told in {
        tmp_path: "it is a folder", tmp_path / "fifo": "nobody has written", tmp_path / "absent": "no such file",
        tmp_path / "binary": "not text in UTF-8", Path("/dev/zero"): "more than 64 KiB",
    }.items():  # fmt: skip
        with pytest.raises(UsageError, match=f"^--it: .*{told}"):
            files.read_text(path, told="--it", most=65536)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(50 * files.MIB)
    with pytest.raises(UsageError, match="more than 16 MiB"):
        files.read_bytes(tmp_path / "large", told="--it", most=16 * files.MIB)
    assert files.read_bytes(Path("/dev/null"), told="--it") == b""


def test_a_pipe_that_somebody_writes_into_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    go_on = threading.Event()

    def write() -> None:
        with (tmp_path / "fifo").open("wb") as pipe:
            pipe.write(b"first ")
            pipe.flush()
            go_on.wait(10)
            pipe.write(b"second" * 100_000)

    writer = threading.Thread(target=write)
    writer.start()
    timer = threading.Timer(0.05, go_on.set)
    timer.start()
    assert files.read_bytes(tmp_path / "fifo", told="--it") == b"first " + b"second" * 100_000
    writer.join(10)
    timer.join(10)


@pytest.mark.parametrize("text", ["a", "&a [b, *a]", "[&a [x], *a, *a]", bomb(3), "[" * 150 + "]" * 150, "a: &x {b: 1}\nc: *x"])
def test_what_is_counted_is_what_is_built(text: str) -> None:
    def size(value: Any, around: tuple[int, ...] = ()) -> int:
        if id(value) in around:
            raise Unbounded
        if isinstance(value, dict):
            return 1 + sum(1 + size(each, (*around, id(value))) for each in value.values())
        if isinstance(value, list):
            return 1 + sum(size(each, (*around, id(value))) for each in value)
        return 1

    try:
        built = size(yaml.safe_load(text))
    except Unbounded:
        with pytest.raises(Unbounded, match="contains itself"):
            look_through(text)
        return
    look_through(text, most_values=built)
    with pytest.raises(Unbounded, match="more than"):
        look_through(text, most_values=built - 1)
