"""PURE: OpenTelemetry's semantic conventions for HTTP servers (stable since 1.23), as far as this application follows them.

What a caller can make up ends here: methods collapse to known ones, texts are cut, and secrets in a query are blotted out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

# RFC 9110's methods, RFC 5789's PATCH, and QUERY: the conventions' own list.
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
OTHER_METHOD = "_OTHER"
MAX_TEXT = 1024
_MAX_NAME = 255  # of a host name (RFC 1035), and far more than an IP address needs
_REDACTED_KEYS = frozenset({"AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"})
_URI_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))


def known_methods(setting: str) -> frozenset[str]:
    """The methods that keep their names: those of OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS (comma-separated), or the default."""
    return frozenset(filter(None, (name.strip() for name in setting.split(",")))) or KNOWN_METHODS


def cut(text: str, length: int = MAX_TEXT) -> str:
    """At most `length` characters of a text that a caller sent, with a mark where something was cut off."""
    return text if len(text) <= length else text[: length - 1] + "…"


def url_scheme(environ: Mapping[str, Any]) -> str:
    """`https` or `http`: what the first proxy was asked for if one says so, else what was asked for here."""
    scheme = environ.get("HTTP_X_FORWARDED_PROTO") or environ.get("wsgi.url_scheme")
    return "https" if scheme == "https" else "http"


def url_path(environ: Mapping[str, Any], length: int = MAX_TEXT) -> str:
    """The path as the request line had it, percent-encoded, in printable ASCII whatever was sent."""
    raw = str(environ.get("RAW_URI", ""))
    if raw.startswith("/"):
        return cut(quote(raw.partition("?")[0], safe=_URI_CHARACTERS, encoding="latin-1", errors="replace"), length)
    return cut(quote(str(environ.get("PATH_INFO", "")), encoding="latin-1", errors="replace"), length)


def request_attributes(environ: Mapping[str, Any], method: str) -> dict[str, str | int]:
    """What is known of a request before it is answered; `method` is its method, or `OTHER_METHOD` for an unknown one."""
    scheme = url_scheme(environ)
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "url.path": url_path(environ),
        "url.scheme": scheme,
        "network.protocol.version": cut(str(environ.get("SERVER_PROTOCOL", "")).rpartition("/")[2], 8),
    }
    original = str(environ.get("REQUEST_METHOD", ""))
    if original != method:
        attributes["http.request.method_original"] = cut(original, 64)
    if query := environ.get("QUERY_STRING"):
        attributes["url.query"] = redacted(cut(query))
    if agent := environ.get("HTTP_USER_AGENT"):
        attributes["user_agent.original"] = cut(agent)
    if host := _first(environ.get("HTTP_X_FORWARDED_HOST")) or environ.get("HTTP_HOST"):
        attributes["server.address"], attributes["server.port"] = host_and_port(host, 443 if scheme == "https" else 80)
    if peer := environ.get("REMOTE_ADDR"):
        attributes["network.peer.address"] = peer
        if (port := str(environ.get("REMOTE_PORT", ""))).isdecimal():
            attributes["network.peer.port"] = int(port)
    if client := _first(environ.get("HTTP_X_FORWARDED_FOR")) or peer:
        attributes["client.address"] = cut(client, _MAX_NAME)
    return attributes


def error_type(status: int | None) -> str:
    """The conventions' `error.type` of an answer: its status code if that is the server's error, else empty."""
    return str(status) if status is not None and status >= 500 else ""


def class_name(error: BaseException) -> str:
    """The conventions' `error.type` of an exception."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def host_and_port(host: str, default_port: int) -> tuple[str, int]:
    """A Host header's parts: `[::1]:8080` gives `::1` and 8080. What is no port at all gives the default."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):  # the only colons, if any, are those of an IPv6 address
        name, port = host, ""
    number = int(port) if port.isdecimal() and len(port) <= 5 else default_port
    return cut(name.strip("[]"), _MAX_NAME), number


def redacted(query: str) -> str:
    """A query string in which the values of signatures and access keys, as the conventions list them, are `REDACTED`."""
    if not any(key in query for key in _REDACTED_KEYS):
        return query
    parts = (part.partition("=") for part in query.split("&"))
    return "&".join(f"{key}=REDACTED" if key in _REDACTED_KEYS else key + equals + value for key, equals, value in parts)


def _first(header: str | None) -> str:
    """The first element of a comma-separated header: what the proxy nearest to the client wrote."""
    return header.partition(",")[0].strip() if header else ""
