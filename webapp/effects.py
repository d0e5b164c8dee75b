"""What faults really do to connections, memory and the process. What gets which fault is decided in faults.py."""

from __future__ import annotations

import errno
import logging
import mmap
import os
import selectors
import socket
import struct
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NoReturn

from flask import Response

from webapp.logs import LOGGER

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CRASH_EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
SOCKET_KEY = "gunicorn.socket"
_SEGMENT = 1024 * 1024
# Shared with the parent process that forked this one: how it learns why its worker is gone.
_exit_code = mmap.mmap(-1, 1)


class Unanswered(Response):
    """Returned where a response is due when there shall be none: the server is told that the connection has gone."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> NoReturn:  # noqa: ARG002
        """Raise what the server takes for a client that hung up."""
        raise ConnectionResetError(errno.ECONNRESET, "an injected fault leaves this request unanswered")


def crash(why: str) -> NoReturn:
    """End this process at once, and so the container; its server passes the exit code on."""
    _exit_code[0] = CRASH_EXIT_CODE
    LOGGER.error("crash", extra={"fault": "crash", "why": why, "exit_code": CRASH_EXIT_CODE})
    logging.shutdown()
    os._exit(CRASH_EXIT_CODE)


def crash_exit_code() -> int:
    """The exit code for a process whose worker has ended unasked: that of a crash, or 1 when nothing was injected."""
    return _exit_code[0] or 1


def take_over(connection: socket.socket) -> socket.socket:
    """Take a connection away from the server that owns `connection`.

    The server shuts a socket down before it closes it, so a duplicate alone would not outlive it. Therefore its file
    descriptor is pointed at a socket of no use, which it may shut down and close as it likes.
    """
    taken = socket.socket(fileno=os.dup(connection.fileno()))
    one, other = socket.socketpair()
    with one, other:
        os.dup2(one.fileno(), connection.fileno(), inheritable=False)
    return taken


def reset(environ: WSGIEnvironment) -> None:
    """Reset the connection of a request: its client gets a TCP RST and no answer."""
    connection = environ.get(SOCKET_KEY)
    if connection is not None:
        with take_over(connection) as taken:
            # Zero seconds of lingering: close() then sends RST and no FIN (socket(7)).
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class HungConnections:
    """Connections that are held open and never answered; no request thread waits for them.

    One thread watches them all, discards what still arrives and closes those whose client has gone. Of more than `limit`
    the oldest is closed.
    """

    def __init__(self, limit: int = 512) -> None:
        self._limit = limit
        self._held: OrderedDict[int, socket.socket] = OrderedDict()
        self._selector: selectors.BaseSelector | None = None
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many are held now."""
        return len(self._held)

    def hold(self, environ: WSGIEnvironment) -> None:
        """Hold the connection of a request from now on."""
        connection = environ.get(SOCKET_KEY)
        if connection is None:
            return
        taken = take_over(connection)
        taken.setblocking(False)
        with self._lock:
            if self._selector is None:  # not before: a thread would not survive the server's fork
                self._selector = selectors.DefaultSelector()
                threading.Thread(target=self._watch, args=(self._selector,), name="hung-connections", daemon=True).start()
            while len(self._held) >= self._limit:
                self._release(next(iter(self._held.values())))
            self._held[taken.fileno()] = taken
            self._selector.register(taken, selectors.EVENT_READ)

    def _release(self, taken: socket.socket) -> None:
        assert self._selector is not None  # noqa: S101  whatever is held was registered there
        self._selector.unregister(taken)
        del self._held[taken.fileno()]
        taken.close()

    def _watch(self, selector: selectors.BaseSelector) -> None:
        while True:
            for key, _ in selector.select(timeout=1):
                with self._lock:
                    taken = self._held.get(key.fd)
                    if taken is key.fileobj and _has_gone(taken):
                        self._release(taken)


def _has_gone(connection: socket.socket) -> bool:
    try:
        return not connection.recv(65536)
    except BlockingIOError:
        return False
    except OSError:
        return True


class Ballast:
    """Memory that grows in steps up to a cap and is really resident: each of its pages has been written to.

    Once released it stays empty, also if a request that began before that still wants to grow it.
    """

    def __init__(self, cap_mib: int) -> None:
        self._cap = cap_mib * 1024 * 1024
        self._segments: list[mmap.mmap] = []
        self._size = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """The bytes that are held now."""
        return self._size

    def grow(self, kib: int) -> bool:
        """Add `kib` KiB, or less where the cap or the machine's memory ends; says whether it grew."""
        with self._lock:
            size = self._size
            wanted = min(self._cap, size + kib * 1024)
            try:
                while self._size < wanted:
                    used = self._size % _SEGMENT
                    if used == 0:
                        self._segments.append(_segment())
                    step = min(_SEGMENT - used, wanted - self._size)
                    self._segments[-1][used : used + step] = b"\x01" * step
                    self._size += step
            except OSError as error:
                LOGGER.warning("memory", extra={"fault": "memory", "why": str(error), "bytes": self._size})
            return self._size > size

    def release(self) -> None:
        """Give all of it back to the system."""
        with self._lock:
            for segment in self._segments:
                segment.close()
            self._segments.clear()
            self._size = self._cap = 0


def _segment() -> mmap.mmap:
    # Private and not the default shared: that is the memory of a process, and not a file in its memory.
    segment = mmap.mmap(-1, _SEGMENT, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    segment.madvise(mmap.MADV_NOHUGEPAGE)  # with huge pages it would grow in leaps
    return segment
