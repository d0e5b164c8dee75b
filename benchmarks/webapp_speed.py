"""What the web app's instrumentation costs, and whether requests that sleep keep others waiting.

    python benchmarks/webapp_speed.py [--rounds 7] [--seconds 2] [--otlp] [--peer podinfo] [--only cost|sleepers|peers]

Cost: the app and the same routes in plain Flask under the same gunicorn settings, in turns (A B B A ...) in one run. Servers have
one core, the client another. Printed are the median of the rounds' ratios and the ratio of the CPU time that a request takes,
whose inverse is the ratio of requests/s on a core that nobody else uses: where the rounds differ by more than 0.15, other work
was in the way, and that inverse is what is held against the limit.

Sleepers: latency of `/` while 300 requests sleep for a second each, against the same 300 requests/s without sleep.

A peer is built with the pinned Go when it is asked for. Figures of one run compare with each other; those of different
machines do not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.platforms.local import golang
from harness.supervisor.ports import free_port

ROOT = Path(__file__).parents[1]
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[-1]
ROUTES = ("/", "/headers", "/status/200")
LIMIT = 0.15
SLEEPERS = 300
# The newest commit that the module proxy had when this was written; upstream's own tags are none that Go knows.
PEERS = {"podinfo": "github.com/stefanprodan/podinfo/cmd/podinfo@v1.8.1-0.20250910200901-e86405a8674e"}


class Server:
    """A server on a core of its own."""

    def __init__(self, argv: list[str], port: int, **environ: str) -> None:
        self.port = port
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks'}", **environ}
        self._process = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.sched_setaffinity(self._process.pid, {SERVER_CORE})
        deadline = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"this does not serve: {' '.join(argv)}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _all(self) -> list[psutil.Process]:
        process = psutil.Process(self._process.pid)
        return [process, *process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """What it has used so far, all its processes together."""
        return sum(times.user + times.system for times in (each.cpu_times() for each in self._all()))

    def memory_mib(self) -> float:
        """Resident memory; what its processes share is counted once for each."""
        return sum(each.memory_info().rss for each in self._all()) / 2**20

    def stop(self) -> None:
        """Ask, then kill."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()


@contextmanager
def gunicorn(app: str, *arguments: str, **environ: str) -> Iterator[Server]:
    port = free_port()
    argv = [sys.executable, "-m", "gunicorn", "-c", "webapp/gunicorn.conf.py", *arguments, app]
    server = Server(argv, port, BIND_ADDRESS="127.0.0.1", PORT=str(port), **environ)
    try:
        yield server
    finally:
        server.stop()


def start_client(port: int, path: str, *, connections: int = 16, seconds: float, rate: float = 0.0) -> subprocess.Popen[str]:
    load = {"port": port, "path": path, "connections": connections, "seconds": seconds, "rate": rate, "core": CLIENT_CORE}
    argv = [sys.executable, str(ROOT / "benchmarks/http_client.py"), json.dumps(load)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def result(client: subprocess.Popen[str]) -> dict[str, float]:
    output, _ = client.communicate(timeout=120)
    if client.returncode:
        raise SystemExit("the load client failed: see its message above")
    measured: dict[str, float] = json.loads(output)
    if measured["failures"]:
        raise SystemExit(f"{measured['failures']:g} requests failed: no figure of theirs is worth anything")
    return measured


class Sample:
    """One round of load on one server: requests a second, and CPU microseconds of the server for each."""

    def __init__(self, server: Server, path: str, seconds: float) -> None:
        before = server.cpu_seconds()
        measured = result(start_client(server.port, path, seconds=seconds))
        self.rate = measured["requests"] / measured["seconds"]
        self.cpu = (server.cpu_seconds() - before) / measured["requests"] * 1e6


def cost(rounds: int, seconds: float, *, otlp: bool) -> bool:
    """Print the table; whether every route without an exporter stays within the limit."""
    print(f"{'route':<14}{'plain Flask':>14}{'web app':>12}{'ratio':>8}{'(each round)':>16}{'CPU us':>14}{'CPU ratio':>11}")
    kinds = [("", {})]
    if otlp:
        kinds.append((" + OTLP", {"OTEL_EXPORTER_OTLP_ENDPOINT": "sink"}))
    fine = True
    for label, environ in kinds:
        with ExitStack() as stack:
            if environ:
                environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = stack.enter_context(sink())
            plain = stack.enter_context(gunicorn("plain_flask:create_app()"))
            app = stack.enter_context(gunicorn("webapp.app:create_app()", **environ))
            for route in ROUTES if not label else ROUTES[:1]:
                ratio = compare(route, label, (plain, app), rounds, seconds)
                fine &= bool(label) or ratio >= 1 - LIMIT
    print(f"limit: {LIMIT:.0%} fewer requests/s than plain Flask (without an exporter): {'kept' if fine else 'BROKEN'}")
    return fine


def compare(route: str, label: str, servers: tuple[Server, Server], rounds: int, seconds: float) -> float:
    for server in servers:
        Sample(server, route, 1.0)
    pairs = []
    for number in range(rounds):
        turn = servers if number % 2 == 0 else servers[::-1]
        taken = [Sample(server, route, seconds) for server in turn]
        pairs.append(tuple(taken) if number % 2 == 0 else tuple(taken[::-1]))
    ratios = [app.rate / plain.rate for plain, app in pairs]
    rates = [statistics.median(each.rate for each in side) for side in zip(*pairs, strict=True)]
    cpus = [statistics.median(each.cpu for each in side) for side in zip(*pairs, strict=True)]
    cpu = statistics.median(app.cpu / plain.cpu for plain, app in pairs)
    spread = f"({min(ratios):.2f}-{max(ratios):.2f})"
    ratio = statistics.median(ratios)
    print(
        f"{route + label:<14}{rates[0]:>10.0f} /s{rates[1]:>9.0f} /s{ratio:>8.3f}{spread:>16}"
        f"{f'{cpus[0]:.0f} -> {cpus[1]:.0f}':>14}{cpu:>11.3f}",
        flush=True,
    )
    return ratio if max(ratios) - min(ratios) <= 0.15 else 1 / cpu


@contextmanager
def sink() -> Iterator[str]:
    """An OTLP receiver that accepts everything and reads nothing, as a process on the client's core."""
    port = free_port()
    program = (
        "import http.server as h, sys\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        "    protocol_version = 'HTTP/1.1'\n"
        "    def do_POST(self):\n"
        "        self.rfile.read(int(self.headers['Content-Length'])); self.send_response(200)\n"
        "        self.send_header('Content-Length', '0'); self.end_headers()\n"
        "    def log_message(self, *a): pass\n"
        "h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(port)])
    os.sched_setaffinity(process.pid, {CLIENT_CORE})
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def sleepers(rounds: int, seconds: float) -> None:
    print(f"\nlatency of / at 50 requests/s, ms (median of {rounds} rounds of {seconds:g} s)      p50      p99      memory")
    for label, arguments in (("", ()), (" on 64 threads", ("--threads=64",))):
        rounds = 1 if arguments else rounds  # each of them takes half a minute
        with gunicorn("webapp.app:create_app()", *arguments) as server:
            result(start_client(server.port, "/", seconds=1.0))
            found: dict[str, float] = {}
            for name, path in ((f"{SLEEPERS}/s that do not sleep", "/delay/0"), (f"{SLEEPERS} sleepers of 1 s", "/delay/1")):
                found[name] = under(server, path, name + label, rounds, seconds)
            still, slow = found.values()
            print(f"{'  p99 among sleepers / p99 without sleep' + label:<70}{slow / still:>9.2f}", flush=True)


def under(server: Server, path: str, name: str, rounds: int, seconds: float) -> float:
    """Latencies of `/` while 300 requests/s come to `path`; the p99 in milliseconds."""
    seen = []
    for _ in range(rounds):
        others = start_client(server.port, path, connections=2 * SLEEPERS, seconds=seconds + 3, rate=SLEEPERS)
        time.sleep(2.5)  # until as many are in flight as there will be
        # More connections than can be needed: a request that waits for one of them would hide how late it is.
        seen.append(result(start_client(server.port, "/", connections=32, seconds=seconds, rate=50)))
        memory = server.memory_mib()
        result(others)
    middle = {key: statistics.median(each[key] for each in seen) for key in ("p50", "p99")}
    print(f"{'  ' + name:<70}{middle['p50']:>9.1f}{middle['p99']:>9.1f}{memory:>8.0f} MiB", flush=True)
    return middle["p99"]


def peers(wanted: list[str], seconds: float) -> None:
    print("\npeers, route /, same two cores")
    for name, package in PEERS.items():
        program = shutil.which(name)
        with tempfile.TemporaryDirectory() as folder:
            if program is None and name in wanted:
                print(f"  building {name} with the pinned Go (minutes) ...", flush=True)
                env = os.environ | {"GOTOOLCHAIN": "local", "GOBIN": folder, "CGO_ENABLED": "0"}
                subprocess.run([golang.go_program(), "install", package], env=env, check=True, timeout=1800)
                program = f"{folder}/{name}"
            if program is None:
                print(f"  {name} is not here: --peer {name} builds it")
                continue
            port = free_port()
            server = Server([program, f"--port={port}", "--level=error"], port, GOMAXPROCS="1")
            try:
                Sample(server, "/", 1.0)
                sample = Sample(server, "/", seconds)
                print(f"  {name:<12}{sample.rate:>9.0f} /s{sample.cpu:>9.0f} us of CPU a request{server.memory_mib():>8.0f} MiB")
            finally:
                server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load in each round")
    parser.add_argument("--otlp", action="store_true", help="also with an exporter and a receiver that takes everything")
    parser.add_argument("--peer", action="append", default=[], choices=PEERS, help="build this one if it is not installed")
    parser.add_argument("--only", choices=("cost", "sleepers", "peers"))
    args = parser.parse_args()
    fine = args.only not in (None, "cost") or cost(args.rounds, args.seconds, otlp=args.otlp)
    if args.only in (None, "sleepers"):
        sleepers(3, max(3.0, args.seconds))
    if args.only in (None, "peers"):
        peers(args.peer, args.seconds)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
