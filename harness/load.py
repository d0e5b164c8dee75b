"""The load as the harness sees it: Locust in a process of its own, and the record of answers that it writes.

Nothing here imports Locust: importing it patches the process. What the users do is in loadtest/locustfile.py.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from harness.disk import full
from harness.errors import EXIT_USAGE, HarnessError, Inconclusive, PlatformError, UsageError
from harness.load_record import LoadSummary, RecordReader, summarize
from harness.load_shape import LoadShape
from harness.supervisor.ports import owned_by

WEB_HOST = "127.0.0.1"
LOCUSTFILE = Path(__file__).resolve().parent.parent / "loadtest" / "locustfile.py"
START_SECONDS = 30.0
STOP_SECONDS = 20.0
"""More than the locustfile's own limit for the requests under way."""
LOG_LINES = 20
ALLOW_HOST = "GATEPROOF_ALLOW_HOST"
PARENT_PID = "GATEPROOF_PARENT_PID"
BEGIN_ON_STDIN = "GATEPROOF_BEGIN_ON_STDIN"
STARTED = "this load was started before; make a new one, in a folder of its own"
_FOREIGN = ("LOCUST_", "GATEPROOF_", "OTEL_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy")


def users_for(rps: float, worst_latency_seconds: float) -> int:
    """Users needed to hold `rps` requests per second when an answer takes up to `worst_latency_seconds`; at least 1.

    Little's law: rate x latency requests are under way on average. In a closed model a request is sent only when a user is
    free, so with fewer users the offered rate would sink as answers get slow, just when it matters. Hence rate x worst
    latency, and twice that, so that a latency estimated too low by half still costs no load.
    """
    return max(1, math.ceil(rps * worst_latency_seconds * 2))


@dataclass(frozen=True, kw_only=True)
class LoadSpec:
    """What load to send: where, how much, and for how long at most."""

    url: str
    """Base URL without path; loopback, unless GATEPROOF_ALLOW_HOST names the host."""
    host_header: str = "webapp.local"
    rps: float = 50.0
    """Requests per second, in total; the shape changes it over time."""
    shape: LoadShape = field(default_factory=LoadShape)
    routes: str = "/"
    """What is asked for, with weights: `/=8,/headers=1,POST /readyz/enable=1`."""
    header: str | None = None
    """`Name: value`, sent along with a share of the requests; None means no header."""
    header_share: float = 100.0
    """Percent of the requests that carry the header."""
    users: int | None = None
    """Requests that may be under way at once; None means `users_for` of the highest rate."""
    worst_latency_seconds: float = 2.0
    duration_limit_seconds: float = 3600.0
    """The load ends by itself after this time, whatever happens to the harness."""
    seed: int = 1
    """Of the arrival times."""
    web_ui_port: int | None = None
    """Port of Locust's web UI on 127.0.0.1; None means no web UI."""
    allow_host: str = ""
    """A host beyond loopback that the user named as the one to load; empty: whatever GATEPROOF_ALLOW_HOST names."""
    reports: bool = False
    """Keep Locust's own CSV, HTML and JSON reports beside the record."""

    def __post_init__(self) -> None:
        """Raise UsageError for a value that no load can have."""
        for name in ("rps", "worst_latency_seconds", "duration_limit_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"load: {name} is {value}; give a number above 0")
        if not math.isfinite(peak := self.shape.peak(self.rps)):
            raise UsageError(f"load: its shape, {self.shape.kind}, reaches {peak} requests per second; give finite numbers")
        if self.users is not None and self.users < 1:
            raise UsageError(f"load: users is {self.users}; give at least 1, or none to have it worked out")

    @property
    def user_count(self) -> int:
        """The users given, or as many as the rate needs."""
        return self.users or users_for(self.shape.peak(self.rps), self.worst_latency_seconds)


def command(spec: LoadSpec, *, python: str, locustfile: Path, folder: Path) -> list[str]:
    """The command line that sends `spec` and leaves its files in `folder`. Pure: it looks at nothing but its arguments."""
    users = str(spec.user_count)
    # Locust counts whole seconds.
    limit = f"{math.ceil(spec.duration_limit_seconds)}s"
    line = [python, "-m", "locust", "-f", str(locustfile), "--host", spec.url, "--host-header", spec.host_header]
    line += ["--rps", f"{spec.rps:g}", "--users", users, "--spawn-rate", users, "--run-time", limit, "--seed", str(spec.seed)]
    line += spec.shape.arguments()
    # With `=`, so that nothing given here can be taken for an option.
    line += [] if spec.routes == "/" else [f"--routes={spec.routes}"]
    line += [] if spec.header is None else [f"--header={spec.header}", f"--header-share={spec.header_share:g}"]
    # Failed requests are what is being measured, so they are no reason for Locust to fail.
    line += ["--record", str(record_path(folder)), "--exit-code-on-error", "0"]
    if spec.web_ui_port is None:
        line += ["--headless", "--only-summary"]
    else:
        line += ["--autostart", "--web-host", WEB_HOST, "--web-port", str(spec.web_ui_port)]
        line += ["--max-run-time", str(math.ceil(spec.duration_limit_seconds))]
    if spec.reports:
        # Locust adds .json by itself.
        line += ["--csv", str(folder / "locust"), "--html", str(folder / "locust.html"), "--json-file", str(folder / "locust")]
        line += ["--csv-full-history"]
    return line


def record_path(folder: Path) -> Path:
    """The file of answers in a load's folder."""
    return folder / "answers.jsonl"


def environment(inherited: Mapping[str, str], *, folder: Path, parent_pid: int, allow_host: str = "") -> dict[str, str]:
    """The environment of the load: the caller's, less proxies and every setting of Locust or of ours that is not meant here.

    Locust reads ~/.locust.conf, and locust.conf and pyproject.toml of its working folder: HOME (and the working folder)
    is the load's own folder, where there are none.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if name.lower() not in _PROXIES and (not name.startswith(_FOREIGN) or name == ALLOW_HOST)
    }
    allowed = {ALLOW_HOST: allow_host} if allow_host else {}
    ours = {"HOME": str(folder), "PYTHONUNBUFFERED": "1", PARENT_PID: str(parent_pid), BEGIN_ON_STDIN: "1"}
    return kept | allowed | ours


@dataclass(kw_only=True)
class Load:
    """One Locust process, from start to stop. Also a context manager.

    On Linux it dies with the thread that called `prepare` or `start`: call them in one that outlives the load, usually the main
    thread.
    """

    spec: LoadSpec
    folder: Path
    python: str
    before_start: Callable[[], None] | None = None
    """Called before anything is sent; it raises when the target is not ours."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _stopped: bool = field(default=False, init=False, repr=False)
    _reader: RecordReader = field(init=False, repr=False)
    _records: list[dict[str, Any]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the folder's path absolute: the load works inside it."""
        self.folder = self.folder.resolve()
        self._reader = RecordReader(record_path(self.folder))

    def prepare(self) -> None:
        """Start Locust, which takes a second or two, without sending anything: it waits for `start`. Raises UsageError."""
        if self._process is not None:
            raise UsageError(STARTED)
        self.folder.mkdir(parents=True, exist_ok=True)
        record = record_path(self.folder)
        if record.exists():
            raise UsageError(f"{record} holds the answers of another load; give a folder of its own")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command(self.spec, python=self.python, locustfile=LOCUSTFILE, folder=self.folder),
                cwd=self.folder,
                env=environment(
                    os.environ, folder=self.folder, parent_pid=os.getpid(), allow_host=self.spec.allow_host
                ),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                bufsize=0,
            )

    def start(self) -> None:
        """Start sending, and return once Locust has accepted what to send and its web UI, if one is asked for, can be reached.

        Raises UsageError when the locustfile refuses it, and PlatformError when Locust does not get that far.
        """
        if self._process is not None and self._gate is None:
            raise UsageError(STARTED)
        try:
            if self.before_start is not None:
                self.before_start()
            if self._process is None:
                self.prepare()
            self._wait_for(record_path(self.folder).exists)
            self._begin()
            self._wait_for(self._web_ui_is_open)
        except BaseException:
            self.stop()
            raise

    @property
    def _gate(self) -> IO[bytes] | None:
        """Locust's standard input, for as long as it waits there; None before it does and afterwards."""
        gate = None if self._process is None else self._process.stdin
        return None if gate is None or gate.closed else gate

    def _begin(self) -> None:
        """Let Locust send: a line on its standard input. At the end of it without one, it gives up."""
        if gate := self._gate:
            with contextlib.suppress(BrokenPipeError), gate:  # it has ended: `poll` tells why
                gate.write(b"begin\n")

    def poll(self) -> None:
        """Return while the load is being sent, and after `stop`; raise its true end otherwise."""
        code = None if self._process is None else self._process.poll()
        if code is not None and not self._stopped:
            raise self._early_end(code)

    def kill(self) -> None:
        """End Locust without warning; `poll` then tells of it."""
        if self._process is not None and not self._stopped and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Ask Locust to end (the requests under way are still answered and recorded), then kill what is left. Idempotent.

        It tells nothing of a load that had ended before: call `poll` first to be sure that it was sent until now.
        """
        if self._process is None or self._stopped:
            return
        self._stopped = True
        if gate := self._gate:
            gate.close()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Only while it is not reaped is its group surely the one that we started.
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def records(self) -> list[dict[str, Any]]:
        """Every answer so far, in the order of completion (within a flush of 0.1 s)."""
        self._records += self._reader.read_new()
        return self._records

    def summary(self, start: float, end: float) -> LoadSummary:
        """The requests that started in [start, end), in epoch seconds. UsageError unless the load is steady."""
        if self.spec.shape.kind != "steady":
            raise UsageError(f"load: a summary is held against one offered rate, which a {self.spec.shape.kind} does not have")
        return summarize(self.records(), offered_rps=self.spec.rps, start=start, end=end)

    def sent_by_locust(self) -> int:
        """The requests that Locust itself counted, for a load with `reports` that was stopped: a witness beside the record.

        Raises PlatformError when Locust left no count.
        """
        path = self.folder / "locust.json"
        try:
            return sum(int(entry["num_requests"]) for entry in json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            raise PlatformError(f"Locust left no count of its requests in {path}: see {self._log}") from None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id of Locust, also its process group; None before the start."""
        return None if self._process is None else self._process.pid

    @property
    def _log(self) -> Path:
        return self.folder / "locust.log"

    def _web_ui_is_open(self) -> bool:
        port = self.spec.web_ui_port
        return port is None or (self.pid is not None and owned_by(self.pid, WEB_HOST, port))

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            self.poll()
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"Locust did not start within {START_SECONDS:g} s; its last lines ({self._log}):\n"
                    + "\n".join(self._last_lines())
                )
            time.sleep(0.02)

    def _early_end(self, code: int) -> HarnessError:
        lines = self._last_lines()
        if told := full(self.folder, option="--report-dir"):
            return PlatformError(f"{told} (the load could not write down its answers, and ended)")
        if code == EXIT_USAGE and not record_path(self.folder).exists():  # with one, Locust's own word for an accident
            return UsageError(lines[-1] if lines else "Locust refused its command line")
        if code == 0:
            limit = self.spec.duration_limit_seconds
            return Inconclusive(f"the load reached its limit of {limit:g} s before the experiment ended; allow it more time")
        if code < 0:
            return Inconclusive(
                f"the load was ended by {_ending(code)} before the release was decided: a canary without users proves nothing; "
                f"run again (its log: {self._log})"
            )
        return PlatformError(f"Locust ended by itself with {_ending(code)}; its last lines ({self._log}):\n" + "\n".join(lines))

    def _last_lines(self) -> list[str]:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return [line for line in text.splitlines() if line.strip()][-LOG_LINES:]


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
