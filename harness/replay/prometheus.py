"""A real Prometheus that holds given series and nothing else, asked as the rollouts controller asks."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from harness.errors import PlatformError, UsageError
from harness.loopback import local_session
from harness.platforms.local import binaries
from harness.replay import wire
from harness.replay.samples import Series
from harness.supervisor.ports import free_port
from harness.supervisor.process import Process

LOOPBACK = "127.0.0.1"
START_SECONDS = 30.0
DEFAULT_TIMEOUT_SECONDS = 30.0
"""The controller's own, where a metric sets no timeout."""
POLL_SECONDS = 0.01
SAMPLES_AT_ONCE = 50_000
_FOREVER = "36500d"
"""One block for everything, so that samples of any age are taken in any order of series, and nothing is compacted away."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a query gave: the values in Prometheus' own order, and whether it was a scalar; or why it gave nothing."""

    values: tuple[float, ...] = ()
    scalar: bool = False
    error: str = ""


class Prometheus:
    """The HTTP API of one Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = local_session()

    def query(self, text: str, at_ms: int, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> Answer:
        """An instant query at one moment, as the controller's client sends it."""
        return self._ask("query", {"query": text, "time": _seconds(at_ms)}, timeout)

    def query_range(
        self, text: str, start_ms: int, end_ms: int, step_ms: int, timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> Answer:
        """A range query; its values in one row, series by series."""
        given = {"query": text, "start": _seconds(start_ms), "end": _seconds(end_ms), "step": _seconds(step_ms)}
        return self._ask("query_range", given, timeout)

    def moments(self, text: str, start_ms: int, end_ms: int) -> dict[int, tuple[float, ...]]:
        """What an instant query gives at every millisecond from `start` to `end`; a moment that is absent gave no sample.

        Raises PlatformError when Prometheus refuses the query.
        """
        found: dict[int, list[float]] = {}
        given = {"query": text, "start": _seconds(start_ms), "end": _seconds(end_ms), "step": "0.001"}
        body = self._body("query_range", given, 60.0)
        if body.get("status") != "success":
            raise PlatformError(f"Prometheus refuses {text!r}: {body.get('error')}")
        for each in body["data"]["result"]:
            for at, value in each.get("values", ()):
                found.setdefault(round(float(at) * 1000), []).append(float(value))
        return {at: tuple(values) for at, values in found.items()}

    def load(self, found: Sequence[Series]) -> None:
        """Store these series, staleness markers and NaN included. Raises PlatformError when Prometheus refuses them."""
        batch: list[Series] = []
        count = 0
        for each in found:
            for start in range(0, len(each.samples), SAMPLES_AT_ONCE):
                batch.append(Series(labels=each.labels, samples=each.samples[start : start + SAMPLES_AT_ONCE]))
                count += len(batch[-1].samples)
                if count >= SAMPLES_AT_ONCE:
                    self._write(batch)
                    batch, count = [], 0
        if batch:
            self._write(batch)

    def _write(self, batch: Sequence[Series]) -> None:
        headers = {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"}
        headers["Content-Type"] = "application/x-protobuf"
        answer = self._session.post(f"{self.url}/api/v1/write", data=wire.write_request(batch), headers=headers, timeout=60)
        if not answer.ok:
            raise PlatformError(f"Prometheus refused the series: {answer.text.strip()[:200]}")

    def _ask(self, what: str, given: Mapping[str, str], timeout: float) -> Answer:
        body = self._body(what, given, timeout)
        if body.get("status") != "success":
            return Answer(error=f"{body.get('errorType')}: {body.get('error')}")
        return _answer(body["data"])

    def _body(self, what: str, given: Mapping[str, str], timeout: float) -> dict[str, Any]:
        try:
            body: dict[str, Any] = self._session.post(f"{self.url}/api/v1/{what}", data=given, timeout=timeout or 0.001).json()
        except requests.Timeout:
            return {"status": "error", "errorType": "timeout", "error": f"no answer within {timeout:g} s"}
        except (requests.RequestException, ValueError) as error:
            raise PlatformError(f"Prometheus at {self.url} does not answer: {error}") from None
        return body


def _answer(data: Mapping[str, Any]) -> Answer:
    kind, result = data["resultType"], data["result"]
    if kind == "scalar":
        return Answer(values=(float(result[1]),), scalar=True)
    if kind == "vector":
        # The controller reads a native histogram's sample as the number 0.
        return Answer(values=tuple(float(each["value"][1]) if "value" in each else 0.0 for each in result))
    if kind == "matrix":
        return Answer(values=tuple(float(value) for each in result for _, value in each.get("values", ())))
    return Answer(error="Prometheus metric type not supported")


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}"


def program() -> Path:
    """The pinned Prometheus. Raises UsageError when it is not built yet."""
    found = binaries.find()
    if found is None:
        raise UsageError("a gate needs the pinned Prometheus: run ./run.sh setup once")
    return found["prometheus"]


@contextmanager
def holding(found: Sequence[Series]) -> Iterator[Prometheus]:
    """A Prometheus on a free port of loopback that holds these series, until the block ends; its folder goes with it.

    It dies with this process, however that ends. Raises PlatformError when it does not start.
    """
    binary = program()
    folder = Path(tempfile.mkdtemp(prefix="gateproof-gate-"))  # readable by its owner alone
    port = free_port(LOOPBACK)
    config = folder / "prometheus.yml"
    argv = (
        str(binary), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn",
        f"--web.listen-address={LOOPBACK}:{port}", "--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=100y",
        f"--storage.tsdb.min-block-duration={_FOREVER}", f"--storage.tsdb.max-block-duration={_FOREVER}",
    )
    process = Process(argv, env={"HOME": str(folder)}, cwd=folder, log=folder / "prometheus.log")
    try:
        config.write_text("{}\n")
        process.start()
        prometheus = Prometheus(f"http://{LOOPBACK}:{port}")
        _wait_ready(prometheus, process)
        prometheus.load(found)
        yield prometheus
    finally:
        # Nothing of it is kept: there is nothing to be written down before it ends.
        process.stop(timeout=2.0)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_ready(prometheus: Prometheus, process: Process) -> None:
    session, deadline = local_session(), time.monotonic() + START_SECONDS
    while True:
        if process.poll() is not None:
            raise PlatformError(f"Prometheus ended with code {process.poll()} at its start: {' | '.join(process.log_tail(3))}")
        try:
            if session.get(f"{prometheus.url}/-/ready", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        if time.monotonic() > deadline:
            raise PlatformError(f"Prometheus was not ready after {START_SECONDS:.0f} s: {' | '.join(process.log_tail(3))}")
        time.sleep(POLL_SECONDS)
