"""`harness binaries pack` and `harness setup --binaries`, with small programs in the place of upstream's."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from workflow_support import checker, complaints

from harness.errors import PlatformError, UsageError
from harness.platforms.local import binaries, download, gitops_programs
from harness.platforms.local.ready import FILE_VARIABLE, SHA256_VARIABLE, Part

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "binaries.yml"
VARIABLES = (FILE_VARIABLE, SHA256_VARIABLE, "GATEPROOF_BIN_DIR")


def harness(*arguments: str, cache: Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: text for name, text in os.environ.items() if name not in VARIABLES}
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, check=False, timeout=120, cwd=cwd,
        stdin=subprocess.DEVNULL, env=kept | {"PYTHONPATH": str(ROOT), "GATEPROOF_CACHE_DIR": str(cache)} | environ,
    )  # fmt: skip


def fill(part: Part) -> None:
    for name in (*part.programs, *part.files):
        place = part.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"#!/bin/sh\necho {name}\n")
        place.chmod(part.mode(name))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of everything, Argo CD too."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATEPROOF_CACHE_DIR", str(folder / "cache"))
        fill(binaries.part())
        fill(gitops_programs.part())
    done = harness("binaries", "pack", "--gitops", cache=folder / "cache", cwd=folder)
    assert done.returncode == 0, done.stderr
    checksum, _, path = done.stdout.strip().partition("  ")
    made = Path(path)
    assert made.parent == folder
    assert made.name.startswith("gateproof-binaries-linux-")
    assert hashlib.sha256(made.read_bytes()).hexdigest() == checksum
    subprocess.run(["sha256sum", "--check", "--strict", f"{made.name}.sha256"], cwd=folder, check=True, capture_output=True)
    return made


def complete(cache: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("GATEPROOF_CACHE_DIR", str(cache))
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return binaries.find() is not None


def test_setup_takes_the_programs_from_the_file_and_compiles_nothing(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = harness("setup", "--binaries", str(archive), cache=tmp_path / "cache", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "everything is there" in done.stdout
    assert "building" not in done.stderr
    assert complete(tmp_path / "cache", monkeypatch)
    # Neither a module was fetched nor a package compiled: these folders are the first that `go` makes.
    assert [each.name for each in (tmp_path / "cache").iterdir()] == ["toolchain"]
    again = harness("setup", cache=tmp_path / "cache", cwd=tmp_path, **{FILE_VARIABLE: "/nowhere"})
    assert again.returncode == 0, "what the cache holds goes before the file"


def test_the_variable_names_it_for_every_command_and_for_argo_cd(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    given = {FILE_VARIABLE: str(archive), SHA256_VARIABLE: checksum}
    done = harness("setup", "--gitops", cache=tmp_path / "cache", cwd=tmp_path, **given)
    assert done.returncode == 0, done.stderr
    assert complete(tmp_path / "cache", monkeypatch)
    assert gitops_programs.part().missing() == []
    assert not (tmp_path / "cache" / "go").exists()


@pytest.mark.parametrize(
    ("arguments", "environ", "told"),
    [
        (("--binaries", "/nowhere"), {}, "--binaries=/nowhere: there is no such file"),
        (("--binaries", ""), {}, "--binaries"),
        (("--sha256", "0" * 64), {}, "--sha256 without --binaries"),
        (("--binaries", "/nowhere", "--sha256", "xyz"), {}, "64 hexadecimal digits"),
        (("--binaries", "http://example.org/x"), {}, "only https"),
        (("--binaries", "ftp://example.org/x"), {}, "only https"),
        (("--binaries", "https://user:secret@example.org/x"), {}, "without a password"),
        (("--binaries", "https://"), {}, "with a host"),
        (("--binaries", "https://[::1/x"), {}, "no address"),
        (("--platform", "kind", "--binaries", "x"), {}, "kind has no --binaries"),
        ((), {FILE_VARIABLE: "/nowhere"}, f"{FILE_VARIABLE}=/nowhere: there is no such file"),
        ((), {FILE_VARIABLE: "~nobody-of-this-name/x"}, "cannot be read"),
        ((), {SHA256_VARIABLE: "12"}, SHA256_VARIABLE),
        ((), {SHA256_VARIABLE: "0" * 64}, f"without {FILE_VARIABLE}"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], environ: dict[str, str], told: str
) -> None:
    done = harness("setup", *arguments, cache=tmp_path / "cache", cwd=tmp_path, **environ)
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert told in last
    assert "secret" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if not line.startswith("taking the programs from")]) == 1
    assert not [each for each in (tmp_path / "cache").rglob("*") if each.is_file() and each.suffix != ".lock"]


def test_packing_what_is_not_there(tmp_path: Path) -> None:
    done = harness("binaries", "pack", cache=tmp_path / "cache", cwd=tmp_path)
    assert done.returncode == 4
    assert "run ./run.sh setup first" in done.stderr
    assert list(tmp_path.iterdir()) == []


@contextmanager
def served(handler: type[BaseHTTPRequestHandler] | partial[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def test_an_address_in_the_place_of_a_path(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(partial(Quiet, directory=str(archive.parent))) as address:
        done = harness("setup", "--binaries", f"{address}/{archive.name}", cache=tmp_path / "cache", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert complete(tmp_path / "cache", monkeypatch)
        lost = harness("setup", "--binaries", f"{address}/none", cache=tmp_path / "other", cwd=tmp_path)
    assert lost.returncode == 4
    assert "none.sha256 answered with the status 404" in lost.stderr


class Elsewhere(BaseHTTPRequestHandler):
    """Sends everybody somewhere else."""

    place = ""

    def do_GET(self) -> None:
        """Answer with a redirection."""
        self.send_response(302)
        self.send_header("Location", self.place or self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def test_redirections_lead_nowhere_that_could_not_have_been_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Elsewhere) as address:
        with pytest.raises(PlatformError, match="redirections"):
            download.download(address, tmp_path / "x", option="--binaries")
        monkeypatch.setattr(Elsewhere, "place", "http://example.org/x")
        with pytest.raises(UsageError, match="only https"):
            download.download(address, tmp_path / "x", option="--binaries")
    assert not (tmp_path / "x").exists()


def test_a_download_has_a_largest_size_and_an_end(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(partial(Quiet, directory=str(archive.parent))) as address:
        whole = f"{address}/{archive.name}"
        monkeypatch.setattr(download, "MOST_BYTES", 10)
        with pytest.raises(PlatformError, match="larger than"):
            download.download(whole, tmp_path / "x", option="--binaries")
        monkeypatch.setattr(download, "MOST_BYTES", 2**30)
        monkeypatch.setattr(download, "ALL_SECONDS", -1.0)
        with pytest.raises(PlatformError, match="was not there after"):
            download.download(whole, tmp_path / "x", option="--binaries")
    with pytest.raises(PlatformError, match="could not be fetched"):
        download.download(whole, tmp_path / "x", option="--binaries")


def test_the_workflow_is_one_that_github_takes(tmp_path: Path) -> None:
    program, text = checker(), WORKFLOW.read_text()
    assert complaints(program, text, tmp_path) == []
    assert any("needs" in line for line in complaints(program, text.replace("needs: build", "needs: builds"), tmp_path))
    assert complaints(program, text.replace("matrix.runner", "matrix.machine"), tmp_path) != []


def test_the_workflow_uses_commands_that_exist() -> None:
    steps = [step for job in yaml.safe_load(WORKFLOW.read_text())["jobs"].values() for step in job["steps"]]
    said = "\n".join(step.get("run", "") for step in steps)
    assert "./run.sh setup --gitops --binaries " in said
    assert "run.sh binaries pack --gitops" in said
    script = (ROOT / "run.sh").read_text()
    assert "| binaries) set --" in script
    assert "  binaries pack " in script
