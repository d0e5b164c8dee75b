"""Fetching one file from an address that the user named: encrypted or from this machine, of bounded size and in bounded time."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from harness.errors import PlatformError, UsageError

if TYPE_CHECKING:
    import requests

MOST_BYTES = 1024**3
TEXT_BYTES = 4096
ALL_SECONDS = 3600.0
CONNECT_SECONDS, SILENCE_SECONDS = 10.0, 60.0
REDIRECTS = 5
BLOCK = 1024**2


def is_address(source: str) -> bool:
    """Whether it is an address rather than a path."""
    return "://" in source


def allowed(address: str, *, option: str) -> str:
    """The address, if it may be asked: https, or http on loopback. Raises UsageError."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError(f"{option}={address}: that is no address") from None
    if not host or parts.username or parts.password:
        raise UsageError(f"{option}: give an address with a host and without a password, such as https://example.org/file")
    if parts.scheme == "https" or (parts.scheme == "http" and _loopback(host)):
        return address
    raise UsageError(f"{option}={address}: only https, or http from this machine itself, is fetched; download other files first")


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def download(address: str, target: Path, *, option: str) -> None:
    """Write what the address answers into a file. Raises UsageError for the address, PlatformError for the answer."""
    deadline = time.monotonic() + ALL_SECONDS
    size = 0
    with _answer(address, option=option) as answer, target.open("wb") as file:
        for block in answer.iter_content(BLOCK):
            size += len(block)
            if size > MOST_BYTES:
                raise PlatformError(f"{option}={address}: it is larger than {MOST_BYTES // 1024**2} MiB")
            if time.monotonic() > deadline:
                raise PlatformError(f"{option}={address}: it was not there after {ALL_SECONDS:.0f} s")
            file.write(block)


def fetched_text(address: str, *, option: str) -> str:
    """The beginning of what the address answers, as text. Raises as `download` does."""
    with _answer(address, option=option) as answer:
        return next(answer.iter_content(TEXT_BYTES), b"").decode("utf-8", "replace")


@contextmanager
def _answer(address: str, *, option: str) -> Iterator[requests.Response]:
    """The answer with status 200; each redirection is to an address that is allowed, too."""
    import requests  # noqa: PLC0415 -- not there yet while run.sh installs the packages, and few need it

    try:
        for _ in range(REDIRECTS):
            asked = allowed(address, option=option)
            with requests.get(
                asked, stream=True, timeout=(CONNECT_SECONDS, SILENCE_SECONDS), allow_redirects=False,
                headers={"Accept-Encoding": "identity"},
            ) as answer:
                if answer.is_redirect:
                    address = urljoin(asked, answer.headers["location"])
                    continue
                if answer.status_code != requests.codes.ok:
                    raise PlatformError(f"{option}: {asked} answered with the status {answer.status_code}")
                yield answer
                return
        raise PlatformError(f"{option}: {address} was the end of {REDIRECTS} redirections, and no file")
    except requests.RequestException as error:
        raise PlatformError(f"{option}: {address} could not be fetched ({_cause(error)})") from None


def _cause(error: requests.RequestException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
