"""python -m harness.platforms.local.rollout_metrics: serves the metrics on loopback, until SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.registry import Collector

from harness.errors import HarnessError
from harness.platforms.local.rollout_metrics.families import families
from harness.watch import Watcher

KINDS = ("rollouts", "analysisruns")


class RolloutCollector(Collector):
    """What the API server's objects say whenever somebody asks."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def collect(self) -> Iterable[Metric]:
        """The families at this moment."""
        return families(*(self._watcher.latest(kind) for kind in KINDS))

    def describe(self) -> Iterable[Metric]:
        """Their names alone."""
        return families((), ())


def main() -> int:
    """Exit code 0 after SIGTERM; an API server that does not answer is one line and its exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.platforms.local.rollout_metrics", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="how to reach the API server")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="the port to listen on")
    options = parser.parse_args()
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    watcher = Watcher(kubeconfig=options.kubeconfig, namespace=None, kinds=KINDS, keep_history=False)
    try:
        watcher.start()
    except HarnessError as error:
        print(f"rollout metrics: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    registry = CollectorRegistry()
    registry.register(RolloutCollector(watcher))
    start_http_server(options.port, addr=options.host, registry=registry)
    print("rollout metrics ready", flush=True)
    done.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
