"""No password reaches a report, a log or a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import verdict_world as w
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main as run
from harness.report import PlatformFacts, Reproduction, build_report
from harness.report_files import write_reports
from harness.secrecy import redacted, redacted_command
from harness.verdict import judge

PASSWORD = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"http://me:{PASSWORD}@metrics.example:9090/", f"https://:{PASSWORD}@a/b", f"asked postgres://u:{PASSWORD}@h/d twice",
        f"http://h/q?token={PASSWORD}&a=1", f"http://h/q?a=1&api_key={PASSWORD}",
    ],
)  # fmt: skip
def test_an_address_is_shown_without_its_password(text: str) -> None:
    assert PASSWORD not in redacted(text)
    assert "***" in redacted(text)


@pytest.mark.parametrize("text", [f"http://h/?token={PASSWORD}", f"http://me:{PASSWORD}@h/", "http://h/?token=***", "http://a:b"])
def test_what_is_hidden_leaves_the_form_around_it_whole(text: str) -> None:
    told = redacted(json.dumps({"a": text, "b": "c@d"}))
    assert set(json.loads(told)) == {"a", "b"}
    assert PASSWORD not in told
    page = redacted(f'<a href="{text}">x</a>')
    assert page.startswith('<a href="')
    assert page.endswith('">x</a>')


@pytest.mark.parametrize("text", ["http://host:9090/path", "localhost:5001/webapp:v1.0@sha256:abc", "a@b.example", ""])
def test_what_holds_none_stays_as_it_is(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set", f"registry.password={PASSWORD}"], [f"--set=registry.password={PASSWORD}"], ["--set", f"a.apiToken={PASSWORD}"],
        ["--set", f"SECRET={PASSWORD}"], ["--prometheus-url", f"http://u:{PASSWORD}@h:9090"], [f"--prometheus-url=http://u:{PASSWORD}@h"],
    ],
)  # fmt: skip
def test_a_command_line_is_shown_without_secrets(arguments: list[str]) -> None:
    shown = redacted_command(arguments)
    assert PASSWORD not in " ".join(shown)
    assert len(shown) == len(arguments)


def test_chart_values_that_are_no_secret_are_shown() -> None:
    plain = ("--set", "slo.successRate=0.999", "--window", "60", "--values", "my=file.yaml", "--set", "image.monkey=1")
    assert redacted_command(plain) == plain


@given(st.text(max_size=80))
def test_any_text_comes_through(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


def test_no_form_of_a_report_holds_the_password_of_an_address(tmp_path: Path) -> None:
    world = w.good_promote()
    world.facts["notes"] = (f"asked http://u:{PASSWORD}@metrics.example",)
    world.facts["final_samples"] = ()  # so that the notes are shown
    observation = world.observation()
    command = redacted_command(("python", "-m", "harness", "success", "--set", f"registry.password={PASSWORD}"))
    report = build_report(
        world.scenario, observation, judge(world.scenario, observation), PlatformFacts(name="local", versions={}),
        Reproduction(command=command, inputs={}),
    )  # fmt: skip
    written, warnings = write_reports(report, tmp_path, step_summary=False)
    assert (len(written), warnings) == (5, [])
    assert [name for name, text in written.items() if PASSWORD in text] == []
    assert "metrics.example" in written["report.json"], "the test must show what it hides"


def test_an_error_is_one_line_without_the_password(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = run(["success", "--platform", "existing", "--context", "x", "--run-dir", str(tmp_path),
                "--gateway-url", f"ftp://u:{PASSWORD}@h", "--prometheus-url", f"http://u:{PASSWORD}@h",
                "--registry", "r"])  # fmt: skip
    told = capsys.readouterr()
    assert code == 2, told
    assert PASSWORD not in told.out + told.err
