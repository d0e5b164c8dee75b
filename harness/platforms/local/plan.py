"""From what the user asked for to a validated plan: allocate, write the configuration, and hand the components over."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import harness
from harness.errors import PlatformError
from harness.platforms.local import binaries, identities, orders, seed
from harness.platforms.local.components import components, files
from harness.platforms.local.config import GATEWAY_PORT, LOOPBACK, REGISTRY_PORT, LocalConfig, Ports
from harness.platforms.local.gitops_programs import GitOpsPrograms
from harness.platforms.local.paths import RunPaths, cache_root, make_private
from harness.supervisor.plan import Plan, plan
from harness.supervisor.ports import free_port, is_free
from harness.supervisor.process import runnable_programs

CLAIM_PORT = 47101
_RANGES = range(77, 127)
_FIRST_PORT, _BLOCK = 21000, 100
"""Beyond 20001, which is Kiali's on kind and with istioctl, and below what systems give to whoever asks for any port."""


def configure(
    paths: RunPaths, programs: binaries.Binaries, *, gateway_port: int = GATEWAY_PORT, registry_port: int = REGISTRY_PORT,
    claimed: str | None = None, seeded: Path | None = None, gitops: GitOpsPrograms | None = None,
) -> LocalConfig:
    """A configuration with free ports for everything but the two that the user knows.

    With a range of addresses that is claimed, the ports are the platform's own as well: no other one on this machine takes them
    before they are bound.
    """
    numbers = _numbers(claimed, {gateway_port, registry_port})
    ports = {name: next(numbers) for name in Ports.free_names()}
    return LocalConfig(
        paths=paths, ports=Ports(**ports, gateway=gateway_port, registry=registry_port), binaries=programs,
        envoy=binaries.envoy(), python=Path(sys.executable), source=Path(harness.__file__).parents[1],
        image_store=cache_root() / "images", address_range=claimed or _range(_RANGES.start), seed=seeded, gitops=gitops,
    )


def _numbers(claimed: str | None, taken: set[int]) -> Iterator[int]:
    """Free ports, none of them taken or given twice: first those that belong to the claim, then any."""
    if claimed:
        first = _FIRST_PORT + _BLOCK * (int(claimed.split(".")[1]) - _RANGES.start)
        yield from (each for each in range(first, first + _BLOCK) if each not in taken and is_free(LOOPBACK, each))
    while True:
        if (number := free_port(LOOPBACK)) not in taken:
            yield number


def validated(config: LocalConfig) -> Plan:
    """The plan, with everything that is wrong with it reported at once. Raises PlanError."""
    declared = components(config)
    return plan(declared, existing=runnable_programs(declared))


def prepare(config: LocalConfig) -> None:
    """Start from nothing: old data is removed, keys and configuration are made anew."""
    paths = config.paths
    paths.make()
    orders.forget(paths.root)
    for folder in (paths.data, paths.config, paths.pki, paths.logs):
        shutil.rmtree(folder, ignore_errors=True)
    paths.make()
    for component in components(config):
        if component.cwd:
            make_private(component.cwd)
    if config.seed:
        seed.plant(config.seed, paths.data)
    identities.write(config)
    for path, text in files(config).items():
        path.write_text(text)


def _range(second: int) -> str:
    return f"127.{second}.0.0/16"


@contextlib.contextmanager
def claimed_addresses() -> Iterator[str]:
    """A /16 of loopback that no other platform on this machine uses while the block lasts.

    The claim is a bound socket on the range's last address: it holds across users and ends with the process.
    Raises PlatformError when every range is taken, or when the machine has only 127.0.0.1 (macOS).
    """
    for second in _RANGES:
        claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            claim.bind((f"127.{second}.255.254", CLAIM_PORT))
        except OSError:
            claim.close()
            continue
        with claim:
            yield _range(second)
        return
    raise PlatformError(
        f"no loopback range for pods is free (tried 127.{_RANGES[0]}.0.0/16 to 127.{_RANGES[-1]}.0.0/16): "
        "stop other platforms with `down`"
    )
