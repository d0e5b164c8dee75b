"""Cases on real Prometheus: each AnalysisRun played to its end, each measurement a query of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from harness.errors import Interrupted, UsageError
from harness.lint.subject import ERROR, mapping
from harness.replay.analysis import Invalid, Measurement, Metric, Outcome, play
from harness.replay.cases import Case, Result
from harness.replay.judge import NotModelled, measurement, moment
from harness.replay.prometheus import DEFAULT_TIMEOUT_SECONDS, Answer, Prometheus, holding
from harness.replay.samples import Series, span
from harness.replay.subjects import Subject, metrics_of, with_args

AT_ONCE = 3
"""Prometheuses at a time, each with its own series: more would only wait for the processor."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One AnalysisRun to be played: a case and what is played in it. `refused`: why it would measure nothing."""

    case: Case
    subject: Subject
    metrics: tuple[Metric, ...] = ()
    refused: str = ""
    notes: tuple[str, ...] = ()


def runs_of(cases: Iterable[Case], subjects: Sequence[Subject]) -> list[Run]:
    """Every AnalysisRun that the cases ask for. Raises UsageError for what cannot be played."""
    found = []
    for case in cases:
        chosen = [each for each in subjects if case.template is None or case.template in (each.name, *each.templates)]
        if not chosen:
            names = ", ".join(sorted({each.name for each in subjects}))
            raise UsageError(f"case {case.name!r}: there is no template {case.template} (there are {names})")
        found += [_run(case, with_args(each, case.args)) for each in chosen]
    return found


def _run(case: Case, subject: Subject) -> Run:
    try:
        metrics = metrics_of(subject)
    except Invalid as error:
        return Run(case=case, subject=subject, refused=str(error))
    notes = []
    playable = []
    for each in metrics:
        provider = next(iter(mapping(each.spec.get("provider"))), "")
        if provider == "prometheus":
            playable.append(each if case.at_ms is None else replace(each, delay_ms=0))
        else:
            notes.append(f"metric {each.name} asks {provider}, not Prometheus: it is left out")
    if not playable:
        raise UsageError(f"{subject.name}: no metric of it asks Prometheus")
    unknown = sorted(set(case.metrics) - {each.name for each in metrics})
    if unknown:
        raise UsageError(f"case {case.name!r} expects something of the metric {unknown[0]}, which {subject.name} does not have")
    return Run(case=case, subject=subject, metrics=tuple(playable), notes=tuple(notes))


def evaluate(runs: Sequence[Run]) -> list[Result]:
    """What comes out of each, in their order. Cases that share their series share a Prometheus.

    Raises:
        UsageError: a condition is beyond what is known exactly.
        PlatformError: Prometheus does not start, or takes no series.

    """
    groups: dict[tuple[Series, ...], list[int]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(run.case.series, []).append(index)
    results: dict[int, Result] = {}
    stopped = threading.Event()

    def work(series: tuple[Series, ...], indices: Sequence[int]) -> None:
        with holding(series) as prometheus:
            for index in indices:
                results[index] = played(runs[index], prometheus, stopped)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for job in [pool.submit(work, series, indices) for series, indices in groups.items()]:
                job.result()
        except BaseException:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [results[index] for index in range(len(runs))]


def times_of(case: Case) -> tuple[int, int]:
    """(when the AnalysisRun begins, how long one lasts that nothing else ends), in milliseconds."""
    covered = span(case.series)
    end = covered[1] if covered else 0
    if case.at_ms is not None:
        return case.at_ms, max(end, case.at_ms)
    start = case.start_ms if case.start_ms is not None else 0
    return start, max(end, start)


def played(run: Run, prometheus: Prometheus, stopped: threading.Event) -> Result:
    """One AnalysisRun on a Prometheus that holds its series. Raises UsageError, and Interrupted once `stopped` is set."""

    def look(metric: Metric, at_ms: int) -> Measurement:
        if stopped.is_set():
            raise Interrupted("interrupted")
        return measure(prometheus, metric, at_ms)

    start, until = times_of(run.case)
    if run.refused:
        outcome = Outcome(phase=ERROR, reason=run.refused, at_ms=start, tallies=())
    else:
        try:
            outcome = play(run.metrics, look, start_ms=start, until_ms=until)
        except NotModelled as error:
            told = "what the controller makes of it is not known exactly"
            raise UsageError(f"{error}: {told}; ask the controller itself, with --controller") from None
    return Result(case=run.case, subject=run.subject.name, outcome=outcome, notes=run.notes)


def measure(prometheus: Prometheus, metric: Metric, at_ms: int) -> Measurement:
    """One measurement at one moment. Raises NotModelled."""
    answer = ask(prometheus, metric, at_ms)
    return measurement(metric.spec, at_ms, answer.values, scalar=answer.scalar, error=answer.error)


def ask(prometheus: Prometheus, metric: Metric, at_ms: int) -> Answer:
    """What the metric's query gives at one moment."""
    asked = mapping(mapping(metric.spec.get("provider")).get("prometheus"))
    query, timeout = str(asked.get("query", "")), float(asked.get("timeout", DEFAULT_TIMEOUT_SECONDS))
    ranged = asked.get("rangeQuery")
    if ranged is None:
        return prometheus.query(query, at_ms, timeout)
    start, end = (moment(str(ranged.get(key, "")), at_ms, metric.name) for key in ("start", "end"))
    step = moment(f'now()+duration("{ranged.get("step", "")}")', 0, metric.name)
    return prometheus.query_range(query, start, end, step, timeout)
