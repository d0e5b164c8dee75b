"""Starts a container's process: gathers what its environment refers to, and turns image and pod into one command."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.images import ProcessSpec, UnpackedImage, process_spec
from harness.platforms.local.node import env as environment
from harness.platforms.local.node.api import Api
from harness.platforms.local.node.node_object import HOST_IP
from harness.platforms.local.node.processes import Processes
from harness.platforms.local.node.spec import Container, Json, Pod

# What a container runtime keeps of a log for the termination message (terminationMessagePolicy: FallbackToLogsOnError).
MESSAGE_BYTES = 2048
MESSAGE_LINES = 80
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class StartError(Exception):
    """No process came to be; `reason` is CreateContainerConfigError or StartError."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What commands of one container run in: kept for its probes and hooks."""

    pod: Pod
    container: Container
    image: UnpackedImage
    env: dict[str, str]
    folder: Path

    def spec(self, command: tuple[str, ...] | None) -> ProcessSpec:
        """The container's own process (None), or a command beside it. Raises HarnessError."""
        c, config = self.container, self.image.config
        if command is None:
            main, args = c.command, c.args
        else:
            # Kubernetes expands no variables in the commands of probes and hooks: a doubled dollar stays a dollar.
            main, args = tuple(word.replace("$", "$$") for word in command), ()
        spec = process_spec(config, self.image.root, main or None, args or None, self.env, working_dir=c.working_dir)
        spec.env["PATH"] += f":{SYSTEM_PATH}"
        if "HOME" not in self.env and "HOME" not in config.env:
            # Not "/", and never the home of whoever runs the platform: programs leave files there.
            spec.env["HOME"] = str(self.folder)
        return spec


class Starter:
    """Prepares and starts containers."""

    def __init__(self, api: Api, processes: Processes, pods: Path, cpu: int, memory: int) -> None:
        self._api, self._processes, self._pods, self._cpu, self._memory = api, processes, pods, cpu, memory

    def folder(self, pod: Pod) -> Path:
        """The pod's folder: logs, and its emptyDir volumes."""
        return self._pods / f"{pod.namespace}_{pod.name}_{pod.uid}"

    def log_file(self, pod: Pod, container: str, attempt: int) -> Path:
        """Where this run of the container writes."""
        return self.folder(pod) / container / f"{attempt}.log"

    def prepare(self, pod: Pod, container: Container, image: UnpackedImage, address: str) -> Runtime:
        """Environment and folders. Raises StartError (CreateContainerConfigError)."""
        config_maps, secrets = environment.references(container)
        sources = environment.Sources(
            config_maps={name: self._get(pod, "configmaps", name) for name in config_maps},
            secrets={name: self._get(pod, "secrets", name) for name in secrets},
            pod_ip=address,
            host_ip=HOST_IP,
            cpu=self._cpu,
            memory=self._memory,
        )
        try:
            env = {"HOSTNAME": pod.name} | environment.build(pod, container, sources)
        except (environment.ConfigMissing, ValueError) as error:
            raise StartError("CreateContainerConfigError", str(error)) from None
        folder = self.folder(pod)
        folder.mkdir(parents=True, exist_ok=True)
        if container.tmp_volume:
            volume = folder / "volumes" / container.tmp_volume
            volume.mkdir(parents=True, exist_ok=True)
            env.setdefault("TMPDIR", str(volume))
        return Runtime(pod=pod, container=container, image=image, env=env, folder=folder)

    def _get(self, pod: Pod, kind: str, name: str) -> Json | None:
        answer = self._api.call("GET", f"/api/v1/namespaces/{pod.namespace}/{kind}/{name}")
        if answer.status == 404:
            return None
        if not answer.ok:
            raise StartError("CreateContainerConfigError", f"failed to get {kind} {name}: {answer.why}")
        return answer.body

    def start(
        self, runtime: Runtime, key: str, attempt: int, started: Callable[[int], None], exited: Callable[[int], None]
    ) -> None:
        """Start the container's process. Raises StartError, in the words that users know from container runtimes."""
        try:
            spec = runtime.spec(None)
        except HarnessError as error:
            raise StartError("CreateContainerConfigError", str(error)) from None
        log = self.log_file(runtime.pod, runtime.container.name, attempt)
        try:
            check_executable(spec)
            self._processes.start(key, spec.argv, env=spec.env, cwd=spec.cwd, log=log, started=started, exited=exited)
        except OSError as error:
            raise StartError("StartError", f'failed to create process: exec: "{spec.argv[0]}": {_why(error)}') from None

    def last_words(self, pod: Pod, container: str, attempt: int) -> str | None:
        """The end of the log of one run."""
        try:
            with self.log_file(pod, container, attempt).open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - MESSAGE_BYTES))
                text = log.read().decode(errors="replace")
        except OSError:
            return None
        return "\n".join(text.splitlines()[-MESSAGE_LINES:]) or None


def check_executable(spec: ProcessSpec) -> None:
    """Say which of program and working folder is missing: the operating system's own error does not. Raises OSError."""
    if not spec.cwd.is_dir():
        raise OSError(errno.ENOTDIR, f"the working directory {spec.cwd} does not exist")


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "executable file not found in $PATH"
    return (error.strerror or str(error)).lower()
