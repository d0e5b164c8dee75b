"""`harness lint` as one calls it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import yaml
from lint_cases import Object, metric, rollout, template

from harness.cli import main

BAD = template(metric(condition="result[0] >= 0.99"))
WARNS = template(metric(initialDelay=None))


def write(path: Path, *objects: Object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump_all(objects))
    return str(path)


@pytest.mark.parametrize(
    ("objects", "options", "code"),
    [
        ([template(), rollout()], [], 0),
        ([BAD], [], 1),
        ([BAD], ["--ignore", "GP103"], 0),
        ([BAD], ["--ignore", "no-condition,unguarded-result"], 0),
        ([WARNS], [], 0),
        ([WARNS], ["--fail-on", "warning"], 1),
        ([WARNS], ["--fail-on", "note"], 1),
        ([rollout(progressDeadlineAbort=False)], ["--fail-on", "warning"], 0),
        ([rollout(progressDeadlineAbort=False)], ["--fail-on", "note"], 1),
        ([{"kind": "Service"}], [], 0),
    ],
)
def test_exit_codes(tmp_path: Path, objects: list[Object], options: list[str], code: int) -> None:
    assert main(["lint", write(tmp_path / "a.yaml", *objects), *options]) == code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to lint"),
        (["/nowhere.yaml"], "/nowhere.yaml"),
        (["--ignore", "GP999", "."], "GP999"),
        (["--buckets", "a,b", "."], "a,b"),
        (["--buckets", "0,1", "."], "0,1"),
        (["--scrape-interval", "0", "."], "0"),
        (["--fail-on", "never", "."], "never"),
        (["--set", "a=b", "."], "--chart"),
        (["--chart", "/nowhere"], "/nowhere"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert words in told.err


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_linted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "bad.yaml", BAD)
    (tmp_path / "helm.yaml").write_text("{{- if .Values.x }}\nkind: Rollout\n{{- end }}\n")
    (tmp_path / "latin.yml").write_bytes(b"name: caf\xe9\n")
    assert main(["lint", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert "GP103" in told.out
    errors = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "helm template" in errors[0]
    assert "UTF-8" in errors[1]


def test_a_folder_is_walked_and_a_charts_templates_are_left_out_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "deep" / "a.json", BAD)
    (tmp_path / "notes.txt").write_text("{{")
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("name: x\n")
    (chart / "templates" / "a.yaml").write_text("{{ if }}")
    assert main(["lint", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.out.count("\n") == 1
    assert "chart/templates is left out" in told.err


class Standard:
    """Standard input of bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Standard(yaml.safe_dump_all([BAD, rollout()]).encode()))
    assert main(["lint", "-"]) == 1
    assert capsys.readouterr().out.startswith("<stdin>:")


def test_an_empty_pipe_is_no_success(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Standard(b"---\n# nothing\n"))
    assert main(["lint", "-"]) == 2
    assert "no object" in capsys.readouterr().err


def test_what_belongs_together_may_stand_in_several_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endless = template(metric(count=None, interval="60s"))
    files = [write(tmp_path / "template.yaml", endless), write(tmp_path / "rollout.yaml", rollout())]
    assert main(["lint", files[0]]) == 0
    assert main(["lint", *files]) == 1
    assert "GP304" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["json", "sarif", "github", "text"])
def test_outputs(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "a.yaml", BAD)
    assert main(["lint", file, "--output", kind]) == 1
    out = capsys.readouterr().out
    if kind == "json":
        (finding,) = json.loads(out)
        assert (finding["rule"], finding["severity"], finding["file"]) == ("GP103", "error", file)
    elif kind == "sarif":
        (run,) = json.loads(out)["runs"]
        (result,) = run["results"]
        assert result["ruleId"] in {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    elif kind == "github":
        assert out.startswith(f"::error file={file},line=")
    else:
        assert out.startswith(f"{file}:")
        assert out.count("\n") == 1


def test_machines_get_valid_output_also_when_nothing_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "a.yaml", template(), rollout())
    assert main(["lint", file, "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["lint", file, "--output", "text"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "2 objects looked at: nothing found\n")


def test_the_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--rules"]) == 0
    assert "GP103 unguarded-result (error)" in capsys.readouterr().out
