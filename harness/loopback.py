"""HTTP on loopback."""

from __future__ import annotations

import requests


def local_session() -> requests.Session:
    """A session in whose requests neither a proxy nor a .netrc of the user's has a say."""
    session = requests.Session()
    session.trust_env = False
    return session
