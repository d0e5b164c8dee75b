"""A Docker engine for the tests: the one that answers, or, where GATEPROOF_DOCKER_TEST=1 asks for it, one of the tests' own.

Nothing of the user's is touched but for one base image that may be added: webapp images and the builders' leftovers are removed.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 60.0
BUILD_SECONDS = 300.0
PULL_SECONDS = 60.0
# Made here by debootstrap where the Dockerfile's own cannot be pulled; kept in the engine, as a pulled one would be.
OUR_BASE, SUITE = "gateproof-test-python:bookworm", "bookworm"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class CannotTest(Exception):
    """There is no Docker engine, or no base image; the text says which."""


@dataclass(kw_only=True)
class Docker:
    """The engine behind `env`; `base` is the image that the Dockerfile is to start from."""

    env: dict[str, str]
    base: str = ""
    temporary: bool = False  # it goes with all that is in it
    tags: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def __call__(self, *args: str, seconds: float = DEADLINE_SECONDS, stdin: Any = subprocess.DEVNULL) -> str:
        done = subprocess.run(
            ["docker", *args], capture_output=True, text=True, check=False, timeout=seconds, stdin=stdin, env=self.env, cwd=ROOT
        )
        if done.returncode:
            raise RuntimeError(f"docker {' '.join(args[:2])}: {done.stderr.strip()[-2000:]}\n{done.stdout[-2000:]}")
        return done.stdout + (done.stderr if args[0] in {"build", "logs"} else "")

    def build(self, tag: str, context: Path, *, cache: bool = True, **build_arguments: str) -> str:
        """Build the Dockerfile in `context`; returns the image's id."""
        given = {"PYTHON_IMAGE": self.base, "SOURCE_DATE_EPOCH": "0", **build_arguments, **pip_index()}
        said = self(
            "build", "--network=host", "--tag", tag, *(() if cache else ("--no-cache",)),
            *(part for name, value in given.items() for part in ("--build-arg", f"{name}={value}")),
            *(part for name in _PROXIES if name in os.environ for part in ("--build-arg", name)),
            str(context), seconds=BUILD_SECONDS,
        )  # fmt: skip
        self.tags.append(tag)
        self.built(said)
        return str(self.inspect(tag)["Id"])

    def built(self, said: str) -> None:
        """Note what a build said of the images that the classic builder leaves behind, one for each step that it ran."""
        self.steps += re.findall(r"(?<!Using cache\n) ---> ([0-9a-f]{12})$", said, re.MULTILINE)

    def inspect(self, image: str) -> dict[str, Any]:
        return dict(json.loads(self("inspect", image))[0])

    def layers(self, image: str) -> list[bytes]:
        """The tar data of the image's own layers, those of its base and empty ones left out."""
        below = len(self.inspect(self.base)["RootFS"]["Layers"])
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            self("save", "--output", file.name, image)
            with tarfile.open(file.name) as archive:
                names = json.loads(_member(archive, "manifest.json"))[0]["Layers"][below:]
                return [content for content in (_member(archive, name) for name in names) if any(content)]

    def can_publish(self) -> bool:
        return "bridge" in self("network", "ls", "--format", "{{.Name}}").split()

    def clear(self) -> None:
        """Remove our tags, and of the steps' images those that nothing else uses by now."""
        if self.temporary:
            return
        for image in (*self.tags, *reversed(self.steps)):
            with suppress(RuntimeError):  # already gone with another one, or in use
                if image in self.tags or not self.inspect(image)["RepoTags"]:
                    self("rmi", image)


def pip_index() -> dict[str, str]:
    """Where this machine's pip finds packages, as a build argument; nothing where it is pip's own default."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    index = os.environ.get("PIP_INDEX_URL") or asked.stdout.strip()
    return {"PIP_INDEX_URL": index} if index else {}


@contextmanager
def engine() -> Iterator[Docker]:
    """The engine that answers, or one of our own that is gone afterwards. Raises CannotTest."""
    if not shutil.which("docker"):
        raise CannotTest("there is no docker program")
    docker = Docker(env=dict(os.environ))
    if answers(docker):
        yield docker
    elif os.environ.get("GATEPROOF_DOCKER_TEST") != "1":
        raise CannotTest("no Docker engine answers (GATEPROOF_DOCKER_TEST=1 starts one for the test: it needs root and dockerd)")
    elif os.geteuid() != 0 or not shutil.which("dockerd"):
        raise CannotTest("no Docker engine answers, and one of our own needs root and dockerd")
    else:
        with _own_engine() as own:
            yield own


def answers(docker: Docker) -> bool:
    try:
        docker("version", seconds=10)
    except (RuntimeError, subprocess.TimeoutExpired):
        return False
    return True


@contextmanager
def _own_engine() -> Iterator[Docker]:
    """In a folder of its own, and without a bridge: it leaves neither a file nor a network interface behind."""
    with tempfile.TemporaryDirectory(prefix="gateproof-docker-") as name:
        folder = Path(name)
        socket = f"unix://{folder}/docker.sock"
        argv = [
            "dockerd", "--host", socket, "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"),
            "--pidfile", str(folder / "pid"), "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
        ]  # fmt: skip
        docker = Docker(env={**os.environ, "DOCKER_HOST": socket}, temporary=True)
        with (folder / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
            try:
                deadline = time.monotonic() + DEADLINE_SECONDS
                while not answers(docker):
                    if process.poll() is not None or time.monotonic() > deadline:
                        said = (folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
                        raise CannotTest(f"dockerd does not start here: {' '.join(said)}")
                    time.sleep(0.1)
                yield docker
            finally:
                process.terminate()
                process.wait(DEADLINE_SECONDS)
                # It leaves the host's network name space mounted, which would keep the folder from going.
                mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
                for point in (each for each in mounted if each.startswith(f"{folder}/")):
                    subprocess.run(["umount", point], check=True)


def base_image(docker: Docker) -> str:
    """The image to start from: GATEPROOF_PYTHON_IMAGE, the Dockerfile's own, or one made by debootstrap. Raises CannotTest."""
    wanted = os.environ.get("GATEPROOF_PYTHON_IMAGE")
    default = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    candidates = [wanted] if wanted else [default[1] if default else "", OUR_BASE]
    present = docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    for image in candidates:
        if image in present:
            return image
    try:
        docker("pull", "--quiet", candidates[0], seconds=PULL_SECONDS)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        if wanted:
            raise CannotTest(f"{wanted} (GATEPROOF_PYTHON_IMAGE) is neither in the engine nor can it be pulled") from error
        return _debootstrap(docker)
    return candidates[0]


def _debootstrap(docker: Docker) -> str:
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise CannotTest("the Dockerfile's base image cannot be pulled, and making one needs root and debootstrap")
    with tempfile.TemporaryDirectory(prefix="gateproof-base-") as name:
        root = Path(name) / "root"
        argv = ["debootstrap", "--variant=minbase", "--include=python3,python3-pip,ca-certificates", SUITE, str(root)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS)
        if done.returncode:
            raise CannotTest(
                f"the Dockerfile's base image cannot be pulled, and debootstrap failed: {done.stdout.strip()[-300:]}"
            )
        shutil.rmtree(root / "var" / "cache" / "apt", ignore_errors=True)
        if _CERTIFICATES.is_file():  # an authority that this machine trusts, pip in the build must trust as well
            shutil.copy(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            docker("import", "-", OUR_BASE, seconds=BUILD_SECONDS, stdin=tar.stdout)
    return OUR_BASE


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    return (archive.extractfile(name) or io.BytesIO()).read()
