"""The process that owns a local platform: it starts the components, watches them, and takes them along when it ends.

`up` leaves it running; a single scenario's ends with that scenario, also when the harness is killed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from harness.disk import full
from harness.errors import HarnessError, PlatformError
from harness.platforms.local import binaries, gitops_programs, orders, seed, state
from harness.platforms.local.paths import RunPaths
from harness.platforms.local.plan import claimed_addresses, configure, prepare, validated
from harness.supervisor.errors import ComponentError, ComponentExited
from harness.supervisor.ports import check_ports
from harness.supervisor.spawn import set_parent_death_signal
from harness.supervisor.status import Event
from harness.supervisor.status import State as ComponentState
from harness.supervisor.supervisor import Supervisor

CHECK_EVERY_SECONDS = 0.2
STATE_EVERY_SECONDS = 5.0
STORES: Mapping[str, Callable[[RunPaths], Path]] = {"prometheus": lambda paths: paths.data / "prometheus"}
"""Where components that may be started again empty keep what they store."""


class Owner:
    """Keeps state.json true for as long as the platform lives."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._supervisor: Supervisor | None = None
        self._seeder: Supervisor | None = None
        self._stop = False
        self._state = state.State(phase="starting", pid=os.getpid(), started_at=time.time())

    def request_stop(self, *_: object) -> None:
        """Called by a signal: end what is under way, in order."""
        self._stop = True
        for each in (self._seeder, self._supervisor):
            if each:
                each.request_stop()

    def run(self, args: argparse.Namespace) -> int:
        """Start, watch, stop. Returns the process' exit code; the error's one line is in state.json."""
        self._write()
        try:
            with claimed_addresses() as addresses:
                self._start(args, addresses)
                self._watch()
                self._write(phase="stopping")
        except HarnessError as error:
            with contextlib.suppress(HarnessError):  # its disk may be full
                self._write(phase="stopped" if self._stop else "failed", error=str(error), exit_code=error.exit_code)
            return 0 if self._stop else error.exit_code
        except OSError as error:
            told = full(self._paths.root, option="--run-dir") or f"the platform in {self._paths.root} failed: {error}"
            failure = PlatformError(told)
            with contextlib.suppress(HarnessError, OSError):
                self._write(phase="failed", error=str(failure), exit_code=failure.exit_code)
            return failure.exit_code
        finally:
            if self._supervisor:
                self._supervisor.stop()
        self._write(phase="stopped", components=[])
        return 0

    def _start(self, args: argparse.Namespace, addresses: str) -> None:
        programs = binaries.find()
        if programs is None:
            raise PlatformError("the platform's programs are not built yet: run ./run.sh setup")
        gitops = gitops_programs.find() if args.gitops else None
        if args.gitops and gitops is None:
            raise PlatformError("Argo CD is not built yet: run ./run.sh setup --gitops")
        planted = seed.find(programs) or self._seed(programs)
        config = configure(
            self._paths, programs, gateway_port=args.gateway_port, registry_port=args.registry_port, claimed=addresses,
            seeded=planted, gitops=gitops,
        )  # fmt: skip
        plan = validated(config)
        check_ports(plan.components)  # before the last run's logs are cleared
        prepare(config)
        self._state = replace(self._state, ports=vars(config.ports), address_range=addresses, gitops=args.gitops)
        self._supervisor = Supervisor(plan, self._paths.logs, self._on_event)
        if self._stop:
            raise PlatformError("stopped while starting")
        try:
            self._supervisor.start()
        except ComponentError as error:
            if error.name in seed.PROVED_BY and not self._stop:
                seed.discard(planted)
            raise
        if args.detach:
            # Before anybody can see that it is ready, and leave.
            set_parent_death_signal(0)
        self._write(phase="ready", ready_after=round(time.time() - self._state.started_at, 2))

    def _seed(self, programs: binaries.Binaries) -> Path:
        """Once for these programs: their CRDs and roles, as etcd stores them."""
        print("making the API's first contents, once", flush=True)
        return seed.make(programs, lambda paths: configure(paths, programs), prepare, self._seeding)

    def _seeding(self, supervisor: Supervisor) -> None:
        self._seeder = supervisor
        if self._stop:
            supervisor.request_stop()

    def _watch(self) -> None:
        """Until somebody asks to stop. A component that dies is recorded, not restarted: a gate is judged by what happened."""
        assert self._supervisor is not None  # noqa: S101 -- set by _start
        last = time.monotonic()
        while not self._stop:
            self._look_on(CHECK_EVERY_SECONDS)
            for order in orders.take(self._paths.root):
                self._disturb(order)
            if time.monotonic() - last > STATE_EVERY_SECONDS:
                last = time.monotonic()
                self._write()

    def _look_on(self, seconds: float) -> None:
        """Watch for so long, or until a stop is asked for."""
        assert self._supervisor is not None  # noqa: S101 -- set by _start
        with contextlib.suppress(ComponentExited):
            # Its death was told as an event too, and that is where it is recorded.
            self._supervisor.wait(seconds)
        if self._state.died:
            time.sleep(CHECK_EVERY_SECONDS)  # wait() returns at once from now on

    def _disturb(self, order: orders.Order) -> None:
        """Carry out one order: nobody takes what it kills for dead. What does not come back counts as died."""
        assert self._supervisor is not None  # noqa: S101 -- set by _start
        note: dict[str, object] = {"components": order.components, "down_at": None, "up_at": None, "problem": ""}
        name = ""
        try:
            for name in reversed(order.components):
                # Before, not after: users' connections break at once.
                before = time.time()
                self._supervisor.kill_one(name)
                self._note(order, note, down_at=note["down_at"] or before)
            if order.empty:
                for name in order.components:
                    shutil.rmtree(STORES[name](self._paths), ignore_errors=True)
            self._pause(order.seconds)
            for name in order.components if not self._stop else ():
                self._supervisor.restart_one(name)
            self._note(order, note, up_at=None if self._stop else time.time())
        except (HarnessError, KeyError) as error:
            line = f"component {name} did not come back after it was killed by order: {str(error).splitlines()[0]}"
            if not self._stop:
                self._state = replace(self._state, died={**self._state.died, name: line})
            self._note(order, note, problem=line)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stop and (left := end - time.monotonic()) > 0:
            self._look_on(min(CHECK_EVERY_SECONDS, left))

    def _note(self, order: orders.Order, note: dict[str, object], **changes: object) -> None:
        note.update(changes)
        self._write(disturbed={**self._state.disturbed, order.key: dict(note)})

    def _on_event(self, event: Event) -> None:
        print(f"{event.seconds:7.2f} {event.component} {event.state} {event.detail}", flush=True)
        if event.state is ComponentState.DIED:
            line = f"component {event.component} died: {event.detail.splitlines()[0] if event.detail else 'it said nothing'}"
            self._state = replace(self._state, died={**self._state.died, event.component: line})
        self._write()

    def _write(self, **changes: object) -> None:
        if self._supervisor and "components" not in changes:
            changes["components"] = [
                {"name": s.name, "pid": s.pid, "state": s.state, "ready_after": s.ready_after_seconds, "rss": s.rss_bytes}
                for s in self._supervisor.statuses()
            ]
        self._state = replace(self._state, **changes)  # type: ignore[arg-type]
        state.write(self._paths.state, self._state)


def main() -> int:
    """Entry point of `python -m harness.platforms.local.owner`, started by the harness alone."""
    parser = argparse.ArgumentParser(prog="harness.platforms.local.owner")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--detach", action="store_true")
    parser.add_argument("--gateway-port", type=int, required=True)
    parser.add_argument("--registry-port", type=int, required=True)
    parser.add_argument("--gitops", action="store_true")
    args = parser.parse_args()
    paths = RunPaths(root=args.run_dir)
    owner = Owner(paths)
    signal.signal(signal.SIGTERM, owner.request_stop)
    signal.signal(signal.SIGINT, owner.request_stop)
    set_parent_death_signal(signal.SIGTERM)
    if os.getppid() != args.parent:
        return 0  # the harness died before the line above took effect
    lock = state.Lock(paths.lock)
    if not lock.acquire():
        return 0  # the harness looked first; only a race of two ends here, and the other one has the platform
    return owner.run(args)


if __name__ == "__main__":
    sys.exit(main())
