"""Carries out what the plan asks for. Everything that may block happens in other threads, and comes back as a fact."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness.errors import HarnessError
from harness.platforms.local.node import actions as act
from harness.platforms.local.node.addresses import Addresses
from harness.platforms.local.node.facts import (
    AddressGiven,
    Exited,
    Fact,
    HookDone,
    PortOpen,
    ProbeDone,
    Pulled,
    PullFailed,
    Started,
    StartFailed,
)
from harness.platforms.local.node.prober import PortWatch, http_get, tcp_socket
from harness.platforms.local.node.processes import Processes
from harness.platforms.local.node.puller import Image, Puller, PullError
from harness.platforms.local.node.spec import Check, Container, ExecCommand, Hook, HttpGet, Pod, Sleep, TcpSocket, Unusable
from harness.platforms.local.node.starting import Runtime, Starter, StartError
from harness.platforms.local.node.workers import Workers, run_logged
from harness.platforms.local.node.writes import Writes

Tell = Callable[[str, Fact], None]


class Effects:
    """The hands of the agent. `tell(uid, fact)` reports back, from any thread."""

    def __init__(
        self,
        *,
        writes: Writes,
        processes: Processes,
        starter: Starter,
        puller: Puller,
        addresses: Addresses,
        tell: Tell,
        log: Callable[[str], None],
    ) -> None:
        self._writes, self._processes, self._starter, self._puller = writes, processes, starter, puller
        self._addresses, self._tell, self._log = addresses, tell, log
        self._ports = PortWatch()
        self._pulls = Workers("pull", 2, log)
        self._starts = Workers("start", 4, log)
        self._images: dict[tuple[str, str], Image] = {}
        self._runtimes: dict[tuple[str, str], Runtime] = {}

    def carry_out(self, pod: Pod, action: act.Action) -> None:
        """Begin one action; it returns at once."""
        containers = {c.name: c for c in pod.all_containers}
        match action:
            case act.GiveAddress():
                self._give_address(pod)
            case act.Pull():
                self._pulls.submit(lambda: self._pull(pod, containers[action.container], action))
            case act.Start():
                self._starts.submit(lambda: self._start(pod, containers[action.container], action))
            case act.WatchPort():
                self._watch_port(pod, action)
            case act.RunProbe():
                self._thread(lambda: self._probe(pod, action))
            case act.Exec():
                self._thread(lambda: self._hook(pod, action))
            case act.Signal():
                self._log(f"{pod.key}: SIGTERM to container {action.container}")
                self._processes.terminate(key(pod, action.container, action.attempt))
            case act.Kill():
                self._log(f"{pod.key}: SIGKILL to container {action.container}: its grace period is over")
                self._processes.kill(key(pod, action.container, action.attempt))
            case _:
                self._writes.carry_out(pod, action)

    def forget(self, pod: Pod) -> None:
        """The pod is gone: let go of what was kept for it."""
        for c in pod.all_containers:
            self._images.pop((pod.uid, c.name), None)
            self._runtimes.pop((pod.uid, c.name), None)
        self._ports.drop(lambda k: isinstance(k, tuple) and k[0] == pod.uid)
        self._writes.forget(pod)

    def _thread(self, job: Callable[[], None]) -> None:
        # A thread each: a probe that hangs until its time-out must not hold up another pod's.
        threading.Thread(target=run_logged, args=(job, self._log), daemon=True).start()

    def _give_address(self, pod: Pod) -> None:
        try:
            address = self._addresses.give()
        except OSError as error:
            self._log(f"{pod.key}: no address: the counter cannot be written: {error}; trying again in 30 s")
            address = None
        else:
            if address is None:
                self._log(
                    f"{pod.key}: no address: the range is used up; start the platform afresh or with a larger --address-range"
                )
        self._tell(pod.uid, AddressGiven(address=address))

    def _pull(self, pod: Pod, container: Container, action: act.Pull) -> None:
        name, attempt = container.name, action.attempt
        try:
            image = self._puller.pull(container.image, container.pull_policy)
        except PullError as error:
            self._tell(pod.uid, PullFailed(container=name, attempt=attempt, reason=error.reason, message=str(error)))
            return
        self._images[pod.uid, name] = image
        self._tell(pod.uid, Pulled(container=name, attempt=attempt, image_id=image.reference, message=image.message))

    def _start(self, pod: Pod, container: Container, action: act.Start) -> None:
        name, attempt, mark = container.name, action.attempt, key(pod, container.name, action.attempt)

        def started(pid: int) -> None:
            self._log(f"{pod.key}: container {name} runs as process {pid} on {action.address} (restart {attempt})")
            self._tell(pod.uid, Started(container=name, attempt=attempt, pid=pid, at=time.time()))

        def exited(code: int) -> None:
            self._log(f"{pod.key}: container {name} ended with exit code {code}")
            self._ports.drop(lambda k: isinstance(k, tuple) and k[:3] == (pod.uid, name, attempt))
            words = self._starter.last_words(pod, name, attempt) if code and container.log_as_message else None
            self._tell(pod.uid, Exited(container=name, attempt=attempt, exit_code=code, at=time.time(), message=words))

        try:
            image = self._images[pod.uid, name].unpacked
            runtime = self._starter.prepare(pod, container, image, action.address)
            self._runtimes[pod.uid, name] = runtime
            self._starter.start(runtime, mark, attempt, started, exited)
        except StartError as error:
            failed = StartFailed(container=name, attempt=attempt, reason=error.reason, message=str(error), at=time.time())
            self._tell(pod.uid, failed)

    def _watch_port(self, pod: Pod, action: act.WatchPort) -> None:
        if isinstance(action.check, HttpGet | TcpSocket):
            fact = PortOpen(container=action.container, attempt=action.attempt, kind=action.kind)
            mark = (pod.uid, action.container, action.attempt, action.kind)
            self._ports.add(mark, action.check.host or action.address, action.check.port, lambda: self._tell(pod.uid, fact))

    def _probe(self, pod: Pod, action: act.RunProbe) -> None:
        ok, message = self._check(pod, action.container, action.check, action.address, action.timeout)
        fact = ProbeDone(container=action.container, attempt=action.attempt, kind=action.kind, ok=ok, message=message)
        self._tell(pod.uid, fact)

    def _hook(self, pod: Pod, action: act.Exec) -> None:
        ok, message = self._check(pod, action.container, action.hook, action.address, action.timeout)
        self._tell(
            pod.uid, HookDone(container=action.container, attempt=action.attempt, name=action.name, ok=ok, message=message)
        )

    def _check(self, pod: Pod, container: str, check: Check | Hook, address: str, timeout: float) -> tuple[bool, str]:
        match check:
            case HttpGet():
                return http_get(check, address, timeout)
            case TcpSocket():
                return tcp_socket(check, address, timeout)
            case ExecCommand():
                return self._exec(pod, container, check.command, timeout)
            case Unusable():
                return False, check.message
            case Sleep():
                return True, ""

    def _exec(self, pod: Pod, container: str, command: tuple[str, ...], timeout: float) -> tuple[bool, str]:
        runtime = self._runtimes.get((pod.uid, container))
        if runtime is None:
            return False, "the container is not running"
        try:
            spec = runtime.spec(command)
            code, output = self._processes.run(spec.argv, env=spec.env, cwd=spec.cwd, timeout=timeout)
        except (OSError, HarnessError) as error:
            return False, f'exec: "{" ".join(command)}": {error}'
        if code is None:
            return False, f"command timed out: {' '.join(command)!r} timed out after {timeout:g}s"
        return code == 0, output or f"exit code {code}"


def key(pod: Pod, container: str, attempt: int) -> str:
    """The name of one run of a container, for the process table and the marker."""
    return f"{pod.uid}/{container}/{attempt}"
