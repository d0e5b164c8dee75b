"""The owner's state file and the locks on a run's folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import PlatformError, UsageError
from harness.platforms.local import paths, state
from harness.platforms.local.paths import RunPaths


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written = state.State(phase="ready", pid=7, started_at=1.5, ports={"gateway": 8081}, died={"etcd": "gone"})
    state.write(tmp_path / "state.json", written)
    assert state.read(tmp_path / "state.json") == written
    assert list(tmp_path.iterdir()) == [tmp_path / "state.json"]


def test_no_file_is_no_state_and_a_foreign_file_is_one_clear_line(tmp_path: Path) -> None:
    assert state.read(tmp_path / "state.json") is None
    (tmp_path / "state.json").write_text("[1]")
    with pytest.raises(PlatformError, match="cannot be read"):
        state.read(tmp_path / "state.json")


def test_a_lock_is_held_by_one_and_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from harness.platforms.local.state import Lock\n"
        "lock = Lock(Path(sys.argv[1])); print(lock.acquire(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[3],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "True"
        assert state.held(path)
        assert state.holder(path) == process.pid
        assert not state.Lock(path).acquire(patience=0.1)
        process.kill()
        process.wait()
    assert not state.held(path)
    lock = state.Lock(path)
    assert lock.acquire()
    lock.release()


def test_a_run_folder_is_private(tmp_path: Path) -> None:
    paths = RunPaths(root=tmp_path / "run")
    paths.make()
    assert {oct(p.stat().st_mode & 0o777) for p in (paths.root, paths.pki, paths.data)} == {"0o700"}


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").write_text("mine")
    mode = tmp_path.stat().st_mode
    with pytest.raises(UsageError, match="no run's"):
        RunPaths(root=tmp_path).make()
    assert (tmp_path / "data" / "precious").read_text() == "mine"
    assert tmp_path.stat().st_mode == mode
    empty = RunPaths(root=tmp_path / "new")
    empty.make()
    (empty.data / "etcd").mkdir()
    empty.make()  # a run's own folder is taken again


def test_a_file_in_the_folders_place_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--run-dir"):
        RunPaths(root=tmp_path / "file" / "run").make()


def test_a_full_disk_is_the_platforms_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MIN_FREE_BYTES", 2**62)
    with pytest.raises(PlatformError, match="make room"):
        RunPaths(root=tmp_path / "run").make()
