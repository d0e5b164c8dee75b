"""The real programs, packed into one file and unpacked from it on a machine that has none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.platforms.local import binaries
from harness.platforms.local.pack import archive_name, pack
from harness.platforms.local.ready import FILE_VARIABLE

ROOT = Path(__file__).parents[2]
VERSIONS = (("kube-apiserver", "--version"), ("etcd", "--version"), ("helm", "version"), ("promtool", "--version"))


def test_a_machine_without_programs_is_set_up_from_the_file(
    bin_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = binaries.part()
    if bin_dir != its.folder:
        pytest.skip("the programs are of a folder that GATEPROOF_BIN_DIR names, and only the cache's are packed")
    target = tmp_path / archive_name((its,))
    pack((its,), target, print, preset=0)  # quick rather than small
    monkeypatch.setenv("GATEPROOF_CACHE_DIR", str(tmp_path / "cache"))
    done = subprocess.run(
        [sys.executable, "-m", "harness", "setup"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240,
        env=os.environ | {"PYTHONPATH": str(ROOT), FILE_VARIABLE: str(target)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [each.name for each in (tmp_path / "cache").iterdir()] == ["toolchain"], "`go` was called"
    found = binaries.find()
    assert found is not None
    assert found.folder.is_relative_to(tmp_path)
    told = {}
    for program, argument in VERSIONS:
        ran = subprocess.run([str(found[program]), argument], capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode == 0, ran.stderr
        told[program] = ran.stdout
    assert binaries.KUBERNETES in told["kube-apiserver"]
    assert [name for name in its.files if (found.folder / name).read_bytes() != (bin_dir / name).read_bytes()] == []
