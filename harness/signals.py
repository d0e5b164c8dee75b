"""Ctrl-C and SIGTERM: one clear end, with everything stopped, however often they are sent."""

from __future__ import annotations

import signal
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INSISTENT = 3


class Stopped(KeyboardInterrupt):
    """The user asked to stop. No `except Exception` on the way swallows it."""


def raise_on_signal() -> None:
    """Turn the first SIGINT, SIGTERM or SIGHUP into Stopped.

    Later ones are ignored while what was started is stopped; from the third on they are raised again, in case the first was lost.
    A signal that was ignored when we were started (nohup) stays ignored.
    """
    seen = 0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen == 1 or seen >= INSISTENT:
            raise Stopped(f"interrupted by {signal.Signals(number).name}: stopping everything that was started")

    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, handle)
