"""Ctrl-C and SIGTERM: one clear end, with everything stopped, however often they are sent."""

from __future__ import annotations

import signal
from types import FrameType

from harness.errors import Interrupted


def raise_on_signal() -> None:
    """Turn the first SIGINT, SIGTERM or SIGHUP into Interrupted; later ones are ignored while what was started is stopped."""

    def handle(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(f"interrupted by {signal.Signals(number).name}: stopping everything that was started")

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, handle)
