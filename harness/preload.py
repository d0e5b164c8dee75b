"""Imports what is needed later, while there is nothing else to do."""

from __future__ import annotations

import contextlib
import importlib
import threading


def preload(*modules: str) -> None:
    """Import these modules in the background. Whoever needs one sooner waits for it, as for any import under way."""

    def work() -> None:
        # What cannot be imported is the business of whoever needs it.
        with contextlib.suppress(Exception):
            for each in modules:
                importlib.import_module(each)

    threading.Thread(target=work, daemon=True, name="preload").start()
