"""Writing an archive of ready programs: the same bytes from the same programs, whoever packs them and when."""

from __future__ import annotations

import io
import json
import lzma
import os
import tarfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import PlatformError
from harness.platforms.local.golang import Say, go_version
from harness.platforms.local.paths import unusable
from harness.platforms.local.ready import BLOCK, MANIFEST, SCHEMA, SYSTEM, Part, sha256_of
from harness.platforms.local.versions import versions

STREAM_BYTES = 48 * BLOCK
"""Each stretch of the archive is a stream of its own, as the format allows, so that every processor takes part."""
PRESET = 2
"""Of xz. Of kube-apiserver, 6 leaves 17 % in 17 s of a processor for 32 MiB, 2 leaves 19 % in 6 s, 0 leaves 21 % in 2 s."""


def archive_name(parts: Iterable[Part]) -> str:
    """Such as gateproof-binaries-linux-x86_64-0123456789abcdef.tar.xz."""
    return f"gateproof-binaries-{SYSTEM}-{'-'.join(part.key for part in parts)}.tar.xz"


def pack(parts: tuple[Part, ...], target: Path, say: Say, *, preset: int = PRESET) -> str:
    """Write the archive and, beside it, its checksum in the form of sha256sum; the checksum.

    Raises PlatformError for programs that are not there yet or a full disk, UsageError for a place that cannot be written.
    """
    for part in parts:
        if lost := part.missing():
            raise PlatformError(f"{part.folder} lacks {', '.join(lost)}: run ./run.sh setup first (for Argo CD, with --gitops)")
    files = {name: part.folder / name for part in parts for name in sorted(part.names)}
    size = sum(path.stat().st_size for path in files.values())
    say(f"packing {len(files)} files, {size // BLOCK} MiB: a few minutes")
    unfinished = target.with_name(f".{target.name}.part")
    beside = target.with_name(f"{target.name}.sha256")
    try:
        with unfinished.open("wb") as file:
            for stream in _compressed(_tar(parts), preset):
                file.write(stream)
        checksum = sha256_of(unfinished)
        beside.write_text(f"{checksum}  {target.name}\n")
        unfinished.replace(target)
    except OSError as error:
        raise unusable(target.parent, error, option="--output") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return checksum


def _tar(parts: tuple[Part, ...]) -> Iterator[bytes]:
    """The archive before compression: the manifest, then each part's files by name, without times and owners."""
    manifest = json.dumps(_manifest(parts), indent=1, sort_keys=True).encode() + b"\n"
    yield from _member(MANIFEST, len(manifest), 0o644, [manifest])
    for part in parts:
        for name in sorted(part.names):
            path = part.folder / name
            with path.open("rb") as file:
                yield from _member(name, path.stat().st_size, part.mode(name), iter(partial(file.read, BLOCK), b""))
    yield b"\0" * tarfile.RECORDSIZE


def _member(name: str, size: int, mode: int, blocks: Iterable[bytes]) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    yield info.tobuf(tarfile.USTAR_FORMAT)
    yield from blocks
    yield b"\0" * (-size % tarfile.BLOCKSIZE)


def _manifest(parts: tuple[Part, ...]) -> dict[str, Any]:
    return {
        "schema": SCHEMA, "system": SYSTEM, "go": go_version(), "versions": versions(gitops=len(parts) > 1),
        "parts": {
            part.name: {"key": part.key, "files": {name: sha256_of(part.folder / name) for name in part.names}}
            for part in parts
        },
    }  # fmt: skip


def _compressed(blocks: Iterable[bytes], preset: int) -> Iterator[bytes]:
    """The same bytes, as xz; as many streams at a time as there are processors, in order."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[bytes]] = deque()
        for stretch in _stretches(blocks):
            waiting.append(pool.submit(lzma.compress, stretch, preset=preset))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        for each in waiting:
            yield each.result()


def _stretches(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """All blocks, cut anew into equal stretches, whatever the blocks' own size."""
    buffer = io.BytesIO()
    for block in blocks:
        left = memoryview(block)
        while len(left) >= (room := STREAM_BYTES - buffer.tell()):
            yield buffer.getvalue() + left[:room].tobytes()
            left, buffer = left[room:], io.BytesIO()
        buffer.write(left)
    if buffer.tell():
        yield buffer.getvalue()
