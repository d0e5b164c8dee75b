"""Reproducible layers: the same files give the same bytes, on any day, for any user, from any folder.

Layers are not compressed: the OCI specification allows it, on a loopback registry it is the fastest, and no version of zlib
can change a digest. A layer's digest is then its diff id, too.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.errors import PlatformError
from harness.files import replacing

# What the web app imports or may import; everything else is in their closure.
WEBAPP_REQUIREMENTS = ("flask", "gunicorn", "opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk", "prometheus-client")
APP_DIR = PurePosixPath("app")
SITE_PACKAGES = APP_DIR / "site-packages"
# Bumped when the same distributions would give other bytes than before.
_FORMAT = "2"
# Written by the installer about this machine: paths, who asked for it, and hashes of scripts that hold the interpreter's path.
_INSTALLER_FILES = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"})


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One uncompressed layer on disk; `digest` is that of the file, in the form sha256:…, and `size` is in bytes."""

    path: Path
    digest: str
    size: int


def closure(roots: Iterable[str]) -> list[importlib.metadata.Distribution]:
    """The installed distributions that `roots` need here, roots included, by name; raises PlatformError if one is missing."""
    return [distribution for distribution, _ in needs(roots).values()]


def needs(roots: Iterable[str]) -> dict[str, tuple[importlib.metadata.Distribution, list[str]]]:
    """The closure of `roots` by canonical name, each with the names that it needs itself. Raises what `closure` raises."""
    found: dict[str, importlib.metadata.Distribution] = {}
    links: dict[str, set[str]] = {}
    queue = [Requirement(root) for root in roots]
    seen: set[tuple[str, str]] = set()
    while queue:
        wanted = queue.pop()
        name = canonicalize_name(wanted.name)
        try:
            distribution = found.setdefault(name, importlib.metadata.distribution(name))
        except importlib.metadata.PackageNotFoundError:
            raise PlatformError(
                f"the web app needs the Python distribution {name}, which is not installed: install the project again"
            ) from None
        for extra in {"", *wanted.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            environment: dict[str, str | frozenset[str]] = {**dict[str, Any](default_environment()), "extra": extra}
            for line in distribution.requires or ():
                requirement = Requirement(line)
                if requirement.marker is None or requirement.marker.evaluate(environment):
                    links.setdefault(name, set()).add(canonicalize_name(requirement.name))
                    queue.append(requirement)
    return {name: (found[name], sorted(links.get(name, ()))) for name in sorted(found)}


def dependencies_layer(cache: Path, *, epoch: int = 0) -> Layer:
    """The layer with the web app's dependencies, made once for each set of installed versions and kept in `cache`.

    The set is recognised by the hashes that the distributions' own RECORD files hold, so finding it again takes milliseconds.
    """
    distributions = closure(WEBAPP_REQUIREMENTS)
    key = hashlib.sha256(f"{_FORMAT} {epoch} {sysconfig.get_platform()} {sys.implementation.cache_tag}".encode())
    for distribution in distributions:
        key.update(f"\n{distribution.metadata['Name']} {distribution.version}\n{distribution.read_text('RECORD')}".encode())
    cached = cache / "layers" / f"dependencies-{key.hexdigest()[:32]}.tar"
    if cached.is_file():
        return _layer(cached)
    return write_layer(cached, _distribution_files(distributions), epoch=epoch)


def webapp_layer(cache: Path, source: Path, *, epoch: int = 0) -> Layer:
    """The layer with the web app's own source, the `*.py` files of the folder `source`."""
    files = webapp_files(source)
    key = hashlib.sha256(repr((_FORMAT, epoch, sorted(files.items()))).encode()).hexdigest()[:32]
    cached = cache / "layers" / f"webapp-{key}.tar"
    return _layer(cached) if cached.is_file() else write_layer(cached, files.items(), epoch=epoch)


def webapp_files(source: Path) -> dict[str, bytes]:
    """The `*.py` files of the folder `source`, by their path in the image; raises PlatformError if there are none."""
    files = {str(APP_DIR / "webapp" / path.relative_to(source)): path.read_bytes() for path in sorted(source.rglob("*.py"))}
    if not files:
        raise PlatformError(f"no web app in {source}: the folder holds no Python file")
    return files


def write_layer(path: Path, files: Iterable[tuple[str, bytes]], *, epoch: int = 0) -> Layer:
    """Write `files` (path inside the image, content) as a layer, by an atomic rename; `epoch` is each file's time in seconds."""
    contents = dict(files)
    folders = {str(parent) for name in contents for parent in PurePosixPath(name).parents if str(parent) != "."}
    with replacing(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(folders | contents.keys()):
            member = tarfile.TarInfo(name)
            member.mtime = epoch
            if name in contents:
                member.size, member.mode = len(contents[name]), 0o644
                archive.addfile(member, io.BytesIO(contents[name]))
            else:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
    return _layer(path)


def _layer(path: Path) -> Layer:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    os.utime(path)  # so that whoever cleans the cache by age spares what is in use
    return Layer(path=path, digest=f"sha256:{digest}", size=path.stat().st_size)


def _distribution_files(distributions: Iterable[importlib.metadata.Distribution]) -> Iterator[tuple[str, bytes]]:
    for distribution in distributions:
        for file in distribution.files or ():
            name = PurePosixPath(file.as_posix())
            # Scripts lie outside ("../../bin"), start with this machine's interpreter, and are not needed: `python3 -m` is.
            if {"..", "tests"} & set(name.parts) or name.suffix == ".pyc":
                continue
            if name.name in _INSTALLER_FILES and len(name.parts) == 2:
                continue
            yield str(SITE_PACKAGES / name), Path(str(distribution.locate_file(file))).read_bytes()
