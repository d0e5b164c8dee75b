"""PURE: the numbers of a fault plan, one table for the environment, for JSON, for the validator and for the JSON schema."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

USER_ROUTES = ("/", "/headers", "/status/{code}", "/delay/{seconds}")
MAX_LATENCY_MS = 60_000.0
MAX_RULES = 32
# A header's name, and perhaps a colon and its value. (The last group is for engines whose $ also matches before a newline.)
HEADER_PATTERN = r"^([A-Za-z0-9-]{1,64}(:[ -~]{0,190})?)?$(?!\n)"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Field:
    """A number of the plan: its bounds (inclusive), unit and default, and whether it has to be whole."""

    key: str
    about: str
    high: float
    low: float = 0
    unit: str = ""
    default: float | None = 0
    whole: bool = False

    @property
    def rule(self) -> str:
        """What a value has to be, for an error message."""
        bounds = f"from {self.low} to {self.high}" if self.whole else f"from {self.low:g} to {self.high:g}"
        return f"must be a {'whole ' * self.whole}number {bounds}" + (f" ({self.unit})" if self.unit else "")

    def accepts(self, value: object) -> bool:
        """Whether a JSON value will do; true and false are no numbers, and 500.0 is a whole one."""
        if value is None:
            return self.default is None
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return not self.whole or float(value).is_integer()

    def from_text(self, text: str) -> object:
        """The number that `text` stands for, or `text` itself, which `accepts` then refuses.

        float() alone would also take "nan", "inf", "1_0" and digits of other scripts.
        """
        if self.whole:
            return int(text) if _INTEGER.fullmatch(text) else text
        return float(text) if _NUMBER.fullmatch(text) else text

    def schema(self) -> dict[str, Any]:
        """Its JSON schema."""
        kind = "integer" if self.whole else "number"
        return {
            "type": kind if self.default is not None else [kind, "null"],
            "minimum": self.low,
            "maximum": self.high,
            "default": self.default,
            "description": self.about,
        }


REQUEST_FIELDS = (
    Field(key="error_rate", about="Percent of requests answered with status_code.", high=100, unit="percent"),
    Field(key="status_code", about="Status of an injected error.", low=400, high=599, default=500, whole=True),
    Field(key="latency_ms", about="Delay of each request.", high=MAX_LATENCY_MS, unit="milliseconds"),
    Field(key="latency_jitter_ms", about="Uniform deviation from latency_ms.", high=MAX_LATENCY_MS, unit="milliseconds"),
    Field(key="latency_p50_ms", about="Median of the delay.", high=MAX_LATENCY_MS, unit="milliseconds"),
    Field(key="latency_p90_ms", about="90th percentile of the delay.", high=MAX_LATENCY_MS, unit="milliseconds"),
    Field(key="latency_p99_ms", about="99th percentile of the delay.", high=MAX_LATENCY_MS, unit="milliseconds"),
    Field(key="hang_rate", about="Percent of requests that are never answered.", high=100, unit="percent"),
    Field(key="reset_rate", about="Percent of requests whose connection is reset.", high=100, unit="percent"),
)
PROCESS_FIELDS = (
    Field(key="slow_start_seconds", about="The port opens so late. Environment only.", high=3600, unit="seconds"),
    Field(key="crash_after_requests", about="The request that ends the process; 0 is never.", high=10**9, whole=True),
    Field(key="crash_after_seconds", about="When the process ends by itself; 0 is never.", high=86_400, unit="seconds"),
    Field(key="memory_kib_per_request", about="KiB that each request leaves allocated.", high=2**20, whole=True),
    Field(key="memory_cap_mib", about="MiB at which that growth stops.", low=1, high=2**16, default=256, whole=True),
    Field(key="readiness_flap_seconds", about="Length of /readyz's phases; 0 is no flapping.", high=3600, unit="seconds"),
    Field(key="clock_behind_seconds", about="Age that /metrics gives its samples; 0 is none.", high=86_400, unit="seconds"),
    Field(key="seed", about="Seed of all draws; null is another each time.", low=-(2**53), high=2**53, default=None, whole=True),
)
SCOPE_KEYS = ("routes", "header")
QUANTILE_KEYS = ("latency_p50_ms", "latency_p90_ms", "latency_p99_ms")
RULE_KEYS = (*SCOPE_KEYS, *(field.key for field in REQUEST_FIELDS))
PLAN_KEYS = (*RULE_KEYS, "rules", *(field.key for field in PROCESS_FIELDS))


def variable(key: str) -> str:
    """The environment variable of a key: `error_rate` is FAULT_ERROR_RATE."""
    return f"FAULT_{key.upper()}"


def plan_schema(*, at_run_time: bool = True) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a plan that is put, or else of one that is in force and so has all keys."""
    schema = _object_schema((*REQUEST_FIELDS, *PROCESS_FIELDS))
    schema["properties"]["rules"] = {
        "type": "array",
        "maxItems": MAX_RULES,
        "items": _object_schema(REQUEST_FIELDS),
        "description": "The first rule that covers a request takes the place of the plan's own faults.",
    }
    if at_run_time:
        schema["properties"]["slow_start_seconds"]["maximum"] = 0
    else:
        schema["required"] = list(PLAN_KEYS)
    return schema


def _object_schema(fields: tuple[Field, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "routes": {
                "type": "array",
                "items": {"enum": list(USER_ROUTES)},
                "maxItems": len(USER_ROUTES),
                "description": "The route templates that may be hit; all when empty.",
            },
            "header": {
                "type": "string",
                "pattern": HEADER_PATTERN,
                "description": "`Name` or `Name: value`: only requests that have it may be hit; any when blank.",
            },
            **{field.key: field.schema() for field in fields},
        },
        "dependentRequired": {key: [other for other in QUANTILE_KEYS if other != key] for key in QUANTILE_KEYS},
    }
