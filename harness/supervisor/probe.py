"""Asking a component whether it is ready. Each question is short; a failure is an answer, never an exception."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from urllib.parse import urlsplit

from harness.supervisor.component import Component, ExecProbe, HttpProbe, LogProbe, TcpProbe
from harness.supervisor.ports import foreign_holder
from harness.supervisor.process import POLL_INTERVAL, Process

ANSWER_TIMEOUT = 2.0  # seconds, for each step of an exchange and for the whole of an exec probe
ANSWER_LENGTH = 200  # characters of an answer that are worth showing


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a probe found: whether that means ready, and its words for an error message."""

    ready: bool
    text: str


class Prober:
    """Asks the ready probe of one started component; keeps its place in the log from question to question."""

    def __init__(self, component: Component, process: Process) -> None:
        self._component = component
        self._process = process
        self._log_position = process.log_start
        self._log_rest = b""

    def ask(self) -> Answer:
        """Ask once. Ready only if nobody else serves the component's ports: a stranger's answer proves nothing."""
        answer = self._ask_probe()
        return self._verify_ports(answer) if answer.ready else answer

    def _ask_probe(self) -> Answer:
        match self._component.ready:
            case HttpProbe() as probe:
                return ask_http(probe)
            case TcpProbe() as probe:
                return ask_tcp(probe)
            case ExecProbe() as probe:
                return ask_exec(probe, self._component, scratch=self._process.log.with_suffix(".probe.log"))
            case LogProbe() as probe:
                return self._ask_log(probe)
            case None:
                return Answer(ready=True, text="no probe")

    def _ask_log(self, probe: LogProbe) -> Answer:
        with self._process.log.open("rb") as log:
            log.seek(self._log_position)
            new = log.read()
        self._log_position += len(new)
        text = self._log_rest + new
        self._log_rest = text[text.rfind(b"\n") + 1 :]
        pattern = re.compile(probe.pattern)
        for line in text.decode(errors="replace").splitlines():
            if pattern.search(line):
                return Answer(ready=True, text=_short(line))
        return Answer(ready=False, text="no such line yet")

    def _verify_ports(self, answer: Answer) -> Answer:
        pid = self._process.pid
        for port in self._component.ports:
            stranger = None if pid is None else foreign_holder(pid, port.host, port.number)
            if stranger is not None:
                return Answer(ready=False, text=f"port {port} is served by {stranger}, not by this component")
        return answer


def ask_http(probe: HttpProbe) -> Answer:
    """GET the probe's URL, straight to the address in it: no proxy of the environment, and no redirect followed."""
    url = urlsplit(probe.url)
    try:
        host = url.hostname or ""
        connection = (
            http.client.HTTPSConnection(host, url.port, timeout=ANSWER_TIMEOUT, context=_trust(probe))
            if url.scheme == "https"
            else http.client.HTTPConnection(host, url.port, timeout=ANSWER_TIMEOUT)
        )
        try:
            connection.request("GET", (url.path or "/") + (f"?{url.query}" if url.query else ""))
            response = connection.getresponse()
            body = response.read(ANSWER_LENGTH).decode(errors="replace")
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Answer(ready=False, text=_short(str(error) or type(error).__name__))
    return Answer(ready=response.status < 400, text=_short(f"status {response.status}: {body}"))


def ask_tcp(probe: TcpProbe) -> Answer:
    """Open a connection and close it again."""
    try:
        with socket.create_connection((probe.host, probe.port), timeout=ANSWER_TIMEOUT):
            return Answer(ready=True, text="connected")
    except OSError as error:
        return Answer(ready=False, text=_short(str(error)))


def ask_exec(probe: ExecProbe, component: Component, *, scratch: Path) -> Answer:
    """Run the probe's program with the component's environment and folder; its output goes to ``scratch`` for a moment."""
    scratch.unlink(missing_ok=True)
    process = Process(probe.argv, env=component.env, cwd=component.cwd, log=scratch)
    try:
        process.start()
        deadline = time.monotonic() + ANSWER_TIMEOUT
        while (code := process.poll()) is None and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL)
    except OSError as error:
        return Answer(ready=False, text=_short(str(error)))
    finally:
        process.stop(SIGKILL)
    ended = f"no end within {ANSWER_TIMEOUT:g} s" if code is None else f"exit code {code}"
    said = " ".join(process.log_tail(3))
    scratch.unlink(missing_ok=True)
    return Answer(ready=code == 0, text=_short(f"{ended}: {said}" if said else ended))


def _trust(probe: HttpProbe) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if probe.ca_file is None else str(probe.ca_file))
    if probe.cert_file is not None:
        context.load_cert_chain(probe.cert_file, probe.key_file)
    return context


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= ANSWER_LENGTH else line[: ANSWER_LENGTH - 1] + "…"
