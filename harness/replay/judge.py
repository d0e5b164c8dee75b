"""PURE: from Prometheus' answer to a measurement, by the metric's own conditions."""

from __future__ import annotations

import re
from typing import Any

from harness.lint.expr.evaluate import holds
from harness.lint.expr.syntax import Malformed, Unknown, parse
from harness.lint.expr.types import Refused
from harness.lint.subject import ERROR, FAILED, INCONCLUSIVE, SUCCESSFUL, seconds
from harness.replay.analysis import Measurement
from harness.replay.samples import number


class NotModelled(Exception):
    """The condition uses something of which this program does not know exactly what the controller makes of it. One line."""


def measurement(spec: dict[str, Any], at_ms: int, values: tuple[float, ...], *, scalar: bool, error: str = "") -> Measurement:
    """What the controller would write down. Raises NotModelled."""
    if error:
        return Measurement(at_ms=at_ms, phase=ERROR, message=error)
    phase, message = phase_of(spec, values, scalar=scalar)
    if phase == ERROR:  # the controller then drops the value; we show it in the message
        return Measurement(at_ms=at_ms, phase=ERROR, message=f"{message}; the query gave {value_text(values, scalar=scalar)}")
    return Measurement(at_ms=at_ms, phase=phase, value=value_text(values, scalar=scalar))


def value_text(values: tuple[float, ...], *, scalar: bool) -> str:
    """The value as the controller writes it: `[0.05]`, `[]`, `[1,2]`, and `0.05` for a scalar."""
    return number(values[0]) if scalar else f"[{','.join(map(number, values))}]"


def phase_of(spec: dict[str, Any], values: tuple[float, ...], *, scalar: bool) -> tuple[str, str]:
    """(phase, why it is an Error) of these values under the metric's conditions. Raises NotModelled."""
    said: dict[str, bool | None] = {}
    for which in ("successCondition", "failureCondition"):
        text = str(spec.get(which) or "")
        try:
            result, kind = (values[0], "float") if scalar else (list(values), "vector")
            said[which] = holds(parse(text), result, kind) if text else None
        except (Malformed, Refused) as error:
            return ERROR, f"{which} {text!r}: {error}"
        except Unknown:
            raise NotModelled(f"metric {spec.get('name')}: {which} {text!r}") from None
    good, bad = said["successCondition"], said["failureCondition"]
    if bad or (bad is None and good is False):
        return FAILED, ""
    return (INCONCLUSIVE if good is False else SUCCESSFUL), ""


_MOMENT = re.compile(r"\s*now\(\)\s*(?:(?P<sign>[-+])\s*duration\(\s*(?P<quote>[\"'])(?P<time>[^\"']*)(?P=quote)\s*\)\s*)?")


def moment(text: str, at_ms: int, name: str) -> int:
    """The moment that a range query's `start` or `end` names: `now()` or `now() - duration("5m")`. Raises NotModelled."""
    match = _MOMENT.fullmatch(text)
    offset = seconds(match["time"]) if match and match["time"] is not None else 0.0
    if not match or offset is None:
        raise NotModelled(f"metric {name}: rangeQuery {text!r}")
    return at_ms + round(offset * 1000) * (-1 if match["sign"] == "-" else 1)
