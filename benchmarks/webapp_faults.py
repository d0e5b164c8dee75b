"""Injected against observed faults of the web app, under a real gunicorn on this machine.

Rates: each is counted by the client and by the app's own metrics, which must agree, and the count must lie inside the
99.9 % binomial interval of the configured rate. Latencies: open loop at 200 requests/s, each timed from when it was due;
P50, P95 and P99 must lie within 5 ms of the configured ones, to which the app's own time comes on top: it is measured
first, without faults, and when that alone takes longer than 5 ms the machine is too busy for a verdict.

    python benchmarks/webapp_faults.py [--requests 20000] [--seconds 30] [--seed 1]

Exits 1 when anything lies outside, and 3 when nothing does but the latencies could not be judged.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from scipy.stats import binom

ROOT = Path(__file__).resolve().parents[1]
RATES = (0.0, 0.5, 1.0, 5.0, 50.0, 100.0)
CONFIDENCE = 0.999
CONNECTIONS = 16
REQUESTS_PER_SECOND = 200
TOLERANCE_MS = 5.0
DEADLINE_SECONDS = 30.0
REQUEST = b"GET / HTTP/1.1\r\nHost: benchmark\r\n\r\n"
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, kw_only=True)
class Server:
    """A web app that serves on a loopback port."""

    port: int

    def counted(self, metric: str, **labels: str) -> int:
        """The sum of a metric's samples that have these labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=DEADLINE_SECONDS) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        samples = (sample for family in families for sample in family.samples)
        return int(sum(s.value for s in samples if s.name == metric and labels.items() <= s.labels.items()))


@contextmanager
def serving(**faults: str) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-c", "webapp/gunicorn.conf.py", "webapp.app:create_app()"]
    environ = {"PATH": os.environ["PATH"], "BIND_ADDRESS": "127.0.0.1", "PORT": str(port), "LOG_LEVEL": "error", **faults}
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + DEADLINE_SECONDS
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS).close()
                    break
                except ConnectionRefusedError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        log.seek(0)
                        sys.exit(f"the web app does not start: {log.read().decode()}")
                    time.sleep(0.05)
            yield Server(port=port)
        finally:
            process.terminate()


@dataclass
class Client:
    """Connections that are kept; each is used by one request at a time."""

    port: int
    seen: Counter[str] = field(default_factory=Counter)
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def get(self) -> None:
        """Send one request, and count its status, or `reset` when its connection is."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        except ConnectionResetError:
            self.seen["reset"] += 1
            writer.close()
            return
        self.seen[head[9:12].decode()] += 1
        self._idle.append((reader, writer))

    def close(self) -> None:
        """Close what is open."""
        for _, writer in self._idle:
            writer.close()


async def closed_loop(port: int, requests: int) -> Counter[str]:
    """So many requests, one after another on each of a few connections; how many had which outcome."""
    client, left = Client(port), iter(range(requests))

    async def user() -> None:
        for _ in left:
            await client.get()

    await asyncio.gather(*(user() for _ in range(CONNECTIONS)))
    client.close()
    return client.seen


async def open_loop(port: int, seconds: float) -> list[float]:
    """Requests at a steady rate, whatever the answers do; how long after it was due each was answered, in ms, sorted."""
    client, took = Client(port), list[float]()
    start = time.perf_counter() + 0.1

    async def one(due: float) -> None:
        await client.get()
        took.append((time.perf_counter() - due) * 1000)

    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * REQUESTS_PER_SECOND)):
            due = start + number / REQUESTS_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due))
    client.close()
    if set(client.seen) != {"200"}:
        sys.exit(f"answers other than 200: {dict(client.seen)}")
    return sorted(took)


def check_rate(kind: str, percent: float, requests: int, seed: int) -> bool:
    with serving(**{f"FAULT_{kind.upper()}_RATE": str(percent), "FAULT_SEED": str(seed)}) as server:
        started = time.perf_counter()
        seen = asyncio.run(closed_loop(server.port, requests))
        seconds = time.perf_counter() - started
        injected = server.counted("webapp_faults_injected_total", kind=kind)
        answered = server.counted("http_server_request_duration_seconds_count", http_route="/")
        failed = server.counted("http_server_request_duration_seconds_count", http_response_status_code="500")
    observed = seen["500" if kind == "error" else "reset"]
    low, high = (int(bound) for bound in binom.interval(CONFIDENCE, requests, percent / 100)) if 0 < percent < 100 else (
        (round(requests * percent / 100),) * 2
    )
    # A reset is no answer, so it is in the count of faults only.
    agree = injected == observed and (failed, answered) == ((observed, requests) if kind == "error" else (0, requests - observed))
    good = low <= observed <= high and agree and sum(seen.values()) == requests
    print(
        f"{kind:6} {percent:7g} % {observed:8} {injected:8} {low:8} … {high:<8} {observed / requests:8.3%}"
        f" {requests / seconds:8.0f}/s  {'ok' if good else 'OUTSIDE'}",
        flush=True,
    )
    return good


def check_latency(name: str, expected: Callable[[float], float], seconds: float, **faults: str) -> bool:
    with serving(**faults) as server:
        took = asyncio.run(open_loop(server.port, seconds))
    observed = [took[int(u * len(took))] for u in QUANTILES]
    wanted = [expected(u) for u in QUANTILES]
    good = all(abs(o - w) <= TOLERANCE_MS for o, w in zip(observed, wanted, strict=True))
    columns = "  ".join(f"{w:7.1f} {o:7.1f} {o - w:+6.1f}" for o, w in zip(observed, wanted, strict=True))
    print(f"{name:22} {columns}  {'ok' if good else 'OUTSIDE'}", flush=True)
    return good


def by_quantiles(u: float) -> float:
    """P50=40, P90=80, P99=120 ms and what lies between them on straight lines."""
    return 80 + 40 * (u - 0.9) / 0.09 if u > 0.9 else 40 + 40 * (u - 0.5) / 0.4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000, help="for each rate; 0 leaves the rates out")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each kind of latency; 0 leaves them out")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rates = check_rates(options.requests, options.seed) if options.requests else True
    latencies = check_latencies(options.seconds, options.seed) if options.seconds else True
    if rates and latencies is None:
        return 3
    return 0 if rates and latencies else 1


def check_rates(requests: int, seed: int) -> bool:
    print(f"{requests} requests for each rate; {CONFIDENCE:.1%} interval; seed {seed}")
    print("fault    injected   client      app      interval           observed  throughput")
    good = [check_rate("error", percent, requests, seed) for percent in RATES]
    return all([*good, check_rate("reset", 5.0, requests, seed)])


def check_latencies(seconds: float, number: int) -> bool | None:
    """Whether the delays are those configured, or None when this machine cannot tell."""
    print(f"\n{REQUESTS_PER_SECOND} requests/s for {seconds:g} s each; milliseconds: configured, observed, difference")
    print(f"{'latency':22} {'P50':>22}  {'P95':>22}  {'P99':>22}")
    if not check_latency("none (the app itself)", lambda _u: 0.0, min(10.0, seconds)):
        print("inconclusive: this machine is too busy for delays to be judged to 5 ms; run it again when it is idle")
        return None
    seed = {"FAULT_SEED": str(number)}
    quantiles = {"FAULT_LATENCY_P50_MS": "40", "FAULT_LATENCY_P90_MS": "80", "FAULT_LATENCY_P99_MS": "120"}
    jitter = {"FAULT_LATENCY_MS": "100", "FAULT_LATENCY_JITTER_MS": "50"}
    good = [
        check_latency("fixed 100", lambda _u: 100.0, seconds, FAULT_LATENCY_MS="100"),
        check_latency("100 ± 50", lambda u: 50 + 100 * u, seconds, **jitter, **seed),
        check_latency("P50 40 P90 80 P99 120", by_quantiles, seconds, **quantiles, **seed),
    ]
    return all(good)


if __name__ == "__main__":
    sys.exit(main())
