"""Ready programs out of one file, so that nothing is compiled: an archive that `harness binaries pack` wrote.

The file is named by GATEPROOF_BIN_FILE (or `setup --binaries`), a path or an address. It is looked at after the folder named by
GATEPROOF_BIN_DIR and after the cache, and in place of a build. Nothing of it is used before its checksum, what it was made for,
and every file in it have been found right; then the files go into the cache entry in whose place they were packed.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import platform
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from harness.errors import UsageError
from harness.platforms.local.download import TEXT_BYTES, allowed, download, fetched_text, is_address
from harness.platforms.local.golang import Say, one_builder
from harness.platforms.local.paths import unusable

FILE_VARIABLE, SHA256_VARIABLE = "GATEPROOF_BIN_FILE", "GATEPROOF_BIN_SHA256"
MANIFEST = "gateproof-binaries.json"
SCHEMA = 1
MANIFEST_BYTES = 1024**2
PROGRAM_BYTES = 1024**3
"""More than any program has; what unpacks to more is refused."""
BLOCK = 1024**2
SYSTEM = f"linux-{platform.machine()}"
_HEX = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One entry of the cache, as it stands in an archive: its name there, its key, its folder, and all that belongs into it."""

    name: str
    key: str
    folder: Path
    programs: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of it."""
        return (*self.programs, *self.files)

    def mode(self, name: str) -> int:
        """The rights of a file of the entry."""
        return 0o755 if name in self.programs else 0o644

    def missing(self) -> list[str]:
        """What should be there and is not."""
        programs = [name for name in self.programs if not os.access(self.folder / name, os.X_OK)]
        return programs + [name for name in self.files if not (self.folder / name).is_file()]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A file of ready programs that the user named: a path or an address, its checksum where it was given, and who named it."""

    source: str
    sha256: str | None = None
    option: str = FILE_VARIABLE


def named(source: str | None = None, sha256: str | None = None) -> Ready | None:
    """The file that the options name, or else the environment. Raises UsageError for a checksum that is none, or of no file."""
    option, sha_option = "--binaries", "--sha256"
    if source is None and sha256 is None:
        option, sha_option = FILE_VARIABLE, SHA256_VARIABLE
        # A blank variable is none.
        source, sha256 = os.environ.get(FILE_VARIABLE) or None, os.environ.get(SHA256_VARIABLE) or None
    if sha256 is not None and not _HEX.fullmatch(sha256):
        raise UsageError(f"{sha_option}: a SHA-256 checksum has 64 hexadecimal digits, and this is {sha256[:80]!r}")
    if sha256 is not None and source is None:
        raise UsageError(f"{sha_option} without {option}: name the file that the checksum belongs to")
    if source == "":
        raise UsageError(f"{option}: name a file or an address")
    if source is None:
        return None
    ready = Ready(source=source, sha256=sha256.lower() if sha256 else None, option=option)
    if is_address(source):
        allowed(source, option=option)
    elif option != FILE_VARIABLE:  # a variable stays set for long after the file has done its work, and may have gone
        _path(ready)
    return ready


def check(ready: Ready) -> None:
    """Raise UsageError for a file on this machine that is not there, or has no checksum, before anything is made for it."""
    if not is_address(ready.source):
        _checked(ready)


def provide(part: Part, file: Ready | None, say: Say, build: Callable[[], None]) -> None:
    """Fill the cache entry, unless another process does just that: out of the file where one was named, else by building.

    Raises as `check`, `install` and `build` do.
    """
    if file:
        check(file)
    with one_builder(part.folder, say):
        if not part.missing():
            return
        if file:
            install(file, part, say)
        else:
            build()


def install(ready: Ready, part: Part, say: Say) -> None:
    """Put one part of the file into its cache entry, whole or not at all; the caller holds the entry's lock.

    Raises UsageError in one line for a file that is not there, has no checksum or another one, was made for something else, or
    holds anything but what it should, and PlatformError where it cannot be fetched or written.
    """
    say(f"taking the programs from {ready.source}: nothing is compiled")
    try:
        part.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=part.folder.parent, prefix=f".{part.key}.") as folder:
            room = Path(folder)
            archive, wanted = _fetch(ready, room, say)
            if (found := sha256_of(archive)) != wanted:
                raise _wrong(ready, f"its SHA-256 is {found}, not {wanted}: it is damaged or another file; get it again")
            _unpack(ready, archive, part, room / "unpacked")
            _settle(room / "unpacked", part)
    except OSError as error:
        raise unusable(part.folder.parent, error, option="GATEPROOF_CACHE_DIR") from None


def sha256_of(path: Path) -> str:
    """The checksum of a file, in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(ready: Ready, room: Path, say: Say) -> tuple[Path, str]:
    if is_address(ready.source):
        wanted = ready.sha256 or _checksum(ready, fetched_text(f"{ready.source}.sha256", option=ready.option))
        archive = room / "archive"
        say(f"downloading {ready.source}")
        download(ready.source, archive, option=ready.option)
        return archive, wanted
    return _checked(ready)


def _checked(ready: Ready) -> tuple[Path, str]:
    """A file on this machine, and the checksum that it must have."""
    path = _path(ready)
    try:
        if ready.sha256:
            return path, ready.sha256
        beside = path.with_name(f"{path.name}.sha256")
        if not beside.is_file():
            raise _wrong(
                ready, f"it has no checksum: put {beside.name} beside it, or give its SHA-256 by --sha256 or {SHA256_VARIABLE}"
            )
        return path, _checksum(ready, beside.read_bytes()[:TEXT_BYTES].decode("utf-8", "replace"))
    except OSError as error:
        raise _wrong(ready, f"its checksum cannot be read ({error.strerror})") from None


def _path(ready: Ready) -> Path:
    """The file, which is there and can be read."""
    try:
        path = Path(ready.source).expanduser().absolute()
        if not path.is_file():
            raise _wrong(ready, "there is no such file")
        path.open("rb").close()
    except (OSError, RuntimeError) as error:  # the second for the home folder of somebody who has none
        raise _wrong(ready, f"it cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return path


def _checksum(ready: Ready, text: str) -> str:
    """The first word of what sha256sum writes."""
    first = text.split(maxsplit=1)[:1]
    if not first or not _HEX.fullmatch(first[0]):
        raise _wrong(ready, "the .sha256 file beside it does not begin with a SHA-256 checksum")
    return first[0].lower()


def _wrong(ready: Ready, what: str) -> UsageError:
    return UsageError(f"{ready.option}={ready.source}: {what}")


def _unpack(ready: Ready, archive: Path, part: Part, target: Path) -> None:
    """Write the part's files into a new folder, each with the checksum that the manifest names."""
    with _opened(ready, archive) as tar:
        files, others = _promised(ready, _manifest(ready, tar), part)
        done: set[str] = set()
        for member in tar:  # the manifest once more, as the first
            name = _safe(ready, member)
            if name in done or name not in files.keys() | others:
                why = "is there twice" if name in done else "its manifest does not name"
                raise _wrong(ready, f"it holds {name[:200]!r}, which {why}")
            done.add(name)
            if name in others:
                continue
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            told = _write(tar, member, place)
            if told != files[name]:
                raise _wrong(ready, f"{name} in it has the SHA-256 {told}, and its manifest says {files[name]}")
            place.chmod(part.mode(name))
        if lost := sorted(files.keys() - done):
            raise _wrong(ready, f"it is incomplete: {', '.join(lost)} is missing")


@contextmanager
def _opened(ready: Ready, archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        # As a stream: each byte is looked at once, in order. (tarfile's own xz ends with the first of several streams.)
        with lzma.open(archive) as file, tarfile.open(fileobj=file, mode="r|") as tar:
            yield tar
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise _wrong(ready, f"it is no archive of ready programs ({error})") from None


def _manifest(ready: Ready, tar: tarfile.TarFile) -> Mapping[str, Any]:
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > MANIFEST_BYTES:
        raise _wrong(ready, f"it does not begin with {MANIFEST}: it is no archive of ready programs")
    file = tar.extractfile(first)
    try:
        read = json.loads(file.read() if file else b"")
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise _wrong(ready, f"{MANIFEST} in it is not readable")
    return read


def _promised(ready: Ready, manifest: Mapping[str, Any], part: Part) -> tuple[dict[str, str], set[str]]:
    """The checksum of each file of the part, and what else may be there, of an archive for this checkout and this machine."""
    if manifest.get("schema") != SCHEMA:
        raise _wrong(ready, f"its layout is {manifest.get('schema')!r}, and this version reads {SCHEMA}")
    if manifest.get("system") != SYSTEM:
        raise _wrong(ready, f"it was made for {manifest.get('system')!r}, and this machine is {SYSTEM}")
    read = manifest.get("parts")
    parts = {name: each for name, each in read.items() if _is_part(each)} if isinstance(read, dict) else {}
    if part.name not in parts:
        raise _wrong(ready, f"the programs of {part.name!r} are not in it: get a file that was packed with them, or build")
    its, wanted = parts.pop(part.name), set(part.names)
    if its["key"] != part.key:
        raise _wrong(
            ready,
            f"it was made for other pins ({its['key'][:80]!r}, and this checkout has {part.key!r}): get this version's, or build",
        )
    if differing := sorted(its["files"].keys() ^ wanted):
        raise _wrong(ready, f"it does not hold just what it should: {', '.join(differing)[:200]}")
    return its["files"], {MANIFEST, *(name for each in parts.values() for name in each["files"])}


def _is_part(read: object) -> bool:
    if not (isinstance(read, dict) and isinstance(read.get("key"), str) and isinstance(read.get("files"), dict)):
        return False
    return all(isinstance(text, str) for text in (read["key"], *read["files"].values()))


def _safe(ready: Ready, member: tarfile.TarInfo) -> str:
    """The member's name. Raises UsageError for whatever is not a file within the folder, also where nobody would unpack it."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or str(path) != member.name:
        raise _wrong(ready, f"the path {member.name[:200]!r} in it leads elsewhere")
    if not member.isreg() or member.issparse():
        raise _wrong(ready, f"{member.name[:200]!r} in it is a link, a folder or a device, and only files belong there")
    if member.size > PROGRAM_BYTES:
        raise _wrong(ready, f"{member.name[:200]!r} in it has {member.size} bytes: no program is so large")
    return member.name


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> str:
    """Write a member's content; its checksum."""
    digest = hashlib.sha256()
    source: IO[bytes] | None = tar.extractfile(member)
    assert source is not None  # noqa: S101 -- it is a regular file
    with place.open("wb") as file:
        while block := source.read(BLOCK):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def _settle(unpacked: Path, part: Part) -> None:
    """Move the files, all of which are right by now, into the entry, where some may be that a build had made."""
    for name in part.names:
        target = part.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (unpacked / name).replace(target)
    shutil.rmtree(unpacked)
