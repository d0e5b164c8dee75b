"""Orders to the owner of a platform, as files in its run's folder: kill these components, and start them again so much later."""

from __future__ import annotations

import json
import os
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.platforms.local.paths import unusable


@dataclass(frozen=True, kw_only=True)
class Order:
    """One disturbance. `components` are killed in this order's mirror and started in it."""

    key: str
    components: tuple[str, ...]
    seconds: float
    """For how long they are away."""
    empty: bool = False
    """Whether what they had stored is removed meanwhile."""


def give(folder: Path, *, components: tuple[str, ...], seconds: float, empty: bool) -> str:
    """Leave an order for the owner; returns its key. Only who may write into the run's folder can. Raises as `unusable` says."""
    order = Order(key=uuid.uuid4().hex, components=components, seconds=seconds, empty=empty)
    # The file system's own times are too coarse to tell which of two came first.
    part = folder / f"order-{time.time_ns():020d}-{order.key}.part"
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(order), file)
        part.replace(part.with_suffix(".json"))
    except OSError as error:
        raise unusable(folder, error) from None
    return order.key


def forget(folder: Path) -> None:
    """Remove the orders that an earlier owner left undone: they were for its platform."""
    for path in folder.glob("order-*"):
        path.unlink(missing_ok=True)


def take(folder: Path) -> list[Order]:
    """The orders that wait, the oldest first; each is handed out once. What cannot be read is dropped."""
    found = []
    for path in sorted(folder.glob("order-*.json")):
        try:
            given = json.loads(path.read_text())
            found.append(Order(**{**given, "components": tuple(given["components"])}))
        except (ValueError, TypeError, KeyError, OSError) as error:
            print(f"an order that cannot be read ({error}): {path.name}", flush=True)
        path.unlink(missing_ok=True)
    return found
