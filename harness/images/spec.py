"""From an image's configuration and a container's fields to a process: argv, environment, working folder.

PURE but for one question, whether a path exists in the unpacked image, which a caller may answer in its own way.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import HarnessError, PlatformError

_VARIABLE = re.compile(r"\$(?:(\$)|\(([A-Za-z_][A-Za-z0-9_.-]*)\))")

# Says for which Python an image without an interpreter of its own was made, e.g. python3.11.
INTERPRETER_LABEL = "io.gateproof.interpreter"


class NoCommand(HarnessError):
    """Neither the image nor the container says what to run."""


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """What an image says about running it; `exposed_ports` are in the form 8080/tcp, and empty text means unset."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class ProcessSpec(NamedTuple):
    """What to hand to the operating system; the environment is complete, nothing of the caller's own is to be added."""

    argv: list[str]
    env: dict[str, str]
    cwd: Path


def node_interpreter() -> str:
    """The Python that runs this code, as INTERPRETER_LABEL names it."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def parse_config(document: bytes | str) -> ImageConfig:
    """Read an OCI image configuration; raises PlatformError when it is none."""
    try:
        config: dict[str, Any] = json.loads(document).get("config") or {}
        return ImageConfig(
            entrypoint=tuple(config.get("Entrypoint") or ()),
            cmd=tuple(config.get("Cmd") or ()),
            env=dict(pair.split("=", 1) for pair in config.get("Env") or ()),
            working_dir=config.get("WorkingDir") or "",
            user=config.get("User") or "",
            exposed_ports=tuple(sorted(config.get("ExposedPorts") or ())),
            labels=dict(config.get("Labels") or {}),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise PlatformError(f"the image's configuration cannot be read: {error}: push the image again") from None


def process_spec(
    config: ImageConfig,
    root: Path,
    command: Sequence[str] | None,
    args: Sequence[str] | None,
    env: Mapping[str, str],
    *,
    working_dir: str | None = None,
    interpreter_dir: Path | None = None,
    exists: Callable[[Path], bool] = Path.exists,
) -> ProcessSpec:
    """Apply Kubernetes' rules to an image unpacked at `root`; unpacks as `argv, env, cwd`.

    `command` replaces the entrypoint and silences the image's cmd, `args` replace the cmd, `env` and `working_dir` go over the
    image's own, and $(NAME) in command and args is expanded from `env`, as kubelet does. There is no chroot, so absolute paths
    that exist in the image are rewritten to where it lies: in the image's own variables (each part between colons), in argv and
    in the working folder. What the container sets in `env` is left as it is. The image brings no interpreter: the folder
    of this one (or `interpreter_dir`) is put into PATH, before those of its parts that the image does not have.
    Raises NoCommand when nothing is left to run.
    """

    def inside(text: str) -> str:
        # One slash, not two: what follows a scheme's colon (http://…) is no path.
        absolute = text.startswith("/") and not text.startswith("//") and text != "/" and ".." not in Path(text).parts
        target = root / text.lstrip("/")
        return str(target) if absolute and exists(target) else text

    container_argv = [_expand(text, env) for text in (*(command or ()), *(args or ()))]
    argv = container_argv if command else [*config.entrypoint, *(container_argv if args else config.cmd)]
    if not argv:
        raise NoCommand("nothing to run: the image has neither entrypoint nor cmd, and the container sets no command")
    variables = {name: ":".join(map(inside, value.split(":"))) for name, value in config.env.items()} | dict(env)
    path = [part for part in variables.get("PATH", "").split(":") if part]
    in_image = [part for part in path if Path(part).is_relative_to(root)]
    interpreter = str(interpreter_dir or Path(sys.executable).parent)
    variables["PATH"] = ":".join([*in_image, interpreter, *(part for part in path if part not in in_image)])
    variables.setdefault("HOME", "/")  # as container runtimes do for a user without an entry in /etc/passwd
    folder = working_dir or config.working_dir
    return ProcessSpec([inside(text) for text in argv], variables, root / folder.lstrip("/"))


def _expand(text: str, env: Mapping[str, str]) -> str:
    """Kubernetes' $(NAME): $$ is a dollar sign, and a name that is not set stays as it is."""
    return _VARIABLE.sub(lambda match: "$" if match[1] else env.get(match[2], match[0]), text)
