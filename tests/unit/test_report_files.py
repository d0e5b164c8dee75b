"""Writing reports: whatever becomes of them, the verdict stands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from report_worlds import report

from harness import cli, outcome, report_files
from harness.options import REPORT_FILES, parse_set
from harness.report_files import inputs_of, write_reports
from harness.report_folder import REPORTS, clear_report
from harness.run import Options
from harness.verdict import Verdict


@pytest.fixture(autouse=True)
def no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def write(folder: Path) -> list[str]:
    return write_reports(report("rollback"), folder)[1]


def test_every_form_is_written_and_nothing_else(tmp_path: Path) -> None:
    assert write(tmp_path) == []
    assert {each.name for each in tmp_path.iterdir()} == set(REPORTS) == REPORT_FILES - {"load", "replay"}
    assert all(each.stat().st_size > 500 for each in tmp_path.iterdir())
    clear_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("renderer", "name"), [("render_html", "report.html"), ("render_junit", "report.xml")])
def test_a_form_that_cannot_be_made_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renderer: str, name: str
) -> None:
    def broken(_: object) -> str:
        # The plain ones are there before anything that may fail.
        assert (tmp_path / "report.json").exists()
        assert (tmp_path / "report.txt").exists()
        raise RuntimeError("no such\ntemplate")

    monkeypatch.setattr(report_files, renderer, broken)
    [warning] = write(tmp_path)
    assert warning == f"{tmp_path / name} was not written (RuntimeError: no such); the verdict stands, and the exit code is its"
    assert {each.name for each in tmp_path.iterdir()} == set(REPORTS) - {name}


def test_a_report_folder_that_is_gone_costs_no_verdict(tmp_path: Path) -> None:
    warnings = write(tmp_path / "gone")
    assert len(warnings) == len(REPORTS)
    assert not any("\n" in warning for warning in warnings)


def test_the_summary_of_a_ci_job_is_appended_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    folder = tmp_path / "reports"
    folder.mkdir()
    assert write(folder) == []
    assert summary.read_text() == "# before\n" + (folder / "report.md").read_text()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no" / "summary.md"))
    [warning] = write(folder)
    assert "summary.md was not written (FileNotFoundError" in warning


class Platform:
    name = "local"

    def facts(self) -> dict[str, str]:
        return {"envoy": "1.40.0"}


def played(monkeypatch: pytest.MonkeyPatch, folder: Path, output: str) -> int:
    """`outcome.play` on a made-up release: what follows a verdict, without a platform."""
    told = report("looks away")

    def run(*_: object, tell: Callable[..., None], **__: object) -> Verdict:
        tell(told.observation, told.verdict)
        return told.verdict

    monkeypatch.setattr(outcome, "run", run)
    common: Any = SimpleNamespace(output=output, color=False)
    where = Options(chart=folder, report_dir=folder, cache=folder)
    platform: Any = Platform()
    return outcome.play(told.scenario, common, where, platform, command=("python", "-m", "harness", "failure"))


def test_a_verdict_is_told_with_its_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert played(monkeypatch, tmp_path, "text") == 1
    said = capsys.readouterr()
    assert said.out.endswith(f"\nFAILED: {report('looks away').verdict.summary}\nreports: {tmp_path}\n")
    assert said.err == ""
    assert played(monkeypatch, tmp_path, "json") == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == json.loads((tmp_path / "report.json").read_text())
    assert json.loads(said.out)["reproduce"]["command"] == ["python", "-m", "harness", "failure"]


@pytest.mark.parametrize("broken", ["build_report", "render_json", "render_text", "render_html"])
@pytest.mark.parametrize("output", ["text", "json"])
def test_no_fault_of_a_report_changes_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: str, output: str
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("nothing to see")

    monkeypatch.setattr(report_files, broken, fails)
    assert played(monkeypatch, tmp_path, output) == 1
    said = capsys.readouterr()
    [warning] = said.err.splitlines()
    assert warning.startswith("warning: ")
    assert "(ValueError: nothing to see); the verdict stands" in warning
    if output == "json":
        assert json.loads(said.out)["exit_code"] == 1
    else:
        assert f"FAILED: {report('looks away').verdict.summary}" in said.out


def options(chart: Path, *files: Path) -> Options:
    return Options(chart=chart, values_files=files, report_dir=chart, cache=chart)


def test_digests_change_with_names_and_content(tmp_path: Path) -> None:
    chart, values = tmp_path / "chart", tmp_path / "v.yaml"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("a")
    values.write_text("x: 1\n")
    first = inputs_of(options(chart, values))
    assert set(first) == {"chart", "values file v.yaml"}
    assert first == inputs_of(options(chart, values))
    (chart / "templates" / "a.yaml").write_text("b")
    second = inputs_of(options(chart, values))
    (chart / "templates" / "a.yaml").rename(chart / "templates" / "b.yaml")
    third = inputs_of(options(chart, values))
    assert len({each["chart"] for each in (first, second, third)}) == 3
    assert first["values file v.yaml"] == third["values file v.yaml"]
    assert inputs_of(options(chart, tmp_path / "gone")) == {}


def test_the_command_is_reported_as_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def play(*_: object, command: tuple[str, ...]) -> int:
        seen["command"] = command
        return 0

    monkeypatch.setattr(outcome, "play", play)
    typed = ["success", "--window", "8", "--run-dir", str(tmp_path), "--set", "a.b=1 2"]
    assert cli.main(typed) == 0
    assert seen["command"] == ("python", "-m", "harness", *typed)
    assert parse_set(("a.b=1 2",)) == {"a": {"b": "1 2"}}


def test_help_does_not_wait_for_the_renderers() -> None:
    code = "import sys, harness.cli; print(sorted({'jinja2', 'junitparser', 'matplotlib', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
