"""Runs the checks of probes and hooks, and notices when a port opens."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Hashable

from harness.platforms.local.node.spec import HttpGet, TcpSocket

USER_AGENT = "kube-probe/gateproof-node-agent"
# Seconds between two looks at ports that are not open yet: short while a process is expected to listen, longer when it is late.
LOOK_EVERY = 0.02
LOOK_LATER = 0.25
LATE_AFTER = 10.0


def http_get(check: HttpGet, address: str, timeout: float) -> tuple[bool, str]:
    """Whether the answer's status is 200 to 399 within `timeout` seconds, and why not. A redirect counts as good, unfollowed."""
    host = check.host or address
    url = f"{check.scheme.lower()}://{host}:{check.port}{check.path}"
    headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"} | dict(check.headers)
    deadline = time.monotonic() + timeout
    if check.scheme.upper() == "HTTPS":
        # As kubelet: a probe asks whether the app answers, not who it is.
        context = ssl._create_unverified_context()  # noqa: S323
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, check.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(host, check.port, timeout=timeout)
    try:
        connection.request("GET", check.path, headers=headers)
        status = connection.getresponse().status
    except TimeoutError:
        return False, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    except (OSError, http.client.HTTPException) as error:
        return False, f'Get "{url}": {_why(error, host, check.port)}'
    finally:
        connection.close()
    if time.monotonic() > deadline:
        return False, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    return (True, "") if 200 <= status < 400 else (False, f"HTTP probe failed with statuscode: {status}")


def tcp_socket(check: TcpSocket, address: str, timeout: float) -> tuple[bool, str]:
    """Whether the port accepts a connection within `timeout` seconds, and why not."""
    host = check.host or address
    try:
        socket.create_connection((host, check.port), timeout).close()
    except TimeoutError:
        return False, f"dial tcp {host}:{check.port}: i/o timeout"
    except OSError as error:
        return False, _why(error, host, check.port)
    return True, ""


def _why(error: Exception, host: str, port: int) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {host}:{port}: connect: connection refused"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError):
        return "EOF"
    return str(error) or type(error).__name__


class PortWatch:
    """One thread that looks whether ports have opened; it sleeps while there are none to look at."""

    def __init__(self) -> None:
        self._wanted: dict[Hashable, tuple[str, int, float, Callable[[], None]]] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="port-watch", daemon=True).start()

    def add(self, key: Hashable, host: str, port: int, opened: Callable[[], None]) -> None:
        """Call `opened` once, as soon as the port accepts connections."""
        with self._changed:
            self._wanted[key] = (host, port, time.monotonic(), opened)
            self._changed.notify()

    def drop(self, matches: Callable[[Hashable], bool]) -> None:
        """Forget the keys that match."""
        with self._changed:
            for key in [k for k in self._wanted if matches(k)]:
                del self._wanted[key]

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._wanted))
                wanted = list(self._wanted.items())
            for key, (host, port, _, opened) in wanted:
                if _is_open(host, port):
                    with self._changed:
                        self._wanted.pop(key, None)
                    opened()
            newest = max(since for _, (_, _, since, _) in wanted)
            time.sleep(LOOK_EVERY if time.monotonic() - newest < LATE_AFTER else LOOK_LATER)


def _is_open(host: str, port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), 0.2).close()
        return True
    return False
