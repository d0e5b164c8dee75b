"""Ready programs out of a file: the same bytes from the same programs, and each way in which a file may be wrong is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import PlatformError, UsageError
from harness.platforms.local import pack as packing
from harness.platforms.local import ready
from harness.platforms.local.ready import MANIFEST, Part, Ready, install, named

KEY = "0123456789abcdef"
CONTENT = {"kubectl": b"\x7fELF kubectl", "path/wrapper.sh": b"#!/bin/sh\n", "manifests/crds.yaml": b"kind: List\n"}
Change = Callable[[dict[str, bytes]], None]


def part(root: Path, *, key: str = KEY, name: str = "platform") -> Part:
    folder = root / "toolchain" / key
    return Part(name=name, key=key, folder=folder, programs=("kubectl", "path/wrapper.sh"), files=("manifests/crds.yaml",))


def filled(root: Path) -> Part:
    made = part(root)
    for name, content in CONTENT.items():
        place = made.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(made.mode(name))
    return made


def quiet(line: str) -> None:
    """Say nothing."""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    target = tmp_path / "ready.tar.xz"
    packing.pack((filled(tmp_path / "made"),), target, quiet, preset=0)
    return target


def refusal(archive: Path, tmp_path: Path, *, sha256: str | None = None, wanted: Part | None = None) -> str:
    """The one line, and nothing was left behind."""
    its = wanted or part(tmp_path / "new")
    with pytest.raises(UsageError) as caught:
        install(Ready(source=str(archive), sha256=sha256), its, quiet)
    assert not its.folder.exists()
    assert not list(its.folder.parent.glob(".*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_packed_is_what_is_unpacked(archive: Path, tmp_path: Path) -> None:
    its = part(tmp_path / "new")
    install(Ready(source=str(archive)), its, quiet)
    assert its.missing() == []
    assert {name: (its.folder / name).read_bytes() for name in CONTENT} == CONTENT
    assert [oct((its.folder / name).stat().st_mode & 0o777) for name in CONTENT] == ["0o755", "0o755", "0o644"]
    assert sorted(each.name for each in its.folder.parent.iterdir()) == [KEY]


def test_files_that_a_build_had_made_are_replaced(archive: Path, tmp_path: Path) -> None:
    its = part(tmp_path / "new")
    its.folder.mkdir(parents=True)
    (its.folder / "kubectl").write_bytes(b"half")
    install(Ready(source=str(archive)), its, quiet)
    assert (its.folder / "kubectl").read_bytes() == CONTENT["kubectl"]


def test_the_same_programs_give_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    again = filled(tmp_path / "elsewhere")
    for name in CONTENT:
        os.utime(again.folder / name, (1, 1))
    (again.folder / "kubectl").chmod(0o700)
    other = tmp_path / "other.tar.xz"
    packing.pack((again,), other, quiet, preset=0)
    assert other.read_bytes() == archive.read_bytes()


def test_large_programs_are_packed_in_several_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "STREAM_BYTES", 1000)
    its = filled(tmp_path / "made")
    (its.folder / "kubectl").write_bytes(os.urandom(12_345))
    target = tmp_path / "ready.tar.xz"
    packing.pack((its,), target, quiet, preset=0)
    new = part(tmp_path / "new")
    install(Ready(source=str(target)), new, quiet)
    assert (new.folder / "kubectl").read_bytes() == (its.folder / "kubectl").read_bytes()
    with tarfile.open(target) as tar:  # an ordinary archive, for whoever wants a folder for GATEPROOF_BIN_DIR
        assert {member.name for member in tar} == {MANIFEST, *CONTENT}


def test_the_checksum_is_the_one_beside_it_or_the_one_given(archive: Path, tmp_path: Path) -> None:
    beside = archive.with_name(f"{archive.name}.sha256")
    assert beside.read_text() == f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n"
    beside.write_text("0" * 64)
    assert "SHA-256" in refusal(archive, tmp_path)
    install(Ready(source=str(archive), sha256=hashlib.sha256(archive.read_bytes()).hexdigest()), part(tmp_path / "new"), quiet)
    beside.write_text("<html>")
    assert "does not begin with" in refusal(archive, tmp_path / "a")
    beside.unlink()
    assert "no checksum" in refusal(archive, tmp_path / "b")
    assert "not 1111" in refusal(archive, tmp_path / "c", sha256="1" * 64)


def test_what_it_was_made_for_must_be_this(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "other pins" in refusal(archive, tmp_path, wanted=part(tmp_path / "new", key="f" * 16))
    assert "'argocd' are not in it" in refusal(archive, tmp_path, wanted=part(tmp_path / "new", name="argocd"))
    monkeypatch.setattr(ready, "SYSTEM", "linux-s390x")
    assert "this machine is linux-s390x" in refusal(archive, tmp_path)


def test_a_file_that_is_not_there_or_no_archive(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.tar.xz", tmp_path)
    assert "no such file" in refusal(tmp_path, tmp_path)
    assert "cannot be read" in refusal(tmp_path / ("x" * 300), tmp_path)
    for content in (b"", b"PK\x03\x04 something else", b"\xfd7zXZ\x00" + b"\0" * 40):
        (tmp_path / "wrong").write_bytes(content)
        assert "no archive" in refusal(tmp_path / "wrong", tmp_path, sha256=hashlib.sha256(content).hexdigest())


def test_half_a_file_is_refused_even_with_its_own_checksum(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    assert "SHA-256" in refusal(archive, tmp_path)
    assert "no archive" in refusal(archive, tmp_path, sha256=hashlib.sha256(archive.read_bytes()).hexdigest())


def forged(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], manifest: object = None) -> tuple[Path, str]:
    """An archive of one's own making, with its right checksum: what is to be refused is in it."""
    files = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    right = {"schema": 1, "system": ready.SYSTEM, "parts": {"platform": {"key": KEY, "files": files}}}
    target = tmp_path / "forged.tar.xz"
    with tarfile.open(target, "w:xz") as tar:
        for info, content in [regular(MANIFEST, json.dumps(right if manifest is None else manifest).encode()), *members]:
            tar.addfile(info, io.BytesIO(content))
    return target, hashlib.sha256(target.read_bytes()).hexdigest()


def regular(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def special(kind: bytes, name: str = "kubectl") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info, b""


RIGHT = [regular(name, content) for name, content in CONTENT.items()]


def test_the_forger_can_make_a_right_one(tmp_path: Path) -> None:
    target, checksum = forged(tmp_path, RIGHT)
    install(Ready(source=str(target), sha256=checksum), part(tmp_path / "new"), quiet)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([*RIGHT, regular("../../evil", b"x")], "leads elsewhere"),
        ([*RIGHT, regular("/tmp/evil", b"x")], "leads elsewhere"),
        ([*RIGHT, regular("manifests/../kubectl", b"x")], "leads elsewhere"),
        ([*RIGHT, regular("evil", b"x")], "does not name"),
        ([*RIGHT, RIGHT[0]], "twice"),
        ([special(tarfile.SYMTYPE), *RIGHT[1:]], "link"),
        ([special(tarfile.LNKTYPE), *RIGHT[1:]], "link"),
        ([special(tarfile.CHRTYPE), *RIGHT[1:]], "device"),
        ([special(tarfile.FIFOTYPE), *RIGHT[1:]], "device"),
        ([special(tarfile.DIRTYPE, "manifests"), *RIGHT], "folder"),
        (RIGHT[1:], "incomplete: kubectl"),
        ([], "incomplete"),
        ([regular("kubectl", b"another"), *RIGHT[1:]], "its manifest says"),
    ],
)
def test_what_does_not_belong_into_an_archive(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], told: str) -> None:
    target, checksum = forged(tmp_path, members)
    assert told in refusal(target, tmp_path, sha256=checksum)


def test_a_program_of_impossible_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "PROGRAM_BYTES", 12)
    target, checksum = forged(tmp_path, RIGHT)
    assert "no program is so large" in refusal(target, tmp_path, sha256=checksum)


def deep() -> object:
    return {"schema": 1, "system": ready.SYSTEM, "parts": {"platform": {"key": KEY, "files": {"kubectl": "0" * 64}}}}


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        ([], "not readable"),
        ({}, "its layout is None"),
        ({"schema": 2}, "its layout is 2"),
        ({"schema": 1, "system": "linux-vax"}, "made for 'linux-vax'"),
        ({"schema": 1, "system": ready.SYSTEM, "parts": []}, "not in it"),
        ({"schema": 1, "system": ready.SYSTEM, "parts": {"platform": {"key": 1, "files": {}}}}, "not in it"),
        ({"schema": 1, "system": ready.SYSTEM, "parts": {"platform": {"key": KEY, "files": {"kubectl": 1}}}}, "not in it"),
        (deep(), "just what it should"),
    ],
)
def test_a_manifest_that_says_something_else(tmp_path: Path, manifest: object, told: str) -> None:
    target, checksum = forged(tmp_path, RIGHT, manifest)
    assert told in refusal(target, tmp_path, sha256=checksum)


def test_an_archive_without_a_manifest(tmp_path: Path) -> None:
    target = tmp_path / "plain.tar.xz"
    with tarfile.open(target, "w:xz") as tar:
        tar.addfile(RIGHT[0][0], io.BytesIO(RIGHT[0][1]))
    assert "does not begin with" in refusal(target, tmp_path, sha256=hashlib.sha256(target.read_bytes()).hexdigest())


def test_who_names_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in (ready.FILE_VARIABLE, ready.SHA256_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    assert named() is None
    monkeypatch.setenv(ready.FILE_VARIABLE, "")
    assert named() is None
    monkeypatch.setenv(ready.FILE_VARIABLE, "some.tar.xz")
    assert named() == Ready(source="some.tar.xz")
    monkeypatch.setenv(ready.SHA256_VARIABLE, "AB" * 32)
    assert named() == Ready(source="some.tar.xz", sha256="ab" * 32)
    (other := tmp_path / "other").touch()
    assert named(str(other)) == Ready(source=str(other), option="--binaries")  # whose checksum the variable does not tell
    with pytest.raises(UsageError, match="no such file"):
        named(str(tmp_path / "absent"))


@pytest.mark.parametrize("pair", [("some", "12"), ("some", "g" * 64), ("some", ""), (None, "0" * 64), ("", None)])
def test_options_that_cannot_be_meant(pair: tuple[str | None, str | None]) -> None:
    with pytest.raises(UsageError, match=r"--binaries|--sha256"):
        named(*pair)


def test_programs_that_are_not_there_are_not_packed(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="lacks kubectl"):
        packing.pack((part(tmp_path),), tmp_path / "x.tar.xz", quiet)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--output"):
        packing.pack((filled(tmp_path),), tmp_path / "none" / "x.tar.xz", quiet, preset=0)


def test_the_names_say_what_is_in_them(tmp_path: Path) -> None:
    two = (part(tmp_path), part(tmp_path, key="argocd-1"))
    assert packing.archive_name(two) == f"gateproof-binaries-{ready.SYSTEM}-{KEY}-argocd-1.tar.xz"
