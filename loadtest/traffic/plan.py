"""From options to what is sent. The options are text, as they come from the command line, the environment and the web form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .routes import Route, parse_header, parse_routes
from .shapes import Shape, Sine, ramp, spike, steady

SHAPES = ("steady", "ramp", "spike", "sine")


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option as people meet it: on the command line, in the environment, in the web form."""

    flag: str
    help: str
    default: str = ""
    """What a blank means; itself blank where it follows from other options."""
    shapes: tuple[str, ...] = SHAPES
    """The shapes that look at it."""

    @property
    def variable(self) -> str:
        """The environment variable: --spike-at is GATEPROOF_SPIKE_AT."""
        return "GATEPROOF_" + self.flag.removeprefix("--").replace("-", "_").upper()


OPTIONS = {
    "requests_per_second": Option(
        flag="--rps", default="50", help="total of all users; a ramp ends at it, a sine goes around it"
    ),
    "shape": Option(flag="--shape", default="steady", help="how the rate changes over time"),
    "ramp_from": Option(flag="--rps-from", default="0", shapes=("ramp",), help="requests per second at the start of a ramp"),
    "period_seconds": Option(
        flag="--period", default="60", shapes=("ramp", "sine"), help="how long the ramp, or one wave of the sine, takes"
    ),
    "amplitude": Option(
        flag="--amplitude", shapes=("sine",), help="requests per second that a sine goes above and below; blank: half the rate"
    ),
    "spike_to": Option(flag="--spike-rps", shapes=("spike",), help="requests per second in the spike; blank: twice the rate"),
    "spike_at_seconds": Option(flag="--spike-at", default="30", shapes=("spike",), help="seconds from the start to the spike"),
    "spike_for_seconds": Option(flag="--spike-seconds", default="10", shapes=("spike",), help="how long the spike lasts"),
    "routes": Option(flag="--routes", default="/", help="weighted: /=8,/headers=1,POST /readyz/enable=1"),
    "header": Option(flag="--header", help="sent along, e.g. X-Tester: yes; blank: none"),
    "header_share": Option(flag="--header-share", default="100", help="percent of the requests that carry the header"),
    "host_header": Option(flag="--host-header", default="webapp.local", help="the Host header of every request"),
}
"""By the name that the web form makes its label of; all are text, and blank means the default."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a load sends."""

    shape: Shape
    routes: tuple[Route, ...]
    header: tuple[str, str] | None
    header_share: float
    host_header: str
    asked: tuple[tuple[str, str], ...]
    """The options that it was made from: two plans that were asked for alike send alike."""


def plan_from(values: Mapping[str, object]) -> Plan:
    """The plan that `values` (by the names of OPTIONS; others are passed over) ask for.

    Raises ValueError with one line: the option, what is wrong with it, and what to give.
    """
    text = {name: _text(values, name) or option.default for name, option in OPTIONS.items()}
    host_header = text["host_header"]
    if not (host_header.isascii() and host_header.isprintable() and " " not in host_header):
        raise ValueError(f"--host-header is {host_header!r}; give a host name, e.g. webapp.local")
    share = _number(text, "header_share", least=0)
    if share > 100:
        raise ValueError(f"--header-share is {share:g}; give a percentage from 0 to 100")
    return Plan(
        shape=_shape(text),
        routes=parse_routes(text["routes"]),
        header=parse_header(text["header"]) if text["header"] else None,
        header_share=share,
        host_header=host_header,
        asked=tuple(text.items()),
    )


def unused(values: Mapping[str, object]) -> list[str]:
    """The options of the command line that were given, but belong to another shape than the one chosen."""
    shape = _text(values, "shape") or OPTIONS["shape"].default
    return [
        option.flag
        for name, option in OPTIONS.items()
        if shape not in option.shapes and _text(values, name) not in {"", option.default}
    ]


def _text(values: Mapping[str, object], name: str) -> str:
    value = values.get(name)
    return "" if value is None else str(value).strip()


def _shape(text: Mapping[str, str]) -> Shape:
    kind = text["shape"]
    rps = _number(text, "requests_per_second")
    match kind:
        case "steady":
            return steady(rps)
        case "ramp":
            return ramp(rps_from=_number(text, "ramp_from", least=0), rps=rps, period=_number(text, "period_seconds"))
        case "spike":
            return spike(
                rps=rps,
                spike_rps=_number(text, "spike_to", least=0, derived=2 * rps),
                at=_number(text, "spike_at_seconds", least=0),
                seconds=_number(text, "spike_for_seconds"),
            )
        case "sine":
            amplitude = _number(text, "amplitude", least=0, derived=rps / 2)
            if amplitude > rps:
                raise ValueError(f"--amplitude is {amplitude:g}, more than --rps {rps:g}: a rate cannot fall below 0")
            return Sine(rps=rps, amplitude=amplitude, period=_number(text, "period_seconds"))
    raise ValueError(f"--shape is {kind!r}; give one of {', '.join(SHAPES)}")


def _number(text: Mapping[str, str], name: str, *, least: float | None = None, derived: float | None = None) -> float:
    """The option's value: above 0, or with `least` not under that. `derived` is what a blank stands for."""
    if derived is not None and not text[name]:
        return derived
    try:
        value = float(text[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (value <= 0 if least is None else value < least):
        wanted = "above 0" if least is None else f"of {least:g} or more"
        raise ValueError(f"{OPTIONS[name].flag} is {text[name]!r}; give a number {wanted}")
    return value
