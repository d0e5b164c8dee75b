"""run.sh and the command line, as far as they go without a platform."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def call(*argv: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, capture_output=True, text=True, check=False, cwd=cwd, timeout=60, stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def harness(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return call(sys.executable, "-m", "harness", *arguments, cwd=cwd)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


def test_run_sh_without_a_command_and_with_a_wrong_one() -> None:
    nothing = call("./run.sh")
    assert nothing.returncode == 2
    assert "canary-success" in nothing.stderr
    wrong = call("./run.sh", "canary-sucess")
    assert wrong.returncode == 2
    assert "canary-sucess" in one_line(wrong)
    assert call("./run.sh", "--help").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("failure", "--error-rate", "101"), "101"),
        (("failure", "--error-rate", "nan"), "nan"),
        (("failure", "--error-rate", "five"), "five"),
        (("failure", "--latency-ms", "-1"), "-1"),
        (("success", "--window", "1"), "window"),
        (("success", "--window", "inf"), "window"),
        (("success", "--rps", "0"), "rps"),
        (("success", "--rps", "nan"), "rps"),
        (("success", "--users", "0"), "users"),
        (("success", "--timeout", "0"), "timeout"),
        (("success", "--seed", "-1"), "seed"),
        (("success", "--set", "slo"), "--set slo"),
        (("success", "--set", "slo.=1"), "--set slo.=1"),
        (("success", "--set", "slo=1", "--set", "slo.errorRate=1"), "value of its own"),
        (("success", "--chart", "/nowhere"), "Chart.yaml"),
        (("success", "--values", "/nowhere.yaml"), "/nowhere.yaml"),
        (("success", "--platform", "moon"), "moon"),
        (("success", "--gateway-port", "80"), "80"),
        (("success", "extra"), "extra"),
        (("promote",), "promote"),
        (("up", "--run-dir", "/proc/run"), "--run-dir"),
    ],
    ids=lambda value: "_".join(value)[:40] if isinstance(value, tuple) else None,
)
def test_wrong_usage_is_one_line_and_exit_2_and_leaves_nothing(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = harness(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert words in one_line(done)
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_looking_at_a_platform_that_is_not_there(tmp_path: Path) -> None:
    status = harness("status", cwd=tmp_path)
    assert status.returncode == 4
    assert "no platform is up" in status.stdout
    down = harness("down", cwd=tmp_path)
    assert down.returncode == 0
    assert "nothing was running" in down.stdout
    dashboards = harness("dashboards", cwd=tmp_path)
    assert dashboards.returncode == 4
    one_line(dashboards)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["python3 -m harness", "./run.sh canary-failure"])
def test_help_names_the_options_that_matter(shell: str) -> None:
    name = "failure" if "harness" in shell else ""
    done = call("bash", "-c", f"PATH={Path(sys.executable).parent}:$PATH {shell} {name} --help")
    assert done.returncode == 0, done.stderr
    for option in ("--window", "--rps", "--report-dir", "--error-rate", "--latency-ms", "--keep", "--web", "--set"):
        assert option in done.stdout


def test_a_link_to_an_environment_with_other_packages_is_left_alone(tmp_path: Path) -> None:
    shutil.copy(ROOT / "run.sh", tmp_path)
    (tmp_path / "requirements.lock").write_text("nothing==1\n")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "kept").touch()
    (tmp_path / ".venv").symlink_to(theirs)
    done = call("./run.sh", "status", cwd=tmp_path)
    assert done.returncode == 2
    assert ".venv is a link" in one_line(done)
    assert (theirs / "kept").exists()
