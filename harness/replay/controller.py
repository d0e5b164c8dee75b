"""AnalysisRuns judged by the real rollouts controller, on a control plane of its own that has nothing else to do.

Between the controller and Prometheus stands a small proxy of ours, which does one thing: it replaces the moment of each query.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import requests

from harness.errors import PlatformError, UsageError
from harness.hangups import ProxyServer
from harness.lint.subject import ERROR, mapping, sequence
from harness.loopback import local_session
from harness.platforms.local import binaries
from harness.platforms.local.components import apiserver as api_component
from harness.platforms.local.components import bootstrap, etcd, rollouts
from harness.platforms.local.config import APP_NAMESPACE, LOOPBACK, LocalConfig
from harness.platforms.local.paths import RunPaths
from harness.platforms.local.plan import configure, prepare
from harness.replay.analysis import Measurement, Metric, Outcome, Tally
from harness.replay.cases import Result
from harness.replay.clock import Pace, Schedule, hurried, pace
from harness.replay.evaluate import Run, times_of
from harness.replay.judge import NotModelled, moment
from harness.replay.prometheus import Prometheus, holding
from harness.replay.samples import Series
from harness.supervisor.plan import plan
from harness.supervisor.process import runnable_programs
from harness.supervisor.supervisor import Supervisor

AT_ONCE = 8
"""Different sets of series at a time, each of which needs a Prometheus."""
RUN_SECONDS = 120.0
"""Beyond its own schedule: retries of errors take ten seconds each."""
POLL_SECONDS = 0.1
_FINAL = frozenset({"Successful", "Failed", "Inconclusive", "Error"})


class Api:
    """The AnalysisRuns of one namespace."""

    def __init__(self, config: LocalConfig) -> None:
        self._session = local_session()
        self._session.verify = str(config.paths.pki / "ca.crt")
        self._session.cert = (str(config.cert("admin")), str(config.key("admin")))
        self._url = f"{config.apiserver_url}/apis/argoproj.io/v1alpha1/namespaces/{APP_NAMESPACE}/analysisruns"

    def create(self, made: dict[str, Any]) -> str:
        """Create one. Returns why the API refuses it; empty when it does not."""
        answer = self._session.post(self._url, json=made, timeout=30)
        return "" if answer.ok else str(answer.json().get("message", answer.reason))

    def all(self) -> dict[str, dict[str, Any]]:
        """Every AnalysisRun by its name."""
        answer = self._session.get(self._url, timeout=30)
        answer.raise_for_status()
        return {str(each["metadata"]["name"]): each for each in answer.json()["items"]}

    def terminate(self, name: str) -> None:
        """End one as a Rollout does that needs it no more."""
        headers = {"Content-Type": "application/merge-patch+json"}
        self._session.patch(f"{self._url}/{name}", json={"spec": {"terminate": True}}, headers=headers, timeout=30)


@contextmanager
def control_plane() -> Iterator[Api]:
    """etcd, the API server and the rollouts controller, until the block ends. Raises PlatformError when one does not start."""
    programs = binaries.find()
    if programs is None:
        raise UsageError("--controller needs the pinned programs: run ./run.sh setup once")
    folder = Path(tempfile.mkdtemp(prefix="gateproof-controller-"))
    try:
        paths = RunPaths(root=folder)
        config = configure(paths, programs)
        prepare(config)
        declared = [c for module in (etcd, api_component, bootstrap, rollouts) for c in module.components(config)]
        with Supervisor(plan(declared, existing=runnable_programs(declared)), paths.logs) as supervisor:
            supervisor.start()
            yield Api(config)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(kw_only=True)
class Watched:
    """One run under way: its schedules by the index of the metric, and the Prometheus that holds its series."""

    run: Run
    name: str
    prometheus: Prometheus
    pace: Pace
    start_ms: int
    until_ms: int
    schedules: dict[int, Schedule]
    began: float = field(default_factory=time.monotonic)
    ended: bool = False


class Proxy:
    """Passes each query on to the Prometheus of its run, at the moment that the run's schedule says."""

    def __init__(self) -> None:
        self.watched: dict[str, Watched] = {}
        self._lock = threading.Lock()
        self._server = ProxyServer((LOOPBACK, 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="gate-proxy")
        self._thread.start()

    def address(self, name: str, index: int) -> str:
        """Where one metric of one run asks."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/{name}/{index}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, form: dict[str, str]) -> requests.Response | None:
        """Prometheus' own answer; None for a path that is not ours."""
        _, name, index, *rest = path.split("/")
        watched = self.watched.get(name)
        if watched is None or rest[:2] != ["api", "v1"] or not index.isdecimal():
            return None
        with self._lock:
            schedule = watched.schedules[int(index)]
            at = schedule.moment(time.monotonic() * 1000)
        given = {**form, **_moments(schedule.metric, at, form)}
        return local_session().post(f"{watched.prometheus.url}/{'/'.join(rest)}", data=given, timeout=60)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                path, _, query = self.path.partition("?")
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                form = {key: values[0] for text in (query, body) for key, values in parse_qs(text).items()}
                try:
                    answer = proxy.answer(path, form)
                except (requests.RequestException, KeyError, ValueError):
                    answer = None
                content = answer.content if answer is not None else b""
                self.send_response(answer.status_code if answer is not None else 502)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST  # noqa: N815 -- the base class' name

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler


def _moments(metric: Metric, at: int, form: dict[str, str]) -> dict[str, str]:
    """The times of a query, replaced."""
    if "time" in form or "start" not in form:
        return {"time": f"{at / 1000:.3f}"}
    ranged = mapping(mapping(mapping(metric.spec.get("provider")).get("prometheus")).get("rangeQuery"))
    try:
        return {key: f"{moment(str(ranged.get(key, '')), at, metric.name) / 1000:.3f}" for key in ("start", "end")}
    except NotModelled:
        shift = at / 1000 - time.time()
        return {key: f"{float(form[key]) + shift:.3f}" for key in ("start", "end")}


def judged(runs: Sequence[Run]) -> list[Result]:
    """What the real controller makes of each, in their order. Raises PlatformError."""
    groups: dict[tuple[Series, ...], list[int]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(run.case.series, []).append(index)
    results: dict[int, Result] = {}
    with control_plane() as api:
        proxy = Proxy()
        try:
            every = list(groups.items())
            for first in range(0, len(every), AT_ONCE):
                with ExitStack() as stack:
                    for series, indices in every[first : first + AT_ONCE]:
                        prometheus = stack.enter_context(holding(series))
                        for index in indices:
                            name = f"run-{index}"
                            proxy.watched[name] = _watched(runs[index], name, prometheus)
                            results[index] = _begin(proxy.watched[name], proxy, api)
                    _follow(proxy, api, results)
                    proxy.watched.clear()
        finally:
            proxy.close()
    return [results[index] for index in range(len(runs))]


def _watched(run: Run, name: str, prometheus: Prometheus) -> Watched:
    start, until = times_of(run.case)
    chosen = pace(run.metrics)
    schedules = {index: Schedule(metric=each, start_ms=start, pace=chosen) for index, each in enumerate(run.metrics)}
    return Watched(
        run=run, name=name, prometheus=prometheus, pace=chosen, start_ms=start, until_ms=until, schedules=schedules
    )


def _begin(watched: Watched, proxy: Proxy, api: Api) -> Result:
    """Create the AnalysisRun. The result is that of a refusal, until a better one takes its place."""
    run = watched.run
    known = {each.name: (index, each) for index, each in enumerate(run.metrics)}
    lead = min((each.delay_ms for each in run.metrics), default=0)
    metrics = []
    for spec in run.subject.metrics:
        index, metric = known.get(str(spec.get("name")), (0, None))
        if metric is None and not run.refused:
            continue  # another provider: it is left out, and noted
        metrics.append(hurried(spec, metric, watched.pace, lead, proxy.address(watched.name, index)))
    spec = {
        "metrics": metrics, "args": [{"name": key, "value": value} for key, value in run.subject.args.items()],
        "dryRun": [{"metricName": each} for each in run.subject.dry_run],
        "measurementRetention": [{"metricName": ".*", "limit": 10_000}],
    }
    made = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": watched.name}, "spec": spec}
    refusal = api.create(made)
    if refusal:
        proxy.watched.pop(watched.name)
    return _result(watched, Outcome(phase=ERROR, reason=refusal, at_ms=watched.start_ms, tallies=()))


def _result(watched: Watched, outcome: Outcome) -> Result:
    return Result(case=watched.run.case, subject=watched.run.subject.name, outcome=outcome, notes=watched.run.notes)


def _follow(proxy: Proxy, api: Api, results: dict[int, Result]) -> None:
    """Wait until every run has ended; one that would go on for ever is ended when its series do."""
    waiting = dict(proxy.watched)
    while waiting:
        found = api.all()
        for name, watched in list(waiting.items()):
            status = mapping(found.get(name, {}).get("status"))
            if status.get("phase") in _FINAL:
                results[int(name.removeprefix("run-"))] = _result(watched, outcome_of(watched, status))
                del waiting[name]
                continue
            elapsed = time.monotonic() - watched.began
            planned = (watched.until_ms - watched.start_ms) / 1000 * watched.pace.factor
            if not watched.ended and _only_endless(watched, status):
                watched.ended = True
                api.terminate(name)
            if elapsed > planned + RUN_SECONDS:
                raise PlatformError(f"case {watched.run.case.name!r}: the controller had not decided it after {elapsed:.0f} s")
        time.sleep(POLL_SECONDS)


def _only_endless(watched: Watched, status: dict[str, Any]) -> bool:
    """Whether nothing is left but metrics without a count, and each of them would be measured next beyond the series' end."""
    results = {each.get("name"): each for each in map(mapping, sequence(status.get("metricResults")))}
    left = [each for each in watched.schedules.values() if results.get(each.metric.name, {}).get("phase") not in _FINAL]
    return bool(left) and all(
        each.metric.count is None and each.asked and each.asked[-1] + (each.metric.interval_ms or 0) > watched.until_ms
        and len(sequence(results.get(each.metric.name, {}).get("measurements"))) == len(each.asked)
        for each in left
    )


def outcome_of(watched: Watched, status: dict[str, Any]) -> Outcome:
    """An AnalysisRun's status as an outcome; moments are those at which the queries were evaluated."""
    results = {str(each.get("name")): each for each in map(mapping, sequence(status.get("metricResults")))}
    tallies, last = [], watched.start_ms
    for index, metric in enumerate(watched.run.metrics):
        result, asked = results.get(metric.name, {}), watched.schedules[index].asked
        tally = Tally(metric=metric)
        for number, each in enumerate(map(mapping, sequence(result.get("measurements")))):
            at = asked[number] if number < len(asked) else watched.start_ms
            tally.add(Measurement(
                at_ms=at, phase=str(each.get("phase", "")), value=str(each.get("value", "")), message=str(each.get("message", ""))
            ))
            last = max(last, at)
        # The controller's own word, not ours.
        tally.phase, tally.reason = str(result.get("phase", "")), str(result.get("message", ""))
        tallies.append(tally)
    return Outcome(
        phase=str(status["phase"]), reason=str(status.get("message", "")), at_ms=last, tallies=tuple(tallies), ended=watched.ended
    )
