"""A thin wrapper around the `crane` program, which speaks to registries; localhost is spoken to in plain HTTP."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from harness.errors import HarnessError, PlatformError

TIMEOUT_SECONDS = 60.0
_REFERENCE = re.compile(
    r"(?P<repository>(?P<host>[A-Za-z0-9.-]+(?::[0-9]{1,5})?)/[a-z0-9]+(?:(?:[._]|__|-+|/)[a-z0-9]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_NOT_FOUND = ("MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "NAME_INVALID", "404 Not Found")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ImageNotFound(HarnessError):
    """The registry answered, and it does not have this image."""


class RegistryUnavailable(HarnessError):
    """The registry could not be reached, or could not answer."""


class InvalidImageName(HarnessError):
    """The text is no image reference, or it does not say which registry it means."""


def architecture() -> str:
    """The machine's architecture as images name it, e.g. amd64."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def split_reference(reference: str) -> tuple[str, str, str]:
    """Split into repository, tag and digest, the latter two possibly empty; raises InvalidImageName.

    The registry must be written out: a bare name would quietly mean a public registry on the internet.
    """
    match = _REFERENCE.fullmatch(reference)
    host = match["host"] if match else ""
    if match is None or not (":" in host or "." in host or host == "localhost"):
        raise InvalidImageName(
            f"image {reference!r} is not of the form REGISTRY/NAME[:TAG][@sha256:DIGEST]: write the registry's host out"
        )
    return match["repository"], match["tag"] or "", match["digest"] or ""


class Crane:
    """Calls `crane`, and turns what it says on stderr into one of three errors."""

    def __init__(self, program: Path) -> None:
        self._program = program
        # Nobody's stored credentials are read, and no credential helper is run: a configuration that says nothing stands in for
        # ~/.docker (without one, crane would look into podman's).
        self._env = {**os.environ, "DOCKER_CONFIG": str(Path(__file__).parent / "docker")}

    def digest(self, reference: str) -> str:
        """The digest that the registry gives `reference` on this machine's platform."""
        return self._run("digest", reference).decode().strip()

    def config(self, reference: str) -> bytes:
        """The image's configuration, as JSON."""
        return self._run("config", reference)

    def manifest(self, reference: str) -> bytes:
        """The manifest that the registry keeps under `reference`, byte for byte."""
        return self._run("manifest", reference, platform_flag=False)

    def push(self, layout: Path, reference: str) -> str:
        """Push the one image or artifact of an OCI layout; blobs that the registry has are not sent again. Returns the digest."""
        pushed = self._run("push", str(layout), reference, platform_flag=False).decode().strip()
        return pushed.rpartition("@")[2]

    def pull(self, reference: str, layout: Path) -> None:
        """Pull the image of this machine's platform into a new OCI layout."""
        self._run("pull", "--format=oci", reference, str(layout), about=reference)

    @contextmanager
    def export(self, reference: str) -> Iterator[IO[bytes]]:
        """The image's flattened file system, as a stream of tar data that must be read to its end."""
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                self._argv("export", reference, "-"),
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                env=self._env,
            )
            assert process.stdout is not None  # noqa: S101  for the type checker: stdout=PIPE
            try:
                try:
                    yield process.stdout
                finally:
                    # Also when the reader gave up: if crane failed, that is the cause, and what was read its consequence.
                    while process.stdout.read(1 << 20):
                        pass
                    if process.wait(TIMEOUT_SECONDS):
                        errors.seek(0)
                        raise _error(reference, errors.read().decode(errors="replace")) from None
            finally:
                process.kill()
                process.wait()
                process.stdout.close()

    def _argv(self, *args: str, platform_flag: bool = True) -> list[str]:
        return [str(self._program), *args, *(["--platform", f"linux/{architecture()}"] if platform_flag else [])]

    def _run(self, command: str, *args: str, platform_flag: bool = True, about: str = "") -> bytes:
        argv, reference = self._argv(command, *args, platform_flag=platform_flag), about or args[-1]
        try:
            done = subprocess.run(
                argv, capture_output=True, stdin=subprocess.DEVNULL, env=self._env, timeout=TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise RegistryUnavailable(f"registry of {reference}: no answer to crane {command} in {TIMEOUT_SECONDS:g} s") from None
        except OSError as error:
            raise PlatformError(
                f"crane cannot be run from {self._program}: {error.strerror}: build the toolchain first"
            ) from None
        if done.returncode:
            raise _error(reference, done.stderr.decode(errors="replace"))
        return done.stdout


def _error(reference: str, stderr: str) -> HarnessError:
    lines = [line for line in stderr.strip().splitlines() if line.strip()] or ["crane failed without a word"]
    last = re.sub(r"^(Error: )?(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d )?", "", lines[-1])
    if any(word in stderr for word in _NOT_FOUND):
        return ImageNotFound(f"image {reference} is not in its registry: {last}")
    if "could not parse reference" in stderr or "parsing reference" in stderr:
        return InvalidImageName(f"image {reference!r}: {last}")
    advice = "is it running?" if "dial tcp" in stderr else "look into its log"
    return RegistryUnavailable(f"registry of {reference} cannot be used: {last}: {advice}")
