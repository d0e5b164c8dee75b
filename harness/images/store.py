"""The node's side: images by digest, each unpacked once.

Layout of the store: `configs/DIGEST.json`, and `rootfs/KEY/`, where KEY stands for the list of layers. Images that
differ only in their configuration, such as two variants of one web app, therefore share one unpacked tree.
"""

from __future__ import annotations

import compileall
import contextlib
import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from py_compile import PycInvalidationMode
from typing import IO

from harness.errors import PlatformError
from harness.files import write_atomically
from harness.images.crane import Crane, split_reference
from harness.images.spec import INTERPRETER_LABEL, ImageConfig, node_interpreter, parse_config

# Byte code is compiled when an image is unpacked, not by its first pod: the tree is then as good as read-only, and every pod
# starts equally fast. Unpacked trees never change, so the interpreter need not compare times either.
_COMPILED_FOLDER = "app"
_TEMPORARY_PREFIX = ".unpacking-"


@dataclass(frozen=True, kw_only=True)
class UnpackedImage:
    """An image on this machine: `root` holds its file system, which other images may share, so it must not be written to."""

    digest: str
    root: Path
    config: ImageConfig


class ImageStore:
    """Resolves references through `crane`, and unpacks into the folder `store`; several processes may share one."""

    def __init__(self, crane: Path, store: Path) -> None:
        self._crane = Crane(crane)
        self._store = store

    def resolve(self, ref: str) -> str:
        """The reference by digest, REPOSITORY@sha256:…; one that has its digest and is already here needs no registry.

        Raises InvalidImageName, ImageNotFound (with the registry's words) or RegistryUnavailable.
        """
        repository, _, digest = split_reference(ref)
        if digest and self._config_path(digest).is_file():
            return f"{repository}@{digest}"
        return f"{repository}@{self._crane.digest(ref)}"

    def unpack(self, ref: str) -> UnpackedImage:
        """The image, pulled and unpacked unless it is here already.

        Raises what `resolve` raises, and PlatformError for an image that cannot be unpacked.
        """
        by_digest = self.resolve(ref)
        digest = split_reference(by_digest)[2]
        path = self._config_path(digest)
        document = path.read_bytes() if path.is_file() else self._crane.config(by_digest)
        config = parse_config(document)
        _require_interpreter(config, ref)
        root = self._root_path(document)
        if not root.is_dir():
            self._pull(by_digest, root)
        folder = root / config.working_dir.lstrip("/")
        _require_inside(folder, root.resolve(), config.working_dir)
        folder.mkdir(parents=True, exist_ok=True)
        if not path.is_file():  # last, because it says that all the rest is there
            write_atomically(path, document)
        return UnpackedImage(digest=digest, root=root, config=config)

    def _config_path(self, digest: str) -> Path:
        return self._store / "configs" / f"{digest.replace(':', '-')}.json"

    def _root_path(self, document: bytes) -> Path:
        layers = json.loads(document).get("rootfs", {}).get("diff_ids", [])
        return self._store / "rootfs" / hashlib.sha256("\n".join(layers).encode()).hexdigest()

    def _pull(self, reference: str, root: Path) -> None:
        root.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(root.parent)
        temporary = Path(tempfile.mkdtemp(dir=root.parent, prefix=_TEMPORARY_PREFIX))
        try:
            with self._crane.export(reference) as stream:
                extract(stream, temporary)
            _compile(temporary, root)
            temporary.chmod(0o755)
            with contextlib.suppress(OSError):
                temporary.rename(root)  # fails if another process was first; its tree is the same
            if not root.is_dir():
                raise PlatformError(f"image {reference} could not be moved to {root}: check the folder's rights and space")
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def extract(stream: IO[bytes], root: Path) -> None:
    """Unpack tar data below `root`, and nowhere else: a path that leads out of it raises PlatformError.

    Absolute links mean the image's own root and are made relative to it. Devices and other special files are skipped.
    """
    real_root = root.resolve()
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = PurePosixPath(member.name.lstrip("/"))
                target = real_root / name
                if name != PurePosixPath("."):
                    _extract_member(archive, member, target, real_root)
    except tarfile.TarError as error:
        raise PlatformError(f"the image's file system is damaged: {error}: push the image again") from None


def _extract_member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, root: Path) -> None:
    _require_inside(target.parent, root, member.name)
    if ".." in target.relative_to(root).parts:
        raise PlatformError(f"the image holds a path that leads out of it: {member.name!r}")
    if member.isdir():
        if not target.is_dir():
            target.mkdir(parents=True)
        _require_inside(target, root, member.name)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.is_file():
        target.unlink()
    if member.isreg():
        content = archive.extractfile(member)
        with target.open("xb") as file:
            shutil.copyfileobj(content or io.BytesIO(), file)
        target.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)
    elif member.issym():
        link = PurePosixPath(member.linkname)
        destination = root / str(link).lstrip("/") if link.is_absolute() else target.parent / link
        _require_inside(destination, root, member.name)
        target.symlink_to(os.path.relpath(destination, target.parent))
    elif member.islnk():
        source = root / member.linkname.lstrip("/")
        _require_inside(source, root, member.name)
        target.hardlink_to(source.resolve())


def _require_inside(path: Path, root: Path, name: str) -> None:
    """Follow the links of what exists so far: the true place must be below the root."""
    if not path.resolve().is_relative_to(root):
        raise PlatformError(f"the image holds a path that leads out of it: {name!r}")


def _require_interpreter(config: ImageConfig, ref: str) -> None:
    """An image made for a node's own Python says for which; compiled extensions fit no other version."""
    wanted = config.labels.get(INTERPRETER_LABEL, node_interpreter())
    if wanted != node_interpreter():
        raise PlatformError(
            f"image {ref} is made for {wanted}, this node runs {node_interpreter()}: build the image again from here"
        )


def _compile(temporary: Path, root: Path) -> None:
    compileall.compile_dir(
        temporary / _COMPILED_FOLDER,
        quiet=2,
        stripdir=str(temporary),
        prependdir=str(root),  # so that tracebacks name the place where the file will be
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )


def _remove_abandoned(folder: Path) -> None:
    """Remove what killed processes left half unpacked; an hour is far longer than any of them takes."""
    for path in folder.glob(f"{_TEMPORARY_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > 3600:
                shutil.rmtree(path, ignore_errors=True)
