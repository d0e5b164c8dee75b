"""Files that a user names, read so that none of them can hang the harness or fill its memory.

A pipe that nobody writes into would do the one, a device without an end the other.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from harness.errors import UsageError

MIB = 2**20
MOST_BYTES = 64 * MIB
"""Far more than manifests, values or an hour of recorded samples have."""
SILENCE_SECONDS = 30.0
"""How long whoever writes into a pipe may say nothing: `<(helm template …)` takes a second or two."""
STANDARD_INPUT = "-"
_CHUNK = MIB


def read_bytes(path: Path, *, told: str, most: int = MOST_BYTES) -> bytes:
    """The content of a file, or of a pipe up to its end.

    `told` is what the error begins with, such as the option and the path. Raises UsageError in one line: it is not there, cannot
    be read, is a folder, has more than `most` bytes, or is a pipe that nobody writes into.
    """
    try:
        # Without O_NONBLOCK it is the opening of a pipe that would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{told}: {reason(error)}") from None
    except ValueError:
        raise UsageError(f"{told}: no file can have this name") from None
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise UsageError(f"{told}: it is a folder, where a file is wanted")
        return _all(descriptor, told=told, most=most)
    except OSError as error:
        raise UsageError(f"{told}: it cannot be read ({error.strerror})") from None
    finally:
        os.close(descriptor)


def read_text(path: Path, *, told: str, most: int = MOST_BYTES) -> str:
    """The same as text; `-` is standard input. Raises UsageError, also for what is not UTF-8."""
    from_stream = str(path) == STANDARD_INPUT
    return decoded(standard_input(told=told, most=most) if from_stream else read_bytes(path, told=told, most=most), told=told)


def decoded(data: bytes, *, told: str) -> str:
    """Bytes as text. Raises UsageError."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{told}: it is not text in UTF-8 (byte {error.start})") from None


def standard_input(*, told: str, most: int = MOST_BYTES) -> bytes:
    """Standard input up to its end; it may take its time, as a person at a terminal does. Raises UsageError."""
    found = sys.stdin.buffer.read(most + 1)
    if len(found) > most:
        raise UsageError(_too_much(told, most))
    return found


def reason(error: OSError) -> str:
    """Why a file cannot be opened, for people."""
    if error.errno == errno.ENOENT:
        return "there is no such file"
    return f"it cannot be opened ({error.strerror})"


def _all(descriptor: int, *, told: str, most: int) -> bytes:
    found = bytearray()
    until = time.monotonic() + SILENCE_SECONDS
    while len(found) <= most:
        try:
            part = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            part = None
        if part:
            found += part
            until = time.monotonic() + SILENCE_SECONDS
            continue
        # A pipe that has no writer yet reads as one that has ended; only polling tells them apart.
        if part is not None and (found or not stat.S_ISFIFO(os.fstat(descriptor).st_mode)):
            return bytes(found)
        waiter = select.poll()
        waiter.register(descriptor, select.POLLIN | select.POLLHUP)
        events = waiter.poll(max(0.0, until - time.monotonic()) * 1000)
        if not events:
            raise UsageError(f"{told}: nobody has written into this pipe for {SILENCE_SECONDS:g} s")
        if part is not None and not events[0][1] & select.POLLIN:
            return bytes(found)
    raise UsageError(_too_much(told, most))


def _too_much(told: str, most: int) -> str:
    size = f"{most // MIB} MiB" if most >= MIB else f"{most // 1024} KiB"
    return f"{told}: it has more than {size}, which is more than can be meant"


def refuse_unwritable(path: Path, *, option: str, folder: bool = False, parents: bool = True) -> None:
    """Raise UsageError where a file (or a `folder`) could not be written, as far as that can be told without making it.

    `parents`: whether whoever writes it makes the folders that are missing above it.
    """
    try:
        place = _nearest(path, option=option, folder=folder, parents=parents)
        if not folder and path.is_dir():
            raise UsageError(f"{option} {path}: it is a folder, where a file is wanted")
        if not os.access(place, os.W_OK | os.X_OK):
            why = errno.EROFS if os.statvfs(place).f_flag & os.ST_RDONLY else errno.EACCES
            raise UsageError(f"{option} {path}: nothing can be made in {place} ({os.strerror(why)}): choose another place")
    except OSError as error:
        raise UsageError(f"{option} {path}: it cannot be used ({error.strerror}): choose another place") from None


def refuse_no_folder(path: Path, *, option: str) -> None:
    """Raise UsageError for what is no folder, and could not become one."""
    try:
        _nearest(path, option=option, folder=True, parents=True)
    except OSError as error:
        raise UsageError(f"{option} {path}: it cannot be used ({error.strerror}): choose another folder") from None


def _nearest(path: Path, *, option: str, folder: bool, parents: bool) -> Path:
    """The folder that is there, and in which the path, or what is missing above it, would be made. Raises UsageError, OSError."""
    place = path.absolute() if folder else path.absolute().parent
    while parents and not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"{option} {path}: {place} is no folder: choose another place")
    with contextlib.suppress(FileNotFoundError):
        path.stat()  # a link that leads to itself says so
    return place


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to be written in the block, which then becomes `path` in one step, or is removed. The folder is made.

    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
        try:
            yield temporary.file
            temporary.close()
            Path(temporary.name).rename(path)
        except BaseException:
            Path(temporary.name).unlink(missing_ok=True)
            raise


def write_atomically(path: Path, content: bytes) -> None:
    """Make or replace a file so that nobody ever reads half of it. Raises OSError."""
    with replacing(path) as file:
        file.write(content)


def is_file(path: Path) -> bool:
    """Whether it is a regular file that can be looked at."""
    try:
        return path.is_file()
    except OSError:
        return False
