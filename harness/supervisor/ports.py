"""Who holds which TCP port: asked before the first start, and again before load is sent."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable, Iterator

import psutil

from harness.supervisor.component import Component, Port
from harness.supervisor.errors import PortTaken
from harness.supervisor.plan import same_port
from harness.supervisor.procfs import family, snapshot

_handed_out: set[tuple[str, int]] = set()
_lock = threading.Lock()


def free_port(host: str = "127.0.0.1") -> int:
    """A port of this host that nobody holds now, never the same one twice from this process.

    It is not held for the caller: use it soon, and expect PortTaken.
    """
    while True:
        with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            number = int(probe.getsockname()[1])
        with _lock:
            if (host, number) not in _handed_out:
                _handed_out.add((host, number))
                return number


def is_free(host: str, number: int) -> bool:
    """Whether a server could listen here now."""
    return _refusal(host, number) is None


def holder(host: str, number: int) -> str | None:
    """Who listens on this port, as ``pid 12 (name)``; None if nobody does.

    A listener on every interface counts for any host. Without the right to look, the answer is ``a process of another user``.
    """
    pids = _listeners(host, number)
    return _named(pids[0]) if pids else None


def foreign_holder(pid: int, host: str, number: int) -> str | None:
    """Who listens on this port and is not part of the session, group or descendants of ``pid``; None if nobody is."""
    pids = _listeners(host, number)
    if not pids:
        return None
    ours = {entry.pid for entry in family(pid, snapshot())}
    return next((_named(pid) for pid in pids if pid not in ours), None)


def owned_by(pid: int, host: str, number: int) -> bool:
    """Whether this port is listened on, and only by ``pid``, its session, its process group or its descendants."""
    pids = _listeners(host, number)
    return bool(pids) and {entry.pid for entry in family(pid, snapshot())}.issuperset(pids)


def check_ports(components: Iterable[Component]) -> None:
    """Raise PortTaken, naming every port of these components that somebody holds already."""
    lines = tuple(line for component in components for port in component.ports for line in _taken(component, port))
    if lines:
        raise PortTaken(lines)


def _taken(component: Component, port: Port) -> Iterator[str]:
    what = f"port {port} ({port.name} of {component.name})"
    if error := _refusal(port.host, port.number):
        by = holder(port.host, port.number)
        if by is not None:
            yield f"{what} is taken by {by}: stop that process, or choose another port"
        else:
            yield f"{what} cannot be used: {os.strerror(error.errno or 0)}; choose another port or address"


def _refusal(host: str, number: int) -> OSError | None:
    """Why a server could not listen here."""
    try:
        with socket.socket(_family(host), socket.SOCK_STREAM) as attempt:
            # As servers do: connections of an earlier run that the kernel still remembers are no obstacle.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind((host, number))
    except OSError as error:
        return error
    return None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _listeners(host: str, number: int) -> list[int | None]:
    wanted = Port(name="", host=host, number=number)
    return [
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port == number
        and same_port(wanted, Port(name="", host=connection.laddr.ip, number=number))
    ]


def _named(pid: int | None) -> str:
    if pid is None:
        return "a process of another user"
    try:
        return f"pid {pid} ({psutil.Process(pid).name()})"
    except psutil.Error:
        return f"pid {pid}"
