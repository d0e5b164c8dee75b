"""What the users do: GET / at one even total rate, every answer recorded, nothing retried.

Runs by itself, with Locust's web UI at http://127.0.0.1:8089:

    locust -f loadtest/locustfile.py --host http://127.0.0.1:8081

and without: add `--headless --users 200 --spawn-rate 200 --run-time 60s --record answers.jsonl`.
`--rps` is the total over all users. `--users` only bounds how many requests may be under way at once: the model is closed,
so there must be at least rate x slowest answer of them, and twice that is a good choice.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import gevent
import geventhttpclient.client
from flask import jsonify, request
from guard import ALLOW_HOST, die_with_parent, refusal
from locust import FastHttpUser, events, task
from locust.contrib.fasthttp import LocustBadStatusCode
from locust.env import Environment
from locust.exception import StopTest, StopUser
from locust.html import get_html_report
from pacing import Turns
from recorder import Record, Recorder

FLUSH_SECONDS = 0.1
TIMEOUT_SECONDS = 10.0
STOP_SECONDS = 12
EXIT_USAGE = 2
EXIT_RECORD_LOST = 5

# The HTTP client under FastHttpUser sends an idempotent request again when the connection closes without an answer, whatever
# max_retries says. To users that is a failed request, and it must be counted as one: no method may be repeated.
if not isinstance(geventhttpclient.client.IDEMPOTENT_METHODS, frozenset):
    sys.exit("geventhttpclient changed: its hidden retries can no longer be switched off by IDEMPOTENT_METHODS")
geventhttpclient.client.IDEMPOTENT_METHODS = frozenset()

die_with_parent()


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a finite number above 0")
    return value


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    """Our own options; Locust's parser knows three arguments more than argparse's, hence Any."""
    parser.add_argument("--rps", type=_positive, default=50.0, env_var="GATEPROOF_RPS", help="Requests per second in total")
    parser.add_argument(
        "--host-header", default="webapp.local", env_var="GATEPROOF_HOST_HEADER", help="Host header of every request"
    )
    hidden = {"include_in_web_ui": False}
    parser.add_argument("--record", env_var="GATEPROOF_RECORD", help="Append each answer to this file as a JSON line", **hidden)
    parser.add_argument("--seed", type=int, default=1, env_var="GATEPROOF_SEED", help="Seed of the arrival times", **hidden)
    parser.add_argument(
        "--max-run-time",
        type=_positive,
        default=3600.0,
        env_var="GATEPROOF_MAX_RUN_TIME",
        help="Seconds after which a load started in the web UI is stopped (default 1 h)",
        **hidden,
    )
    # Locust would start with one user, and offer its web UI to the whole network.
    # Without a stop time-out it cuts off the requests under way: the server has counted them, and no answer is recorded.
    parser.set_defaults(num_users=200, spawn_rate=200, web_host="127.0.0.1", stop_timeout=STOP_SECONDS)


def _options(environment: Environment) -> argparse.Namespace:
    options: argparse.Namespace | None = environment.parsed_options
    if options is None:
        sys.exit("this file is run by the locust program, which gives it its options")
    return options


def _usage_error(line: str) -> None:
    sys.stderr.write(f"loadtest: {line}\n")
    sys.exit(EXIT_USAGE)


@events.init.add_listener
def prepare(environment: Environment, web_ui: Any = None, **_: object) -> None:
    """Check what was asked for, then open the record: a record file that exists says that the load is about to start."""
    options = _options(environment)
    if options.master or options.worker:  # what --processes sets, too
        _usage_error("run it in one process: each further one would send the whole rate again")
    # The web UI may be opened without a host, which its form asks for.
    if (options.host or options.headless or options.autostart) and (line := _refusal(options.host)):
        _usage_error(line)
    if options.headless and not options.run_time:
        _usage_error("a headless load must be bounded: give --run-time, e.g. --run-time 60s")
    environment.host = options.host.rstrip("/") if options.host else None
    WebappUser.turns = Turns(seed=options.seed)
    environment.events.quit.add_listener(lambda **_: _keep_html(environment))
    if web_ui is not None:
        _guard_web_ui(environment, web_ui)
    if options.record:
        try:
            _record_answers(environment, Recorder(Path(options.record)))
        except OSError as error:
            _usage_error(f"cannot write --record {options.record}: {error.strerror}")


@events.test_start.add_listener
def allow_requests(**_: object) -> None:
    """A load begins (the web UI may begin several)."""
    WebappUser.stopping = False


@events.test_stopping.add_listener
def allow_no_more_requests(**_: object) -> None:
    """Locust stops its users one by one; whoever's turn comes meanwhile would send a request and be killed in it."""
    WebappUser.stopping = True


def _keep_html(environment: Environment) -> None:
    # Locust writes its HTML report at Ctrl-C and at the time limit, and forgets it at SIGTERM.
    if path := _options(environment).html_file:
        Path(path).write_text(get_html_report(environment, show_download_link=False), encoding="utf-8")


def _refusal(url: str | None) -> str | None:
    return refusal(url, os.environ.get(ALLOW_HOST))


def _record_answers(environment: Environment, recorder: Recorder) -> None:
    WebappUser.recorder = recorder

    def flush_for_ever() -> None:
        while True:
            gevent.sleep(FLUSH_SECONDS)
            flush()

    def flush(**_: object) -> None:
        try:
            recorder.flush()
        except OSError as error:
            # Half a record proves nothing: better no load than answers that nobody can count.
            sys.stderr.write(f"loadtest: answers are lost, the record cannot be written: {error.strerror}\n")
            sys.stderr.flush()
            os._exit(EXIT_RECORD_LOST)

    gevent.spawn(flush_for_ever)
    # `quitting` comes before the users are stopped, `quit` after their last answers.
    environment.events.quitting.add_listener(flush)
    environment.events.quit.add_listener(flush)


def _guard_web_ui(environment: Environment, web_ui: Any) -> None:
    cap: list[gevent.Greenlet] = []

    @web_ui.app.before_request  # type: ignore[untyped-decorator, unused-ignore]
    def refuse_foreign_host() -> Any:
        if request.path.endswith("/swarm") and (line := _refusal(request.form.get("host", environment.host))):
            logging.getLogger(__name__).error(line)
            return jsonify({"success": False, "message": line, "host": environment.host})
        return None

    def stop_at_cap() -> None:
        logging.getLogger(__name__).warning("stopped: a load from the web UI ends after --max-run-time")
        if environment.runner is not None:
            environment.runner.stop()

    @environment.events.test_start.add_listener
    def start_cap(**_: object) -> None:
        cap.append(gevent.spawn_later(_options(environment).max_run_time, stop_at_cap))

    @environment.events.test_stop.add_listener
    def cancel_cap(**_: object) -> None:
        while cap:
            greenlet = cap.pop()
            if greenlet is not gevent.getcurrent():
                greenlet.kill(block=False)


def _error(status: int, exception: BaseException | None) -> str | None:
    if exception is None:
        return None
    if isinstance(exception, LocustBadStatusCode):
        return f"HTTP {status}"
    cause = getattr(exception, "original", None) or exception
    return f"{type(cause).__name__}: {cause}"


class WebappUser(FastHttpUser):
    """A user with a connection of its own, who asks for / at each of its turns."""

    turns: Turns
    recorder: Recorder | None = None
    stopping = False

    connection_timeout = TIMEOUT_SECONDS
    network_timeout = TIMEOUT_SECONDS
    concurrency = 1
    max_retries = 0
    max_redirects = 0

    def __init__(self, environment: Environment) -> None:
        # The last wall: nothing that changed the host since the start gets past it.
        if line := _refusal(environment.host):
            raise StopTest(line)
        super().__init__(environment)
        self._options = _options(environment)
        self._headers = {"Host": self._options.host_header}

    def wait_time(self) -> float:
        """Seconds until this user's next turn; `--rps` is read each time, because the web UI may change it."""
        return self.turns.wait(time.monotonic(), self._options.rps)

    def on_start(self) -> None:
        """Also the first request waits for its turn; `wait` and not `sleep`, so that a stop need not wait for it."""
        self.wait()

    @task
    def home(self) -> None:
        """One GET /. Every status of 400 and above is a failure, as is an answer that did not arrive whole."""
        if self.stopping:
            raise StopUser
        started, clock = time.time(), time.perf_counter()
        try:
            response = self.client.get("/", headers=self._headers, catch_response=True)
        except gevent.GreenletExit:
            self._record(started, time.perf_counter() - clock, 0, {}, "cut off: no answer before the load had to end")
            raise
        latency = time.perf_counter() - clock
        with response:
            exception = response.request_meta["exception"]
            whole = exception is None or isinstance(exception, LocustBadStatusCode)
            error = _error(response.status_code, exception)
            self._record(started, latency, response.status_code if whole else 0, response.headers or {}, error)

    def _record(self, started: float, latency: float, status: int, headers: Any, error: str | None) -> None:
        if self.recorder is None:
            return
        version, pod = headers.get("X-App-Version"), headers.get("X-Pod-Name")
        at = started + latency
        self.recorder.add(Record(started=started, at=at, status=status, version=version, pod=pod, latency=latency, error=error))
