"""What a load may never do: reach a stranger's host, run for ever, or outlive the harness that started it."""

from __future__ import annotations

import ctypes
import ipaddress
import os
import re
import signal
import sys

ALLOW_HOST = "GATEPROOF_ALLOW_HOST"
PARENT_PID = "GATEPROOF_PARENT_PID"
BEGIN_ON_STDIN = "GATEPROOF_BEGIN_ON_STDIN"

# Only what every URL parser reads alike: no user info, no path, no query, no backslash.
_BASE_URL = re.compile(r"https?://(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::\d{1,5})?/?\Z")
_PR_SET_PDEATHSIG = 1


def refusal(url: str | None, allowed_host: str | None) -> str | None:
    """One line why no load may be sent to `url`, or None when it may: loopback, or exactly the host named by the user."""
    match = _BASE_URL.match(url or "")
    if match is None:
        return f"no load is sent to {url!r}: give --host as http://ADDRESS:PORT, without path or user name"
    host = (match["six"] or match["name"]).lower()
    if host in {"localhost", (allowed_host or "").lower()} or _is_loopback(host):
        return None
    return f"no load is sent to {host}: it is not a loopback address; set {ALLOW_HOST}={host} if this host is yours to load"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def die_with_parent() -> None:
    """End with the process named in GATEPROOF_PARENT_PID, also when that is killed with SIGKILL (Linux; elsewhere no effect).

    Asking for it here, and not between fork and exec, keeps the parent free to run threads; the look at the parent
    afterwards covers a parent that was gone before we asked.
    """
    parent = os.environ.get(PARENT_PID)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if str(os.getppid()) != parent:
        sys.exit(f"the process that started this load (pid {parent}) is gone")


def wait_to_begin() -> None:
    """Where GATEPROOF_BEGIN_ON_STDIN is set, wait until whoever started this load writes something; end when they give up."""
    if os.environ.get(BEGIN_ON_STDIN) and not os.read(sys.stdin.fileno(), 1):
        sys.exit("nobody is left to begin this load")
