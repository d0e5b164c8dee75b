"""A folder with every kind of file that one can name by mistake, and a command line run in it as a user would run it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import files
from harness.cli import main
from harness.platforms.cluster import api
from harness.platforms.local import binaries, gitops_programs

IMAGE = "registry.example/webapp:v1.1@sha256:" + "ab" * 32
KUBECONFIG = {
    "clusters": [{"name": "theirs", "cluster": {"server": "https://192.0.2.1:6443"}}],
    "contexts": [{"name": "team", "context": {"cluster": "theirs", "user": "ann"}}],
    "users": [{"name": "ann", "user": {"token": "secret"}}],
}
QUERY = 'sum(rate(a{code!~"5.."}[60s])) / sum(rate(a[60s]))'
METRIC = {
    "name": "success-rate", "interval": "60s", "count": 1, "successCondition": "len(result) > 0 && result[0] >= 0.99",
    "provider": {"prometheus": {"address": "http://prometheus:9090", "query": QUERY}},
}
GATE = {
    "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "slo"}, "spec": {"metrics": [METRIC]},
}
POINT = {"error_rate_percent": 0.5, "rps": 50, "window_seconds": 60, "trials": 40, "rollbacks": 6}


class Reached(Exception):
    """What was to be refused came as far as a process or the network."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command line ended. `made` lists what is in the folders now and was not there before, or is not as it was."""

    code: int
    out: str
    err: str
    made: list[str]

    @property
    def error(self) -> str:
        """The one line that it said."""
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("error: "), self.err
        return self.err.removeprefix("error: ").rstrip("\n")


def make_world(folder: Path) -> dict[str, str]:
    """Make the files below a folder; returns their paths by the names that the table uses in braces."""
    given = {
        "file": "a: 1\n", "kubeconfig": json.dumps(KUBECONFIG), "gate": yaml.safe_dump(GATE),
        "series": "interval: 1s\nseries: [{series: a, values: 0+1x60}]\n", "points": json.dumps([POINT]), "values": "image: {}\n",
    }  # fmt: skip
    for name, text in given.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "binary.yaml").write_bytes(bytes(range(128, 256)) * 8)
    (folder / "folder").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "precious.txt").write_text("somebody else's")
    for name in ("loop", "loop.svg"):
        (folder / name).symlink_to(folder / name)
    (folder / "cwd").mkdir()
    (folder / "checkout" / ".git").mkdir(parents=True)
    os.mkfifo(folder / "fifo")
    paths = {name: str(folder / f"{name}.yaml") for name in (*given, "binary")}
    paths |= {name: str(folder / name) for name in ("folder", "full", "loop", "fifo", "checkout", "absent")}
    return paths | {
        "chart": str(Path(__file__).parents[3] / "charts" / "webapp"), "zero": "/dev/zero", "null": "/dev/null",
        "long": "x" * 5000, "below_a_file": str(folder / "file.yaml" / "below"), "image": IMAGE,
    }  # fmt: skip


def listing(folder: Path) -> set[tuple[str, int, int]]:
    """Everything below a folder, with type and size."""
    found = set()
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            status = (Path(place) / name).lstat()
            found.add((str((Path(place) / name).relative_to(folder)), status.st_mode, 0 if name in folders else status.st_size))
    return found


def run(folder: Path, argv: list[str]) -> Ran:
    """Run a command line with standard streams as a terminal's: what is no text in UTF-8 is escaped."""
    before = listing(folder)
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", newline="") for _ in "oe")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(argv)
    told = [stream.seek(0) or stream.read() for stream in (out, err)]
    return Ran(code=code, out=told[0], err=told[1], made=sorted(each[0] for each in listing(folder) ^ before))


@contextlib.contextmanager
def nothing_starts(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """Nothing that is refused comes as far as a process or a cluster. Working folder and cache are the world's."""

    def refuse(*arguments: Any, **_: Any) -> None:
        raise Reached(str(arguments)[:300])

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "cwd")
        patch.setenv("GATEPROOF_CACHE_DIR", str(folder / "cache"))
        for name in ("GATEPROOF_BIN_DIR", "KUBECONFIG", "GATEPROOF_DEBUG", "GITHUB_STEP_SUMMARY"):
            patch.delenv(name, raising=False)
        patch.setattr(files, "SILENCE_SECONDS", 0.02)
        patch.setattr(binaries, "find", lambda: binaries.Binaries(folder=folder / "programs"))
        patch.setattr(gitops_programs, "ensure", lambda _say: None)
        patch.setattr(subprocess.Popen, "__init__", refuse)
        patch.setattr(subprocess.Popen, "__del__", lambda _self: None)
        patch.setattr(api.ClusterApi, "call", refuse)
        yield patch
