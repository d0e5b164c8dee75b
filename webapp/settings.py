"""The process environment, read once into a frozen `Settings`.

Every problem of the environment is reported together, in one line, before anything listens.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from webapp import __version__
from webapp.fault_reader import PlanError, plan_from_environ
from webapp.faults import FaultPlan

LOG_LEVELS = ("debug", "info", "warning", "error")
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
# These end up in response headers and metric labels, so neither spaces nor control characters may get in.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}", re.ASCII)
_T = TypeVar("_T")
# What OpenTelemetry's SDK reads at a start, and answers a bad value of with a traceback (or takes its default without a word).
_QUEUE, _BATCH = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
_SDK_NUMBERS = {
    _QUEUE: 1, _BATCH: 1, "OTEL_BSP_SCHEDULE_DELAY": 1, "OTEL_BSP_EXPORT_TIMEOUT": 1, "OTEL_ATTRIBUTE_COUNT_LIMIT": 0,
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": 0, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": 0, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": 0,
    "OTEL_SPAN_EVENT_COUNT_LIMIT": 0, "OTEL_SPAN_LINK_COUNT_LIMIT": 0, "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": 0,
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": 0,
}  # fmt: skip
_SDK_DEFAULTS = {_QUEUE: 2048, _BATCH: 512}


class SettingsError(ValueError):
    """The environment cannot be used; the message is one line that names each variable, its value and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment asked for. `faults` holds the FAULT_* variables; `fault_admin` is whether /faults may be used."""

    version: str = __version__
    revision: str = "unknown"
    bind_address: str = "0.0.0.0"  # noqa: S104  a pod listens on all of its addresses unless it is told which
    port: int = 8080
    pod_name: str = ""
    log_level: str = "info"
    service_name: str = "webapp"
    otlp_endpoint: str = ""
    faults: FaultPlan = field(default_factory=FaultPlan)
    fault_admin: bool = False

    @property
    def bind(self) -> str:
        """The address and port in the form a server takes, with brackets around an IPv6 address."""
        host = f"[{self.bind_address}]" if ":" in self.bind_address else self.bind_address
        return f"{host}:{self.port}"

    @property
    def identity(self) -> list[tuple[str, str]]:
        """The headers that say who answered, for every answer."""
        return [("X-App-Version", self.version), *([("X-Pod-Name", self.pod_name)] if self.pod_name else [])]


class _Reader:
    """Reads variables, collects their problems; an unset or blank variable means its default."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def raw(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def reject(self, name: str, rule: str, default: _T) -> _T:
        self.problems.append(f"{name}={self._environ.get(name, '')!r}: {rule}")
        return default

    def integer(self, name: str, *, default: _T, low: int, high: int) -> int | _T:
        text = self.raw(name)
        if not text:
            return default
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            return self.reject(name, f"must be a whole number from {low} to {high}", default)
        return int(text)

    def name(self, name: str, default: str) -> str:
        text = self.raw(name)
        if text and not _NAME.fullmatch(text):
            return self.reject(name, "must be 1 to 128 letters, digits, dots, dashes, underscores or plus signs", default)
        return text or default

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        text = self.raw(name).lower()
        if text and text not in choices:
            return self.reject(name, f"must be one of {', '.join(choices)}", default)
        return text or default

    def address(self, name: str, default: str) -> str:
        text = self.raw(name)
        try:
            return str(ipaddress.ip_address(text)) if text else default
        except ValueError:
            return self.reject(name, "must be an IP address", default)

    def endpoint(self, *names: str) -> str:
        for name in names:
            text = self.raw(name)
            if text and not _is_address(text):
                self.reject(name, "must be an http:// or https:// address", "")
        return next((text for text in map(self.raw, names) if text), "")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(re.fullmatch(r"https?://[^\s/]+\S*", text) and parts.hostname and (parts.port is None or parts.port > 0))
    except ValueError:
        return False


def _sdk(read: _Reader) -> None:
    """Refuse what OpenTelemetry's SDK would stumble over."""
    found = {
        name: read.integer(name, default=_SDK_DEFAULTS.get(name, low), low=low, high=2**31 - 1)
        for name, low in _SDK_NUMBERS.items()
    }
    if found[_BATCH] > found[_QUEUE]:
        read.reject(_BATCH, f"must not exceed {_QUEUE} ({found[_QUEUE]}); its default is {_SDK_DEFAULTS[_BATCH]}", None)


def _fault_plan(read: _Reader, environ: Mapping[str, str]) -> FaultPlan:
    try:
        return plan_from_environ(environ)
    except PlanError as error:
        read.problems += error.problems
        return FaultPlan()


def from_environ(environ: Mapping[str, str]) -> Settings:
    """Read `environ`; raises SettingsError, one line that names every variable that cannot be used."""
    read = _Reader(environ)
    settings = Settings(
        version=read.name("APP_VERSION", __version__),
        revision=read.name("APP_REVISION", "unknown"),
        bind_address=read.address("BIND_ADDRESS", Settings.bind_address),
        port=read.integer("PORT", default=8080, low=1, high=65535),
        pod_name=read.name("POD_NAME", ""),
        log_level=read.choice("LOG_LEVEL", LOG_LEVELS, "info"),
        service_name=read.raw("OTEL_SERVICE_NAME") or "webapp",
        otlp_endpoint=read.endpoint("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        faults=_fault_plan(read, environ),
        fault_admin=read.choice("FAULT_ADMIN", ("true", "false"), "false") == "true",
    )
    _sdk(read)
    if read.problems:
        raise SettingsError("; ".join(read.problems))
    return settings
