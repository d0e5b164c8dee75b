"""python -m harness.platforms.local.node: the node agent as a process of its own."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import EXIT_OK, HarnessError, UsageError
from harness.platforms.local.node.addresses import Addresses
from harness.platforms.local.node.api import Api
from harness.platforms.local.node.effects import Effects
from harness.platforms.local.node.processes import Processes
from harness.platforms.local.node.puller import Puller
from harness.platforms.local.node.runner import Agent, machine
from harness.platforms.local.node.starting import Starter
from harness.platforms.local.node.writes import Writes


def log(line: str) -> None:
    """One line on stdout, with the time in UTC; in one write, because many threads log."""
    stamp = datetime.now(UTC).strftime("%H:%M:%S.%f")[:-3]
    text = " ".join(line.split())
    try:
        sys.stdout.write(f"{stamp} {text}\n")
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        pass  # nobody reads: no reason to take the pods down


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m harness.platforms.local.node", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="how to reach the API server")
    parser.add_argument("--node-name", required=True, help="name of the Node object that stands for this machine")
    parser.add_argument("--state-dir", type=Path, required=True, help="folder for logs, addresses and process records")
    parser.add_argument("--crane", type=Path, required=True, help="the crane program, which talks to registries")
    parser.add_argument("--image-store", type=Path, required=True, help="folder of unpacked images; several runs may share it")
    parser.add_argument("--address-range", default="127.77.0.0/16", help="loopback addresses for pods (default: %(default)s)")
    return parser.parse_args(argv)


def hold(folder: Path) -> int:
    """Take the folder for this agent alone, until the process ends. Raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "agent.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(f"--state-dir {folder}: cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UsageError(f"--state-dir {folder}: another node agent works there; stop it or choose another folder") from None
    return handle


def run(options: argparse.Namespace, tell_log: Callable[[str], None] = log) -> int:
    """Wire the parts together, and work until SIGTERM."""
    state: Path = options.state_dir.absolute()
    hold(state)
    api = Api(options.kubeconfig)
    addresses = Addresses(options.address_range, state / "last-address")
    cpu, memory = machine()
    agent = Agent(node=options.node_name, api=api, addresses=addresses, cpu=cpu, memory=memory, log=tell_log)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.halt())
    processes = Processes(state / "processes")
    try:
        for line in processes.sweep():
            tell_log(line)
        effects = Effects(
            writes=Writes(api, options.node_name, agent.tell, tell_log),
            processes=processes,
            starter=Starter(api, processes, state / "pods", cpu, memory),
            puller=Puller(options.crane, options.image_store, state / "tags.json"),
            addresses=addresses,
            tell=agent.tell,
            log=tell_log,
        )
        agent.run(effects)
    finally:
        processes.kill_all()
    tell_log("node agent stopped")
    return EXIT_OK


def main() -> None:
    """Exit code 0 after SIGTERM; a wrong option is one line and exit code 2."""
    options = arguments()
    try:
        code = run(options)
    except HarnessError as error:
        print(f"node agent: {error}", file=sys.stderr, flush=True)
        code = error.exit_code
    sys.stdout.flush()
    # Threads may still wait for an answer of an API server that is gone: nothing is left to do for them.
    os._exit(code)


if __name__ == "__main__":
    main()
