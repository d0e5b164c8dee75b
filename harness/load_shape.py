"""PURE: how the rate of a load changes over time, as the harness asks the locustfile for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LoadShape:
    """How the rate changes over time. docs/loadtest.md has the formulas; the locustfile refuses a shape that cannot be."""

    kind: str = "steady"
    """steady, ramp, spike or sine; each of the others looks at some of the following."""
    rps_from: float = 0.0
    """Requests per second at the start of a ramp."""
    period_seconds: float = 60.0
    """How long a ramp, or one wave of a sine, takes."""
    amplitude: float | None = None
    """Requests per second by which a sine goes above and below the rate; None means half the rate."""
    spike_rps: float | None = None
    """Requests per second in a spike; None means twice the rate."""
    spike_at_seconds: float = 30.0
    """From the start of the load to the spike."""
    spike_seconds: float = 10.0
    """How long a spike lasts."""

    def peak(self, rps: float) -> float:
        """The highest rate that a load with the rate `rps` ever has, in requests per second."""
        match self.kind:
            case "ramp":
                return max(rps, self.rps_from)
            case "spike":
                return max(rps, 2 * rps if self.spike_rps is None else self.spike_rps)
            case "sine":
                return rps + (rps / 2 if self.amplitude is None else self.amplitude)
        return rps

    def arguments(self) -> list[str]:
        """What to add to the locustfile's command line; nothing for a steady load."""
        options: dict[str, dict[str, float | None]] = {
            "ramp": {"--rps-from": self.rps_from, "--period": self.period_seconds},
            "sine": {"--amplitude": self.amplitude, "--period": self.period_seconds},
            "spike": {
                "--spike-rps": self.spike_rps, "--spike-at": self.spike_at_seconds, "--spike-seconds": self.spike_seconds,
            },
        }  # fmt: skip
        given = [f"{flag}={value:g}" for flag, value in options.get(self.kind, {}).items() if value is not None]
        return [] if self.kind == "steady" else [f"--shape={self.kind}", *given]
