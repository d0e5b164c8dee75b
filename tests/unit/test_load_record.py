import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import PlatformError, UsageError
from harness.load_record import RecordReader, summarize


def answer(started: float, *, version: str | None = "v1.0", status: int = 200, latency: float = 0.01) -> dict[str, Any]:
    error = None if 0 < status < 400 else f"HTTP {status}"
    at = started + latency
    return {"started": started, "at": at, "status": status, "version": version, "pod": None, "latency": latency, "error": error}


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_reader_returns_each_answer_once(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    reader = RecordReader(path)
    assert reader.read_new() == []
    append(path, json.dumps(answer(1)) + "\n" + json.dumps(answer(2)) + "\n")
    assert [record["started"] for record in reader.read_new()] == [1, 2]
    assert reader.read_new() == []
    append(path, json.dumps(answer(3)) + "\n")
    assert reader.read_new() == [answer(3)]


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    reader = RecordReader(path)
    line = json.dumps(answer(1))
    append(path, line[:20])
    assert reader.read_new() == []
    append(path, line[20:])
    assert reader.read_new() == []
    append(path, "\n" + line[:5])
    assert reader.read_new() == [answer(1)]
    append(path, line[5:] + "\n")
    assert reader.read_new() == [answer(1)]


@pytest.mark.parametrize("wrong", ["{broken\n", "7\n", "\n"])
def test_a_whole_line_that_is_no_answer_is_an_error_with_its_number(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "answers.jsonl"
    append(path, json.dumps(answer(1)) + "\n" + wrong)
    with pytest.raises(PlatformError, match=r"answers\.jsonl, line 2"):
        RecordReader(path).read_new()


def test_summary_counts_starts_in_the_half_open_stretch() -> None:
    records = [answer(9.99), answer(10.0), answer(10.5, version="v1.1", status=500), answer(11.0, version=None, status=0)]
    summary = summarize([*records, answer(12.0)], offered_rps=2, start=10, end=12)
    assert summary.requests == 3
    assert summary.by_version == {"v1.0": 1, "v1.1": 1, None: 1}
    assert summary.by_status == {200: 1, 500: 1, 0: 1}
    assert summary.failed == 2
    assert summary.achieved_rps == 1.5
    assert summary.achieved_share == 0.75


def test_summary_counts_routes_where_the_record_tells_them() -> None:
    records: list[dict[str, Any]] = [answer(10) | {"route": "/"}, answer(10) | {"route": "POST /a"}, answer(10), answer(10)]
    assert summarize(records, offered_rps=2, start=10, end=12).by_route == {"/": 1, "POST /a": 1, None: 2}


def test_percentiles_are_nearest_rank() -> None:
    records = [answer(1, latency=rank / 100) for rank in range(20, 0, -1)]
    summary = summarize(records, offered_rps=20, start=1, end=2)
    assert (summary.latency_p50, summary.latency_p95, summary.latency_max) == (0.10, 0.19, 0.20)


def test_no_answers_have_no_latency_and_no_stretch_is_an_error() -> None:
    summary = summarize([], offered_rps=50, start=0, end=10)
    assert (summary.requests, summary.achieved_share, summary.latency_p95) == (0, 0, None)
    with pytest.raises(UsageError, match="empty"):
        summarize([], offered_rps=50, start=5, end=5)
