"""The API's first contents, made once: CRDs, roles and namespaces as etcd stored them, so that later platforms start with them.

Applying them costs the API server most of its start: it works its OpenAPI document out anew for each of twenty CRDs. A seed is
the data folder of an etcd into which the very tasks of bootstrap.py have written them, stopped in order. It lies in the user's
cache beside the programs. Its name is a hash of all that it is made from, so a change of any of these is another seed. It holds
no key and no secret: those are a run's own, and the authority that the seed's API server had goes with the seed's own run folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from harness.errors import PlatformError
from harness.platforms.local import identities
from harness.platforms.local.binaries import MANIFESTS, Binaries
from harness.platforms.local.components import apiserver, bootstrap, etcd
from harness.platforms.local.config import LocalConfig
from harness.platforms.local.golang import one_builder
from harness.platforms.local.paths import RunPaths, cache_root
from harness.supervisor.plan import plan
from harness.supervisor.process import runnable_programs
from harness.supervisor.supervisor import Supervisor

FORMAT = 1
"""Of what a seed holds beyond its sources; another number makes every older seed another one's."""
KEPT_SECONDS = 14 * 86400.0
"""A seed that was made longer ago than this, for programs that are not these, is removed when another is made."""
PROVED_BY = frozenset({"etcd", "kube-apiserver", "roles", "crds-served"})
"""The components of a seeded platform that fail where its seed is no good."""
_MAKERS = ("etcd", "kube-apiserver", "kubectl")

Configure = Callable[[RunPaths], LocalConfig]
Write = Callable[[LocalConfig], None]
"""Makes the run folder of a configuration ready: keys, kubeconfigs, configuration files."""


def place(programs: Binaries) -> Path:
    """Where the seed for these programs is, or would be."""
    digest = hashlib.sha256(f"{FORMAT}\n{identities.manifests()}".encode())
    for name in MANIFESTS:
        digest.update(programs.manifest(name).read_bytes())
    for name in _MAKERS:
        found = programs[name].stat()
        digest.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return cache_root() / "seeds" / digest.hexdigest()[:16]


def find(programs: Binaries) -> Path | None:
    """The seed for these programs, if it has been made."""
    return found if (found := place(programs)).joinpath("etcd").is_dir() else None


def make(programs: Binaries, configure: Configure, write: Write, started: Callable[[Supervisor], None]) -> Path:
    """Make the seed, unless another process has just done so; `started` is told of the supervisor that may have to be stopped.

    Raises what the start of a platform raises, and PlatformError when etcd could not be stopped in order.
    """
    entry = place(programs)
    with one_builder(entry, lambda _: None):
        if find(programs):
            return entry
        for left in entry.glob(".run.*"):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
        paths = RunPaths(root=entry / f".run.{os.getpid()}")
        try:
            paths.make()
            _fill(configure(paths), write, started)
            made = paths.data / "etcd"
            # etcd itself waits for no disk here: after a power cut a seed must be whole or not there.
            for each in (*(path for path in made.rglob("*") if path.is_file()), made):
                _sync(each)
            made.rename(entry / "etcd")
            _sync(entry)
        finally:
            shutil.rmtree(paths.root, ignore_errors=True)
    _forget_old(entry)
    return entry


def discard(entry: Path) -> None:
    """Remove a seed from which no API came up; the next start makes it anew."""
    shutil.rmtree(entry / "etcd", ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _forget_old(kept: Path) -> None:
    for other in kept.parent.iterdir():
        if other != kept and other.is_dir() and time.time() - other.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(other, ignore_errors=True)


def _fill(config: LocalConfig, write: Write, started: Callable[[Supervisor], None]) -> None:
    write(config)
    declared = [each for module in (etcd, apiserver, bootstrap) for each in module.components(config)]
    with Supervisor(plan(declared, existing=runnable_programs(declared)), config.paths.logs) as supervisor:
        started(supervisor)
        supervisor.start()
        report = supervisor.stop()
    if "etcd" in report.killed:
        raise PlatformError("the API's first contents could not be stored: etcd did not stop by itself; run the command again")


def plant(seed: Path, data: Path) -> None:
    """Put a copy of the seed into a run's data folder."""
    shutil.copytree(seed / "etcd", data / "etcd")
