"""The process environment, read once into a frozen `Settings`.

Every problem of the environment is reported together, in one line, before anything listens.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from webapp import __version__
from webapp.faults import FaultPlan, LatencyQuantiles

LOG_LEVELS = ("debug", "info", "warning", "error")
MAX_LATENCY_MS = 60_000.0
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
# These end up in response headers and metric labels, so neither spaces nor control characters may get in.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}", re.ASCII)
_T = TypeVar("_T")


class SettingsError(ValueError):
    """The environment cannot be used; the message is one line that names each variable, its value and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment asked for. `faults` holds the FAULT_* variables, with latencies in milliseconds."""

    version: str = __version__
    revision: str = "unknown"
    bind_address: str = "0.0.0.0"  # noqa: S104  a pod listens on all of its addresses unless it is told which
    port: int = 8080
    pod_name: str = ""
    log_level: str = "info"
    service_name: str = "webapp"
    otlp_endpoint: str = ""
    faults: FaultPlan = field(default_factory=FaultPlan)

    @property
    def bind(self) -> str:
        """The address and port in the form a server takes, with brackets around an IPv6 address."""
        host = f"[{self.bind_address}]" if ":" in self.bind_address else self.bind_address
        return f"{host}:{self.port}"


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

    def number(self, name: str, *, default: float, high: float, unit: str) -> float:
        text = self.raw(name)
        if not text:
            return default
        # float() alone would also take "nan", "inf", "1_0" and digits of other scripts.
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not 0 <= value <= high:
            return self.reject(name, f"must be a number from 0 to {high:g} ({unit})", default)
        return value

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
            if text and not re.fullmatch(r"https?://[^\s/]+\S*", text):
                self.reject(name, "must be an http:// or https:// address", "")
        return next((text for text in map(self.raw, names) if text), "")


def _fault_plan(read: _Reader) -> FaultPlan:
    latency = read.number("FAULT_LATENCY_MS", default=0.0, high=MAX_LATENCY_MS, unit="milliseconds")
    jitter = read.number("FAULT_LATENCY_JITTER_MS", default=0.0, high=MAX_LATENCY_MS, unit="milliseconds")
    if jitter > latency:
        # Clamping at zero instead would quietly shift the mean away from FAULT_LATENCY_MS.
        read.reject("FAULT_LATENCY_JITTER_MS", f"must not exceed FAULT_LATENCY_MS ({latency:g})", None)
    names = ("FAULT_LATENCY_P50_MS", "FAULT_LATENCY_P90_MS", "FAULT_LATENCY_P99_MS")
    given = [name for name in names if read.raw(name)]
    p50, p90, p99 = (read.number(name, default=0.0, high=MAX_LATENCY_MS, unit="milliseconds") for name in names)
    quantiles = None
    if given and latency > 0:
        read.reject(given[0], "cannot be combined with FAULT_LATENCY_MS", None)
    elif given and (len(given) < len(names) or not p50 <= p90 <= p99):
        read.reject(given[0], "FAULT_LATENCY_P50_MS, _P90_MS and _P99_MS must be set together, in rising order", None)
    elif given:
        quantiles = LatencyQuantiles(p50_ms=p50, p90_ms=p90, p99_ms=p99)
    return FaultPlan(
        error_rate=read.number("FAULT_ERROR_RATE", default=0.0, high=100.0, unit="percent"),
        status_code=read.integer("FAULT_STATUS_CODE", default=500, low=400, high=599),
        latency_ms=latency,
        jitter_ms=jitter,
        quantiles=quantiles,
        seed=read.integer("FAULT_SEED", default=None, low=-(2**53), high=2**53),
    )


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
        faults=_fault_plan(read),
    )
    if read.problems:
        raise SettingsError("; ".join(read.problems))
    return settings
