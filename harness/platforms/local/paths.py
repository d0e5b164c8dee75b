"""Where the local platform keeps things: the run's folder and the user's cache."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from harness.errors import PlatformError, UsageError

DEFAULT_RUN_DIR = ".gateproof"
MIN_FREE_BYTES = 512 * 1024 * 1024
"""A run writes about 200 MiB (etcd, Prometheus, logs); half a GiB leaves room for a long one."""


@dataclass(frozen=True, kw_only=True)
class RunPaths:
    """The layout of one run's folder. Everything in it belongs to that run; nothing outside it does."""

    root: Path

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

    def make(self) -> None:
        """Create the folders, readable by their owner alone.

        Raises UsageError where the folder cannot be written, and PlatformError where its disk is full.
        """
        make_private(self.root)
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


def make_private(folder: Path) -> None:
    """Create a folder that only its owner can enter. Raises UsageError or PlatformError in one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise unusable(folder, error) from None


def unusable(folder: Path, error: OSError) -> UsageError | PlatformError:
    """The one line for a folder that cannot be written, by its cause."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return PlatformError(f"the disk of {folder} is full: make room, or choose another folder with --run-dir")
    return UsageError(f"the folder {folder} cannot be used ({error.strerror}): choose another with --run-dir")


def cache_root() -> Path:
    """The user's cache (XDG): built programs and unpacked images, shared by all runs."""
    override = os.environ.get("GATEPROOF_CACHE_DIR")
    return Path(override).expanduser().absolute() if override else Path(platformdirs.user_cache_dir("gateproof"))
