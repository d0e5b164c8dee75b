"""Ctrl-C and SIGTERM: one clear end, with everything stopped, however often they are sent."""

from __future__ import annotations

import signal
import sys
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INSISTENT = 3
AGAIN_SECONDS = 0.5
"""How soon an interrupt that has got lost is raised again."""


class Stopped(KeyboardInterrupt):
    """The user asked to stop. No `except Exception` on the way swallows it."""


def raise_on_signal() -> None:
    """Turn the first SIGINT, SIGTERM or SIGHUP into Stopped.

    Later ones are ignored while what was started is stopped; from the third on they are raised again.
    A signal that was ignored when we were started (nohup) stays ignored.

    Python drops what a handler raises inside a weak reference's callback or a `__del__` (the import system has such callbacks),
    and a library may have a bare `except`. So Stopped is raised again every AGAIN_SECONDS for as long as nothing is dealing with
    it: until the main thread is in an `except`, `finally` or `__exit__` on its way out, or has called `settle`.
    """
    seen = 0
    words = ""

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal seen, words
        seen += 1
        if seen == 1:
            words = f"interrupted by {signal.Signals(number).name}: stopping everything that was started"
            signal.signal(signal.SIGALRM, again)
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS, AGAIN_SECONDS)
        if seen == 1 or seen >= INSISTENT:
            raise Stopped(words)

    def again(_number: int, _frame: FrameType | None) -> None:
        if not _dealt_with():
            raise Stopped(words)

    def lost(told: sys.UnraisableHookArgs) -> None:
        # It comes again, and is told then.
        if not isinstance(told.exc_value, Stopped):
            sys.__unraisablehook__(told)

    sys.unraisablehook = lost
    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, handle)


def settle() -> None:
    """Stopped was caught where it was meant to be, and what follows is to be left in peace."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _dealt_with() -> bool:
    """Whether the main thread is inside the handling of an interrupt, or of what was raised while one was being handled."""
    error = sys.exception()
    for _ in range(100):
        if error is None or isinstance(error, KeyboardInterrupt):
            break
        error = error.__context__
    return error is not None
