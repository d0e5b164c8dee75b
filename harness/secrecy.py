"""What a command line, a URL or a chart value may hold that no report and no log should. PURE: no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "***"
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/@\s\"'<>]*:[^/@\s\"'<>]*@")
_WORDS = r"pass(?:word|wd|phrase)?|secret|token|credentials?|api[-_.]?key|private[-_.]?key|auth"
_SECRET_KEY = re.compile(rf"(?:^|[._-])(?:{_WORDS})$|(?:Password|Secret|Token|Credential|ApiKey|PrivateKey)$", re.IGNORECASE)
_QUERY = re.compile(rf"(?P<key>[?&](?:{_WORDS})=)[^&\s\"'<>\\]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """A text without the passwords of its URLs.

    >>> redacted("asking http://me:hunter2@metrics.example:9090/api?token=abc&x=1 failed")
    'asking http://***@metrics.example:9090/api?token=***&x=1 failed'
    """
    return _QUERY.sub(rf"\g<key>{HIDDEN}", _USERINFO.sub(rf"\g<scheme>{HIDDEN}@", text))


def redacted_command(command: Sequence[str]) -> tuple[str, ...]:
    """A command line as it may be shown: KEY=VALUE with a key that names a secret keeps its key only.

    >>> redacted_command(["--set", "registry.password=hunter2", "--set=a.apiToken=x", "--set", "slo.successRate=0.99"])
    ('--set', 'registry.password=***', '--set=a.apiToken=***', '--set', 'slo.successRate=0.99')
    """
    return tuple(_argument(each) for each in command)


def _argument(text: str) -> str:
    option, separator, rest = text.partition("=") if text.startswith("--") else ("", "", text)
    key, equals, value = rest.partition("=")
    if equals and value and _SECRET_KEY.search(key):
        return f"{option}{separator}{key}={HIDDEN}"
    return redacted(text)
