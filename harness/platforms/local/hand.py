"""Breaks parts of a local platform on purpose: by orders to its owner, who tells in the state what became of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.platforms import Downtime
from harness.platforms.local import orders
from harness.platforms.local.state import State

Read = Callable[[], State]


@dataclass(frozen=True, kw_only=True)
class LocalHand:
    """`read` gives the platform's state, or raises PlatformError when it is not up."""

    folder: Path
    read: Read

    def disturb(self, components: tuple[str, ...], *, seconds: float, empty: bool) -> str:
        """Order it; returns the order's key at once."""
        return orders.give(self.folder, components=components, seconds=seconds, empty=empty)

    def downtime(self, key: str) -> Downtime | None:
        """What became of an order; None while it has not begun."""
        found = self.read().disturbed.get(key)
        if found is None:
            return None
        return Downtime(down_at=found["down_at"], up_at=found["up_at"], problem=found["problem"])
