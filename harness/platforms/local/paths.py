"""Where the local platform keeps things: the run's folder and the user's cache."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from harness import disk
from harness.errors import PlatformError, UsageError

MIN_FREE_BYTES = 512 * 1024 * 1024
"""A run writes about 200 MiB (etcd, Prometheus, logs); half a GiB leaves room for a long one."""


@dataclass(frozen=True, kw_only=True)
class RunPaths:
    """The layout of one run's folder. Everything in it belongs to that run; nothing outside it does."""

    root: Path

    @property
    def mark(self) -> Path:
        """Says that the folder is a run's: what is not marked is not ours to clear."""
        return self.root / ".gateproof-run"

    @property
    def lock(self) -> Path:
        """Held (flock) by the process that owns the platform, for as long as it lives."""
        return self.root / "platform.lock"

    @property
    def run_lock(self) -> Path:
        """Held (flock) by the scenario that uses the platform."""
        return self.root / "scenario.lock"

    @property
    def state(self) -> Path:
        """What the platform's owner says of itself, as JSON; replaced atomically."""
        return self.root / "state.json"

    @property
    def kubeconfig(self) -> Path:
        """The only kubeconfig that this run reads or writes for its user."""
        return self.root / "kubeconfig"

    @property
    def pki(self) -> Path:
        """Keys and certificates, readable by their owner alone."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Generated configuration files of the components."""
        return self.root / "config"

    @property
    def data(self) -> Path:
        """What the components store: etcd, Prometheus, the registry, the node agent."""
        return self.root / "data"

    @property
    def logs(self) -> Path:
        """One log per component."""
        return self.root / "logs"

    def refuse_foreign(self) -> None:
        """Raise UsageError where the folder holds somebody else's things; nothing is made."""
        try:
            if self.root.is_dir() and not self.mark.exists() and any(self.root.iterdir()):
                raise UsageError(f"{self.root} holds things that are no run's: choose a new or an empty folder with --run-dir")
        except OSError as error:
            raise unusable(self.root, error) from None

    def make(self) -> None:
        """Create the folders, readable by their owner alone.

        Raises UsageError where the folder cannot be written or holds somebody else's things, and PlatformError where its disk
        is full.
        """
        self.refuse_foreign()
        make_private(self.root)
        try:
            self.mark.touch()
        except OSError as error:
            raise unusable(self.root, error) from None
        for folder in (self.pki, self.config, self.data, self.logs):
            make_private(folder)
        probe = self.root / ".write-test"
        try:
            probe.write_bytes(b"x" * 4096)
            probe.unlink()
        except OSError as error:
            raise unusable(self.root, error) from None
        stat = os.statvfs(self.root)
        if stat.f_bavail * stat.f_frsize < MIN_FREE_BYTES:
            free = stat.f_bavail * stat.f_frsize // (1024 * 1024)
            raise PlatformError(
                f"the disk of {self.root} has {free} MiB free and a run needs {MIN_FREE_BYTES // (1024 * 1024)}: "
                "make room, or choose another folder with --run-dir"
            )


def make_private(folder: Path, *, option: str = "--run-dir") -> None:
    """Create a folder that only its owner can enter; one that is there stays as it is.

    Raises UsageError or PlatformError in one line, which names the option that chooses another folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise unusable(folder, error, option=option) from None


def unusable(folder: Path, error: OSError, *, option: str = "--run-dir") -> UsageError | PlatformError:
    """The one line for a folder that cannot be written, by its cause."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return PlatformError(disk.told(folder, option=option))
    return UsageError(f"the folder {folder} cannot be used ({error.strerror}): choose another with {option}")


def cache_root() -> Path:
    """The user's cache (XDG): built programs and unpacked images, shared by all runs."""
    override = os.environ.get("GATEPROOF_CACHE_DIR")
    return named_folder(override, by="GATEPROOF_CACHE_DIR") if override else Path(platformdirs.user_cache_dir("gateproof"))


def named_folder(text: str, *, by: str) -> Path:
    """The folder that a variable names, `~` unfolded. Raises UsageError where nobody has this home, or no folder this name."""
    try:
        folder = Path(text).expanduser().absolute()
        folder.exists()
    except (RuntimeError, ValueError, OSError) as error:
        told = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        raise UsageError(f"{by}={text}: it cannot be used ({told}): name another folder, or unset the variable") from None
    return folder
