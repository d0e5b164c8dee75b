"""A load client in one thread with nothing but sockets, several times faster than the servers it measures.

    python benchmarks/http_client.py '{"port": 8080, "path": "/", "connections": 16, "seconds": 5, "rate": 0, "core": 1}'

Rate 0 is a closed loop: each connection asks again as soon as it is answered. Otherwise requests start at that many a second,
and are timed from when they were due, so that a slow server cannot hide behind a client that waits for it. It prints one JSON
object: requests answered, how many of them not with a 2xx, seconds it took, and latencies in milliseconds.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to send: `seconds` of GETs of `path`, `rate` a second, from the CPU `core`."""

    port: int
    path: str
    connections: int
    seconds: float
    rate: float
    core: int


class Connection:
    """One kept connection; `due` is when its request in flight was due, or 0.0 when there is none."""

    def __init__(self, load: Load) -> None:
        self.socket = socket.create_connection(("127.0.0.1", load.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = f"GET {load.path} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\n\r\n".encode()
        self._seen = b""
        self.due = 0.0

    def ask(self, due: float) -> None:
        """Send a request that was due at `due`."""
        self.due, self._seen = due, b""
        self.socket.sendall(self._request)

    def answered(self) -> int:
        """Read what is there; the status once the answer is complete, else 0."""
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError("the server closed a connection that was to be kept")
        self._seen += part
        head, end, body = self._seen.partition(b"\r\n\r\n")
        if not end:
            return 0
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0)
        return int(head[9:12]) if len(body) >= length else 0


def run(load: Load) -> dict[str, float]:
    selector = selectors.DefaultSelector()
    idle = [Connection(load) for _ in range(load.connections)]
    for each in idle:
        selector.register(each.socket, selectors.EVENT_READ, each)
    latencies: list[float] = []
    failures = 0
    started = now = time.perf_counter()
    scheduled = started
    step = 1 / load.rate if load.rate else 0.0
    while now < started + load.seconds or len(idle) < load.connections:
        running = now < started + load.seconds
        while running and idle and scheduled <= now:
            idle.pop().ask(scheduled if step else now)
            scheduled += step
        wait = max(0.0, scheduled - now) if step and running and idle else 1.0
        for key, _ in selector.select(wait):
            connection = key.data
            if status := connection.answered():
                now = time.perf_counter()
                latencies.append(now - connection.due)
                failures += not 200 <= status < 300
                idle.append(connection)
        now = time.perf_counter()
    latencies.sort()
    at = {f"p{q:g}": latencies[min(len(latencies) - 1, int(len(latencies) * q / 100))] * 1000 for q in (50, 95, 99)}
    return {"requests": len(latencies), "failures": failures, "seconds": now - started, **at}


if __name__ == "__main__":
    wanted = Load(**json.loads(sys.argv[1]))
    os.sched_setaffinity(0, {wanted.core})
    print(json.dumps(run(wanted)))
