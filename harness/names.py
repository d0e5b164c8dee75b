"""PURE: what names of hosts, images, registries, labels and branches look like, by the rules of those who will read them."""

from __future__ import annotations

import re

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])"
_DNS = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REGISTRY = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?(?:/{_COMPONENT})*")
# The host may be left out, as docker.io is by many.
_IMAGE = re.compile(
    rf"(?:{_HOST}(?::(?P<port>[0-9]{{1,5}}))?/)?{_COMPONENT}(?:/{_COMPONENT})*(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)
_LABEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_NO_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|^[./-]|[./]$|\.lock(?:/|$)|^@$")


def is_label(text: str) -> bool:
    """Whether it is a DNS label in lower case, as namespaces and Services are named (RFC 1123)."""
    return re.fullmatch(_LABEL, text) is not None


def is_domain(text: str) -> bool:
    """Whether it is a host's name in lower case, at most 253 characters."""
    return len(text) <= 253 and _DNS.fullmatch(text) is not None


def is_registry(text: str) -> bool:
    """Whether it is HOST[:PORT][/PATH], as it stands before an image's name (the OCI distribution's grammar)."""
    match = _REGISTRY.fullmatch(text)
    return match is not None and len(text) <= 255 and _is_port(match["port"])


def is_image(text: str, *, tagged: bool = False) -> bool:
    """Whether it is an image's name; `tagged`: with a tag, which tells two of them apart."""
    match = _IMAGE.fullmatch(text)
    return match is not None and len(text) <= 500 and _is_port(match["port"]) and (bool(match["tag"]) or not tagged)


def is_label_key(text: str) -> bool:
    """Whether it is the key of a Kubernetes label: [domain/]name."""
    prefix, slash, name = text.rpartition("/")
    return _LABEL_NAME.fullmatch(name) is not None and (not slash or is_domain(prefix))


def is_label_value(text: str) -> bool:
    """Whether it is the value of a Kubernetes label; an empty one is."""
    return not text or _LABEL_NAME.fullmatch(text) is not None


def is_branch(text: str) -> bool:
    """Whether Git takes it for a branch (git-check-ref-format), and for no option."""
    return bool(text) and len(text) <= 200 and _NO_BRANCH.search(text) is None


def is_text(text: str, *, most: int = 253) -> bool:
    """Whether a person could have typed it: something, in one line, without control characters."""
    return bool(text.strip()) and text.isprintable() and len(text) <= most


def _is_port(text: str | None) -> bool:
    return text is None or 0 < int(text) < 65536
