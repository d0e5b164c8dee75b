"""What the users do: one stream of requests at the rate of the moment, every answer recorded, nothing retried.

Runs by itself, with Locust's web UI at http://127.0.0.1:8089:

    locust -f loadtest/locustfile.py --host http://127.0.0.1:8081

and without: add `--headless --run-time 60s --record answers.jsonl`. docs/loadtest.md has shapes, routes and recipes.
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
from gevent.event import Event
from guard import ALLOW_HOST, die_with_parent, refusal, wait_to_begin
from locust import FastHttpUser, events, task
from locust.contrib.fasthttp import LocustBadStatusCode
from locust.env import Environment
from locust.exception import StopTest, StopUser
from recorder import Record, Recorder
from reports import complete_csv, complete_html, end_once
from traffic.pacing import Turns
from traffic.plan import OPTIONS, SHAPES, Plan, plan_from, unused
from traffic.routes import Mix, Route
from webui import guard

FLUSH_SECONDS = 0.1
TIMEOUT_SECONDS = 10.0
STOP_SECONDS = 12
EXIT_USAGE = 2
EXIT_RECORD_LOST = 5
ONE_PROCESS = "run it in one process: each further one would send the whole rate again"

# The HTTP client under FastHttpUser sends an idempotent request again when the connection closes without an answer, whatever
# max_retries says. To users that is a failed request, and it must be counted as one: no method may be repeated.
if not isinstance(geventhttpclient.client.IDEMPOTENT_METHODS, frozenset):
    sys.exit("geventhttpclient changed: its hidden retries can no longer be switched off by IDEMPOTENT_METHODS")
geventhttpclient.client.IDEMPOTENT_METHODS = frozenset()

complete_csv()
die_with_parent()


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a finite number above 0")
    return value


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    """Our own options; Locust's parser knows three arguments more than argparse's, hence Any."""
    for name, option in OPTIONS.items():
        # The web form offers the choices, and the plan checks what comes from anywhere.
        more: dict[str, Any] = {"choices": SHAPES, "type": lambda text: text or SHAPES[0]} if name == "shape" else {}
        parser.add_argument(option.flag, dest=name, default=option.default, env_var=option.variable, help=option.help, **more)
    hidden = {"include_in_web_ui": False}
    parser.add_argument("--record", env_var="GATEPROOF_RECORD", help="Append each answer to this file as a JSON line", **hidden)
    parser.add_argument(
        "--seed", type=int, default=1, env_var="GATEPROOF_SEED", help="Seed of the arrival times and of the routes", **hidden
    )
    parser.add_argument(
        "--max-run-time",
        type=_positive,
        default=3600.0,
        env_var="GATEPROOF_MAX_RUN_TIME",
        help="Seconds after which a load started in the web UI is stopped (default 1 h)",
        **hidden,
    )
    for action in parser._actions:
        if action.dest == "processes":  # refused before Locust forks: its way out of that takes seconds, if it ends at all
            action.type = lambda _: _usage_error(ONE_PROCESS)
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
    if options.master or options.worker:
        _usage_error(ONE_PROCESS)
    # The web UI may be opened without a host, which its form asks for.
    if (options.host or options.headless or options.autostart) and (line := _refusal(options.host)):
        _usage_error(line)
    if options.headless and not options.run_time:
        _usage_error("a headless load must be bounded: give --run-time, e.g. --run-time 60s")
    environment.host = options.host.rstrip("/") if options.host else None
    try:
        STREAM.begin(plan_from(vars(options)), options.seed)
    except ValueError as error:
        _usage_error(str(error))
    for flag in unused(vars(options)):
        logging.getLogger(__name__).warning("%s has no effect on a load of the shape %s", flag, options.shape)
    complete_html(environment, options.html_file)
    end_once(environment)
    if web_ui is not None:
        guard(
            environment,
            web_ui,
            max_run_time=options.max_run_time,
            refusal=lambda form: _form_refusal(environment, form),
            accepted=lambda: STREAM.follow(plan_from(vars(options)), options.seed),
        )
    if options.record:
        try:
            _record_answers(environment, Recorder(Path(options.record)))
        except OSError as error:
            _usage_error(f"cannot write --record {options.record}: {error.strerror}")
    # Nothing else may go on meanwhile, so this blocks; the time limit is to count from now on, and not from before.
    wait_to_begin()
    gevent.get_hub().loop.update_now()


@events.test_start.add_listener
def allow_requests(environment: Environment, **_: object) -> None:
    """A load begins (the web UI may begin several, each from the start of its shape)."""
    options = _options(environment)
    STREAM.begin(plan_from(vars(options)), options.seed)
    WebappUser.stopping = False


@events.test_stopping.add_listener
def allow_no_more_requests(**_: object) -> None:
    """Locust stops its users one by one; whoever's turn comes meanwhile would send a request and be killed in it."""
    WebappUser.stopping = True


def _refusal(url: str | None) -> str | None:
    return refusal(url, os.environ.get(ALLOW_HOST))


def _form_refusal(environment: Environment, form: dict[str, Any]) -> str | None:
    """Why the web form cannot be followed: Locust would take each value as it is."""
    if line := _refusal(form.get("host", environment.host)):
        return line
    try:
        plan_from(vars(_options(environment)) | form)
    except ValueError as error:
        return str(error)
    return None


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


class Stream:
    """The requests to be sent, shared by all users."""

    plan: Plan
    _turns: Turns
    _mix: Mix

    def __init__(self) -> None:
        self._changed = Event()

    def begin(self, plan: Plan, seed: int) -> None:
        """Send by `plan` from now on. Whoever waits for a turn of the one before gives it back."""
        self.plan = plan
        self._turns = Turns(plan.shape, seed=seed)
        self._mix = Mix(plan.routes, header_share=plan.header_share, seed=seed)
        changed, self._changed = self._changed, Event()
        changed.set()

    def follow(self, plan: Plan, seed: int) -> None:
        """Begin with `plan` if it asks for something else than the one being sent."""
        if plan.asked != self.plan.asked:
            self.begin(plan, seed)

    def next(self) -> tuple[Route, bool]:
        """Wait for the calling user's turn; what it shall ask for, and whether with the header."""
        while True:
            chosen = self._mix.draw()
            if not self._changed.wait(self._turns.wait(time.monotonic())):
                return chosen


STREAM = Stream()


def _error(status: int, exception: BaseException | None) -> str | None:
    if exception is None:
        return None
    if isinstance(exception, LocustBadStatusCode):
        return f"HTTP {status}"
    cause = getattr(exception, "original", None) or exception
    return f"{type(cause).__name__}: {cause}"


class WebappUser(FastHttpUser):
    """A user with a connection of its own, who sends one request at each of its turns."""

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

    def wait_time(self) -> float:
        """Wait for this user's turn: here, where Locust may end a user at once, and where a changed plan can cut it short."""
        self._chosen = STREAM.next()
        return 0.0

    def on_start(self) -> None:
        """Also the first request waits for its turn; `wait` and not `sleep`, so that a stop need not wait for it."""
        self.wait()

    @task
    def request(self) -> None:
        """One request. Every status of 400 and above is a failure, as is an answer that did not arrive whole."""
        if self.stopping:
            raise StopUser
        (route, marked), plan = self._chosen, STREAM.plan
        headers = {"Host": plan.host_header}
        if marked and plan.header is not None:
            headers[plan.header[0]] = plan.header[1]
        record = Record(
            started=time.time(), at=0, status=0, version=None, pod=None, latency=0, error=None, route=route.name,
            marked=len(headers) > 1,
        )  # fmt: skip
        clock = time.perf_counter()
        try:
            response = self.client.request(route.method, route.path, name=route.path, headers=headers, catch_response=True)
        except gevent.GreenletExit:
            self._record(record, clock, error="cut off: no answer before the load had to end")
            raise
        with response:
            exception = response.request_meta["exception"]
            whole = exception is None or isinstance(exception, LocustBadStatusCode)
            answer = response.headers or {}
            self._record(
                record,
                clock,
                status=response.status_code if whole else 0,
                version=answer.get("X-App-Version"),
                pod=answer.get("X-Pod-Name"),
                error=_error(response.status_code, exception),
            )

    def _record(self, record: Record, clock: float, **came: Any) -> None:
        latency = time.perf_counter() - clock
        record.update(came, latency=latency, at=record["started"] + latency)  # type: ignore[call-arg, unused-ignore]
        if self.recorder is not None:
            self.recorder.add(record)
