"""Debian's Chromium, headless, for tests of what our pages show. Use the fixture `chromium` of tests/conftest.py."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# As root it has no sandbox of its own; without the others it calls home at every start.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """A browser with a profile of its own. Skips the test where the machine has no Chromium."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where it is needed: it takes a while

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium was found: apt-get install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
