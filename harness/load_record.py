"""The answers of a load: reading their record while it grows, and summing up a stretch of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import PlatformError, UsageError


class RecordReader:
    """Reads a record of answers while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._lines = 0

    def read_new(self) -> list[dict[str, Any]]:
        """The answers added since the last call. A last line without its end is left for the next call.

        Raises PlatformError when a whole line is no JSON object: the record can then not be trusted.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [self._parse(line) for line in whole.splitlines()]

    def _parse(self, line: bytes) -> dict[str, Any]:
        self._lines += 1
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise PlatformError(f"{self._path}, line {self._lines}: not an answer of the load: {line[:80]!r}; run again")
        return record


@dataclass(frozen=True, kw_only=True)
class LoadSummary:
    """What was sent within a stretch of time, and what came of it."""

    seconds: float
    requests: int
    offered_rps: float
    achieved_rps: float
    by_version: Mapping[str | None, int]
    """Answers by version; None counts requests without a version header, among them those without any answer."""
    by_status: Mapping[int, int]
    """Answers by HTTP status; 0 counts those that never came whole."""
    by_route: Mapping[str | None, int]
    """Requests by what they asked for; None counts those of a record that does not tell."""
    failed: int
    latency_p50: float | None
    latency_p95: float | None
    latency_max: float | None

    @property
    def achieved_share(self) -> float:
        """Achieved over offered rate; under 0.95 the experiment proves nothing."""
        return self.achieved_rps / self.offered_rps


def summarize(records: Iterable[Mapping[str, Any]], *, offered_rps: float, start: float, end: float) -> LoadSummary:
    """Sum up the requests that started in [start, end), in epoch seconds.

    By their start, because the rate that is offered is a rate of starts; a slow answer does not move to a later window.
    Percentiles are nearest-rank: the smallest latency that at least that share of the requests did not exceed.
    """
    if not end > start:
        raise UsageError(f"load summary: the stretch from {start} to {end} is empty")
    chosen = [record for record in records if start <= record["started"] < end]
    by_version: dict[str | None, int] = {}
    by_status: dict[int, int] = {}
    by_route: dict[str | None, int] = {}
    for record in chosen:
        by_version[record["version"]] = by_version.get(record["version"], 0) + 1
        by_status[record["status"]] = by_status.get(record["status"], 0) + 1
        route = record.get("route")
        by_route[route] = by_route.get(route, 0) + 1
    latencies = sorted(record["latency"] for record in chosen)
    return LoadSummary(
        seconds=end - start,
        requests=len(chosen),
        offered_rps=offered_rps,
        achieved_rps=len(chosen) / (end - start),
        by_version=by_version,
        by_status=by_status,
        by_route=by_route,
        failed=sum(record["error"] is not None for record in chosen),
        latency_p50=_percentile(latencies, 50),
        latency_p95=_percentile(latencies, 95),
        latency_max=latencies[-1] if latencies else None,
    )


def _percentile(ordered: list[float], percent: int) -> float | None:
    # Whole numbers: 0.95 * 20 is above 19 in floating point, which would pick the wrong rank.
    return ordered[-(-percent * len(ordered) // 100) - 1] if ordered else None
