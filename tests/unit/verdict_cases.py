"""Every mutation of a good release, with the check that must notice it and the exit code of the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import verdict_world as w
from verdict_mutations import (
    break_one,
    by_hand,
    drop_record,
    duplicate_run,
    fail_metric,
    foreign_run,
    gap,
    hide_errors,
    later_analysis,
    linger,
    metric,
    other_analysis,
    promote_full,
    relabel,
    samples,
    set_value,
    slow_load,
    spec_changes,
    starve,
    status,
    to_stable,
)

from harness.scenario import Decision

P, R = Decision.PROMOTE, Decision.ROLLBACK
BY_HAND = "RolloutAborted: Rollout aborted update to revision 2"


def load(world: w.World, **change: Any) -> None:
    """Change what the load generator reports."""
    summary = world.observation().load
    assert summary is not None
    world.facts["load"] = replace(summary, **change)


@dataclass(frozen=True)
class Case:
    """One mutation: what it does to which good world, which check must fail, and the exit code of the whole."""

    name: str
    decision: Decision
    check: str
    code: int
    mutate: Callable[[w.World], Any]


CASES = [
    # -- the experiment ------------------------------------------------------------------------------------------------------
    Case("no final samples", P, "observation", 3, lambda x: x.samples.clear()),
    Case("no answers", P, "observation", 3, lambda x: x.records.clear()),
    Case("no states", R, "observation", 3, lambda x: x.rollouts.clear()),
    Case("no weights", P, "observation", 3, lambda x: x.services.clear()),
    Case("no load summary", P, "observation", 3, lambda x: x.facts.update(load=None)),
    Case("no candidate hash", P, "observation", 3, lambda x: x.facts.update(candidate_hash="")),
    Case("candidate is stable", P, "observation", 3, lambda x: x.facts.update(candidate_hash=w.STABLE)),
    Case("second release in between", P, "one release", 3, spec_changes),
    Case("second release in between, rollback", R, "one release", 3, spec_changes),
    Case("another rollout of the same name", P, "one release", 3, lambda x: x.rollouts[-1][1]["metadata"].update(uid="other")),
    Case("another namespace", P, "one release", 3, lambda x: x.rollouts[-1][1]["metadata"].update(namespace="other")),
    Case("spec changed, same hash", P, "one release", 3, lambda x: x.rollouts[-1][1]["spec"].update(replicas=9)),
    Case("aborted and retried", R, "one release", 3, lambda x: x.rollouts.append((x.end - 1, w.rollout(step=1, weight=10)))),
    Case(
        "candidate before the release",
        P,
        "baseline",
        3,
        lambda x: x.records[5].update(version="v1.1", pod=f"webapp-{w.CANDIDATE}-q"),
    ),
    Case("no answers before the release", P, "baseline", 3, lambda x: drop_record(x, lambda r: r["at"] >= w.START)),
    Case("unhealthy before the release", R, "baseline", 3, lambda x: status(x, 0).update(phase="Degraded")),
    Case("weights before the release", R, "baseline", 3, lambda x: x.services.insert(1, (w.START - 5, w.virtual_service(20)))),
    Case("load too low", P, "offered load", 3, slow_load),
    Case("load stalls at one step", P, "offered load", 3, gap),
    Case("load ends early", R, "offered load", 3, lambda x: load(x, ended=w.START + 9)),
    Case("generator reports less", R, "offered load", 3, lambda x: load(x, achieved_rps=47)),
    Case("generator reports NaN", R, "offered load", 3, lambda x: load(x, achieved_rps=float("nan"))),
    Case("other load than asked for", P, "offered load", 3, lambda x: load(x, offered_rps=60)),
    Case("answers not on record", P, "offered load", 3, lambda x: load(x, sent=len(x.records) + 100)),
    Case(
        "load stops at the abort",
        R,
        "load after the abort",
        3,
        lambda x: drop_record(x, lambda r: r["started"] < x.rollouts[-1][0] + 1),
    ),
    Case("wrong version under the right name", P, "version identity", 3, lambda x: [r.update(version="v1.0") for r in x.records]),
    Case("answers from unknown pods", P, "version identity", 3, lambda x: [r.update(pod=None) for r in x.records]),
    Case("candidate runs another image", P, "version identity", 3, lambda x: x.facts.update(candidate_image=w.IMAGES[w.STABLE])),
    Case("stable runs another image", R, "version identity", 3, lambda x: x.facts.update(stable_image=w.IMAGES[w.CANDIDATE])),
    Case("prometheus down", R, "prometheus", 3, lambda x: x.facts.update(prometheus_ok=False)),
    Case("prometheus not asked", P, "prometheus", 3, lambda x: x.facts.update(prometheus_ok=None)),
    Case("canary without traffic", P, "client share at 10 %", 3, starve),
    Case(
        "share wrong at 30 %",
        P,
        "client share at 30 %",
        3,
        lambda x: [to_stable(r) for r in x.records if x.services[2][0] < r["started"] < x.services[3][0]],
    ),
    Case(
        "share wrong at 60 %",
        P,
        "client share at 60 %",
        3,
        lambda x: [to_stable(r) for r in x.records if x.services[3][0] < r["started"] < x.services[4][0]],
    ),
    Case("nobody asked during the step", R, "client share at 10 %", 3, lambda x: drop_record(x, lambda r: r["at"] < w.START + 3)),
    Case("canary never answered", R, "injected faults", 3, starve),
    Case("retries hide errors", R, "measured outcomes", 3, hide_errors),
    Case(
        "another fault than the one asked for",
        R,
        "injected faults",
        3,
        lambda x: [r.update(status=500) for r in x.records if r["version"] == "v1.1"],
    ),
    Case("candidate not healthy after all", P, "injected faults", 3, lambda x: break_one(x, "v1.1", 500)),
    Case(
        "analysis errors",
        R,
        "analysis sound",
        3,
        lambda x: x.runs[0]["status"].update(phase="Error", message="connection refused"),
    ),
    Case("analysis inconclusive", P, "analysis sound", 3, lambda x: x.runs[1]["status"].update(phase="Inconclusive")),
    Case("metric errors", R, "analysis sound", 3, lambda x: fail_metric(x, "success-rate", "Error")),
    Case("too little traffic", R, "analysis sound", 3, lambda x: fail_metric(x, "requests")),
    Case("old metrics of an earlier run", P, "measured traffic", 3, lambda x: set_value(x, "requests", "[900]")),
    Case("the gate counts half of the traffic", P, "measured traffic", 3, lambda x: set_value(x, "requests", "[55]")),
    Case("requests not measured", R, "measured traffic", 3, lambda x: set_value(x, "requests", "[]")),
    Case(
        "the gate sees errors, clients do not",
        R,
        "measured outcomes",
        3,
        lambda x: [set_value(x, "success-rate", "[0.8]"), set_value(x, "error-rate", "[0.2]")],
    ),
    Case(
        "clients see errors, the gate does not",
        R,
        "measured outcomes",
        3,
        lambda x: [set_value(x, "success-rate", "[1]"), set_value(x, "error-rate", "[0]")],
    ),
    Case("the gate sees slow answers, clients do not", P, "measured outcomes", 3, lambda x: set_value(x, "latency-p95", "[0.5]")),
    Case("aborted by hand", R, "decided by the gate", 3, by_hand),
    Case("aborted by hand, message alone", R, "decided by the gate", 3, lambda x: status(x).update(message=BY_HAND)),
    Case(
        "aborted by the progress deadline",
        R,
        "decided by the gate",
        3,
        lambda x: status(x).update(message=BY_HAND + ': ReplicaSet "webapp-7b64c5d9f8" has timed out progressing.'),
    ),
    Case("analysis of another namespace", R, "decided by the gate", 3, lambda x: foreign_run(x, namespace="other")),
    Case(
        "analysis of another rollout",
        R,
        "decided by the gate",
        3,
        lambda x: foreign_run(x, ownerReferences=[{"kind": "Rollout", "uid": "other", "controller": True}]),
    ),
    Case("analysis of no rollout", R, "decided by the gate", 3, lambda x: foreign_run(x, ownerReferences=[])),
    Case("analysis of another revision", R, "decided by the gate", 3, lambda x: relabel(x, w.STABLE)),
    Case(
        "analysis of an earlier release",
        R,
        "decided by the gate",
        3,
        lambda x: foreign_run(x, creationTimestamp=w.stamp(w.START - 300)),
    ),
    Case(
        "analysis failed after the abort",
        R,
        "decided by the gate",
        3,
        lambda x: x.runs[0]["status"].update(completedAt=w.stamp(x.end)),
    ),
    Case("promoted by hand", P, "decided by the gate", 3, promote_full),
    Case("promoteFull asked for", P, "decided by the gate", 3, lambda x: status(x, -2).update(promoteFull=True)),
    Case("analysis terminated", P, "decided by the gate", 3, lambda x: x.runs[1]["spec"].update(terminate=True)),
    Case("no analysis at all", P, "decided by the gate", 3, lambda x: x.runs.clear()),
    Case(
        "weight rose before the analysis ended",
        P,
        "decided by the gate",
        3,
        lambda x: x.runs[0]["status"].update(completedAt=w.stamp(x.services[2][0] + 3)),
    ),
    Case("promoted over a failed analysis", P, "decided by the gate", 3, lambda x: x.runs[2]["status"].update(phase="Failed")),
    Case("harness deadline", P, "decided by the gate", 3, lambda x: [x.rollouts.pop(), x.facts.update(deadline_exceeded=True)]),
    Case(
        "paused for ever",
        R,
        "decided by the gate",
        3,
        lambda x: status(x).update(abort=False, abortedAt=None, phase="Paused", message="InconclusiveAnalysisRun"),
    ),
    # -- the decision --------------------------------------------------------------------------------------------------------
    Case("degraded, not aborted", R, "decision", 3, lambda x: status(x).update(abort=False)),
    Case("aborted, not yet degraded", R, "decision", 3, lambda x: status(x).update(phase="Progressing")),
    Case("analysis without an end", R, "decided by the gate", 3, lambda x: x.runs[0]["status"].pop("completedAt")),
    Case("blamed analysis is still running", R, "decided by the gate", 3, lambda x: x.runs[0]["status"].update(phase="Running")),
    Case("another hash, same spec", P, "one release", 3, lambda x: status(x, 3).update(currentPodHash="6c6c6c6c6c")),
    Case("another revision was analysed", P, "one release", 3, other_analysis),
    Case("still on its way", P, "decision", 3, lambda x: status(x).update(phase="Progressing")),
    Case("promoted in the end", R, "decision", 3, lambda x: status(x).update(stableRS=w.CANDIDATE, phase="Healthy", abort=False)),
    Case("phase without the reason", P, "rollout phase", 1, lambda x: status(x).update(message="something is odd")),
    Case("degraded but not aborted so", R, "rollout phase", 3, lambda x: status(x).update(message="ProgressDeadlineExceeded: x")),
    Case(
        "first weight wrong",
        P,
        "weight at step 1",
        1,
        lambda x: x.services.__setitem__(1, (x.services[1][0], w.virtual_service(12))),
    ),
    Case(
        "second weight wrong",
        P,
        "weight at step 2",
        1,
        lambda x: x.services.__setitem__(2, (x.services[2][0], w.virtual_service(33))),
    ),
    Case(
        "third weight wrong",
        P,
        "weight at step 3",
        1,
        lambda x: x.services.__setitem__(3, (x.services[3][0], w.virtual_service(61))),
    ),
    Case(
        "weight wrong, rollback",
        R,
        "weight at step 1",
        1,
        lambda x: x.services.__setitem__(1, (x.services[1][0], w.virtual_service(11))),
    ),
    Case("never at 100 %", P, "weight sequence", 1, lambda x: x.services.pop(-2)),
    Case(
        "weight back up after the abort",
        R,
        "weight sequence",
        1,
        lambda x: x.services.extend([(x.end - 3, w.virtual_service(10)), (x.end - 2.9, w.virtual_service(0))]),
    ),
    Case("two analyses of one step", P, "analysis at step 1", 1, duplicate_run),
    Case("two analyses of one step, rollback", R, "analysis at step 1", 1, duplicate_run),
    Case("a metric is missing", P, "analysis at step 1", 1, lambda x: x.runs[0]["status"]["metricResults"].pop()),
    Case("a value is NaN", P, "analysis at step 1", 1, lambda x: set_value(x, "error-rate", "[NaN]")),
    Case("a value is missing", P, "analysis at step 2", 1, lambda x: set_value(x, "success-rate", "[]", run=1)),
    Case(
        "a metric never measured",
        P,
        "analysis at step 2",
        1,
        lambda x: metric(x, "latency-p95", 1).update(measurements=[], successful=0),
    ),
    Case("a bad value is accepted", P, "analysis at step 3", 3, lambda x: set_value(x, "error-rate", "[0.01]", run=2)),
    Case("a metric is a dry run", P, "analysis at step 3", 1, lambda x: metric(x, "success-rate", 2).update(dryRun=True)),
    Case(
        "a metric has no condition", P, "analysis at step 3", 1, lambda x: x.runs[2]["spec"]["metrics"][1].pop("successCondition")
    ),
    Case("a metric failed once", P, "analysis at step 2", 1, lambda x: metric(x, "success-rate", 1).update(failed=1)),
    Case(
        "the analysis was too short",
        P,
        "analysis at step 2",
        1,
        lambda x: x.runs[1]["status"].update(completedAt=w.stamp(x.services[2][0] + 8)),
    ),
    Case(
        "the analysis began too early",
        P,
        "analysis at step 2",
        1,
        lambda x: x.runs[1]["status"].update(startedAt=w.stamp(x.services[1][0] + 8)),
    ),
    Case("a later step was analysed too", R, "analysis at step 1", 1, later_analysis),
    Case(
        "it ended under another weight",
        R,
        "analysis at step 1",
        1,
        lambda x: x.runs[0]["status"].update(completedAt=w.stamp(x.services[-1][0] + 1)),
    ),
    Case(
        "wrong metric decided",
        R,
        "deciding metric",
        1,
        lambda x: [fail_metric(x, n, "Successful") for n in ("success-rate", "error-rate")] + [fail_metric(x, "latency-p95")],
    ),
    Case(
        "the metric failed at a good value",
        R,
        "deciding metric",
        3,
        lambda x: [set_value(x, "success-rate", "[0.99]"), fail_metric(x, "error-rate", "Successful")],
    ),
    Case(
        "the metric failed without a number",
        R,
        "deciding metric",
        1,
        lambda x: [set_value(x, "success-rate", "[NaN]"), set_value(x, "error-rate", "[]")],
    ),
    Case(
        "no metric failed",
        R,
        "deciding metric",
        1,
        lambda x: [fail_metric(x, n, "Successful") for n in ("success-rate", "error-rate")],
    ),
    Case(
        "query over all traffic",
        P,
        "query scope",
        1,
        lambda x: metric(x, "error-rate")["metadata"].update(ResolvedPrometheusQuery="sum(rate(x[20s]))"),
    ),
    Case(
        "query over both revisions",
        R,
        "query scope",
        1,
        lambda x: metric(x, "error-rate")["metadata"].update(ResolvedPrometheusQuery=f'x{{hash=~"{w.CANDIDATE}|{w.STABLE}"}}'),
    ),
    Case("query unknown", R, "query scope", 1, lambda x: metric(x, "error-rate").pop("metadata")),
    Case("weights not reset", P, "final weights", 1, lambda x: x.services.pop()),
    Case(
        "controller believes other weights",
        R,
        "final weights",
        1,
        lambda x: status(x)["canary"]["weights"]["canary"].update(weight=10),
    ),
    Case("stable is something else", P, "stable revision", 3, lambda x: status(x).update(stableRS=w.STABLE)),
    Case("bad version is stable", R, "stable revision", 3, lambda x: status(x).update(stableRS=w.CANDIDATE)),
    Case(
        "wrong version afterwards",
        P,
        "served afterwards",
        1,
        lambda x: samples(x, version="v1.0", pod=f"webapp-{w.STABLE}-x0abc"),
    ),
    Case(
        "bad version afterwards",
        R,
        "served afterwards",
        1,
        lambda x: samples(x, version="v1.1", pod=f"webapp-{w.CANDIDATE}-x0abc"),
    ),
    Case("error afterwards", P, "served afterwards", 1, lambda x: samples(x, status=503)),
    Case("right version, wrong revision", P, "served afterwards", 3, lambda x: samples(x, pod=f"webapp-{w.STABLE}-x0abc")),
    Case("too few samples", R, "served afterwards", 3, lambda x: x.samples.__delitem__(slice(59, None))),
    Case("the gateway failed a user", P, "user requests", 1, lambda x: break_one(x, None, 503)),
    Case("a connection broke", R, "user requests", 1, lambda x: break_one(x, None, 0)),
    Case("stable failed a user", P, "user requests", 1, lambda x: break_one(x, "v1.0", 500)),
    Case("canary failed otherwise", R, "user requests", 1, lambda x: break_one(x, "v1.1", 404)),
    Case("bad version served too long", R, "time to safe", 1, lambda x: linger(x, 7)),
]
