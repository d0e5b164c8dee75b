"""A loopback address for each pod, none given twice while the platform lives.

An address that a new pod inherited from an old one would still be named by proxies for a while, and users would be served the
wrong version by a route that looks right. So a counter on disk, flushed before the address is used, only ever goes up.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from harness.errors import UsageError


class Addresses:
    """Gives out the addresses of `network` in order. The counter lies in `file`; the first and last address are left out."""

    def __init__(self, network: str, file: Path) -> None:
        try:
            self._network = ipaddress.IPv4Network(network)
        except ValueError as error:
            raise UsageError(f"--address-range {network}: {error}; give a range such as 127.77.0.0/16") from None
        if not self._network.is_loopback:
            raise UsageError(f"--address-range {network}: not inside 127.0.0.0/8; pods must not be reachable from outside")
        self._file = file
        self._taken: set[str] = set()
        try:
            self._last = int(file.read_text()) if file.exists() else 0
        except ValueError:
            raise UsageError(f"{file}: does not hold a number; delete it only when no platform uses this folder") from None

    def taken(self, addresses: Iterable[str]) -> None:
        """Never give out these: somebody may still name them."""
        self._taken.update(addresses)

    def give(self) -> str | None:
        """A fresh address, or None when the range is used up. Raises OSError when the counter cannot be written."""
        while self._last + 1 < self._network.num_addresses - 1:
            self._last += 1
            address = str(self._network[self._last])
            if address not in self._taken:
                self._flush()
                return address
        return None

    def _flush(self) -> None:
        temporary = self._file.with_suffix(".tmp")
        with temporary.open("w") as out:
            out.write(str(self._last))
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
