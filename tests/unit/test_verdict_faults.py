"""Faults that show elsewhere than in the app's answers: a good release of each passes, and each check is seen failing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import verdict_world as w
from verdict_mutations import linger, set_value, to_stable

from harness.faults import FAULTS
from harness.observation import PodFacts, pod_facts, weight_steps
from harness.scenario import OUTAGE_SAFE_SECONDS, Decision, Scenario, failure
from harness.verdict import Outcome, Verdict, judge

DEADLINE = 'RolloutAborted: Rollout aborted update to revision 2: ReplicaSet "webapp-7b64c5d9f8" has timed out progressing.'


def scenario(kind: str) -> Scenario:
    return failure(fault=kind, window_seconds=w.WINDOW, rps=w.RPS)


def by_gateway(world: w.World, status: int) -> None:
    """What the app answered with an error, the gateway now answers in its stead."""
    for record in world.records:
        if record["status"] == 500:
            record.update(status=status, version=None, pod=None, error=f"HTTP {status}")


def never_answered(kind: str) -> w.World:
    made = scenario(kind)
    world = w.good_rollback(made)
    (status,) = made.fault.gateway_statuses
    by_gateway(world, status)
    world.facts["gateway_statuses"] = made.fault.gateway_statuses
    return world


def outage(kind: str) -> w.World:
    """The candidate goes away for two seconds in the middle of its step, and the controller takes the weight back meanwhile."""
    world = w.good_rollback(scenario(kind))
    by_gateway(world, 503)
    gone = world.services[1][0] + 8
    world.services[2:2] = [(gone, w.virtual_service(0, 3)), (gone + 2, w.virtual_service(10, 4))]
    for record in world.records:
        if gone + w.GATEWAY_LAG <= record["started"] < gone + 2 + w.GATEWAY_LAG and record["version"] != "v1.0":
            to_stable(record)
    # Prometheus then counted fewer of them.
    measured = world.services[1][0] + 1 + w.WINDOW
    seen = [r for r in world.records if r["version"] != "v1.0" and measured - w.WINDOW <= r["at"] < measured]
    bad = sum(r["status"] == 503 for r in seen) / len(seen)
    for name, value in {"requests": len(seen), "success-rate": 1 - bad, "error-rate": bad}.items():
        set_value(world, name, f"[{value:g}]")
    # Users may have to wait for so long until they are safe, and the load goes on meanwhile.
    w.send(world, world.end, world.end + OUTAGE_SAFE_SECONDS, 0)
    world.end += OUTAGE_SAFE_SECONDS
    came_back = PodFacts(ran=True, ever_ready=True, restarts=1)
    world.facts |= {"gateway_statuses": frozenset({503, 504}), "interrupted": True, "candidate_pods": came_back}
    return world


def flapping() -> w.World:
    """A candidate that is promoted although it comes and goes: the controller shields users from it, up to the promotion."""
    world = w.good_promote(scenario("readiness"))
    gone = world.services[2][0] + 8
    promoted = world.services[4][0]
    away = [(gone, w.virtual_service(0)), (gone + 1, w.virtual_service(30)), (promoted - 1, w.virtual_service(0))]
    world.services = sorted([*world.services, *away], key=lambda each: each[0])
    end = world.records[-40:]
    for record in end:
        record.update(status=503, version=None, pod=None, error="HTTP 503")
    for sample in world.samples[:20]:
        sample.update(status=503, version=None, pod=None)
    lost = PodFacts(ran=True, ever_ready=True, readiness_losses=3)
    world.facts |= {"gateway_statuses": frozenset({503, 504}), "interrupted": True, "candidate_pods": lost}
    return world


def never_ready() -> w.World:
    made = scenario("slow-start")
    world = w.begin(made)
    aborted = w.START + made.progress_deadline_seconds + 0.7
    world.rollouts.append((aborted + 0.1, w.rollout(phase="Degraded", message=DEADLINE, step=0, weight=0, aborted=aborted)))
    world.end = aborted + 8
    w.send(world, w.START - 10, world.end, 0)
    world.facts["candidate_pods"] = PodFacts(ran=True)
    return w.finish(world, "v1.0")


def leak() -> w.World:
    world = w.good_promote(scenario("memory"))
    world.facts["faults_injected"] = {"memory": 412.0}
    return world


def broken_start(kind: str) -> w.World:
    """A release whose pods never come up, and say why."""
    made = scenario(kind)
    world = never_ready()
    world.scenario = made
    bad = PodFacts(waiting=frozenset({"ContainerCreating", "ErrImagePull", "ImagePullBackOff"}))
    looping = PodFacts(ran=True, restarts=2, waiting=frozenset({"CrashLoopBackOff"}))
    world.facts["candidate_pods"] = bad if kind == "bad-image" else looping
    return world


WORLDS: dict[str, Callable[[], w.World]] = {
    "hang": lambda: never_answered("hang"),
    "reset": lambda: never_answered("reset"),
    "crash": lambda: outage("crash"),
    "readiness": flapping,
    "slow-start": never_ready,
    "memory": leak,
    "bad-image": lambda: broken_start("bad-image"),
    "crash-loop": lambda: broken_start("crash-loop"),
}


def verdict_on(world: w.World) -> Verdict:
    return judge(world.scenario, world.observation())


@pytest.mark.parametrize("kind", WORLDS)
def test_the_right_decision_for_each_fault_passes(kind: str) -> None:
    verdict = verdict_on(WORLDS[kind]())
    assert [(check.name, check.actual) for check in verdict.failures] == []
    assert verdict.outcome is Outcome.EXPECTED


def stray(world: w.World, status: int, count: int = 1) -> None:
    """Some of the stable version's answers come from the gateway instead, during the first step."""
    chosen = [r for r in world.records if r["started"] > w.START + 6 and r["version"] == "v1.0"][:count]
    for record in chosen:
        record.update(status=status, version=None, pod=None, error=f"HTTP {status}")


def message(world: w.World, text: str) -> None:
    world.rollouts[-1][1]["status"]["message"] = text


def early(world: w.World) -> None:
    at = w.START + 5
    world.rollouts[-1][1]["status"]["abortedAt"] = w.stamp(at)
    world.rollouts[-1] = (at + 0.1, world.rollouts[-1][1])


def overdue(world: w.World) -> None:
    """The deadline has passed long ago, and the release still waits."""
    world.rollouts.pop()
    world.facts["deadline_exceeded"] = True
    late = world.end + 40
    w.send(world, world.end, late, 0)
    world.end = late


def pods(world: w.World, facts: PodFacts) -> None:
    world.facts["candidate_pods"] = facts


def stable_again(world: w.World) -> None:
    world.samples[30].update(version="v1.0", pod=f"webapp-{w.STABLE}-x0abc")


def silence(world: w.World) -> None:
    for sample in world.samples:
        sample.update(status=503, version=None, pod=None)


def stray_late(world: w.World) -> None:
    world.records[-5].update(status=503, version=None, pod=None, error="HTTP 503")


def sent_there(world: w.World) -> None:
    at = w.START + 5
    world.services += [(at, w.virtual_service(10, 2)), (at + 2, w.virtual_service(0, 3))]


def unharmed(world: w.World) -> None:
    """No user ever met the fault."""
    for record in world.records:
        if not record["pod"]:
            to_stable(record)


CASES: list[tuple[str, str, str, int, Callable[[w.World], Any]]] = [
    ("hang", "far more failures than were injected", "injected faults", 3, lambda x: stray(x, 504, 30)),
    ("hang", "a failure of another kind", "user requests", 1, lambda x: stray(x, 503)),
    ("hang", "the app's own errors are not this fault", "user requests", 1, lambda x: x.records[-900].update(status=500)),
    ("hang", "the fault never reached anybody", "measured outcomes", 3, unharmed),
    ("reset", "users still fail long after", "time to safe", 1, stray_late),
    ("reset", "the candidate lingers", "time to safe", 1, lambda x: linger(x, 7)),
    ("crash", "nothing ever crashed", "fault at work", 3, lambda x: pods(x, PodFacts(ran=True, ever_ready=True))),
    ("crash", "no user met it", "injected faults", 3, unharmed),
    ("crash", "an interruption where none was due", "weight sequence", 1, lambda x: x.facts.update(interrupted=False)),
    ("readiness", "it never lost its readiness", "fault at work", 3, lambda x: pods(x, PodFacts(ran=True, ever_ready=True))),
    ("readiness", "the old version answers afterwards", "served afterwards", 1, stable_again),
    ("readiness", "nobody answers afterwards", "served afterwards", 1, silence),
    ("readiness", "it was aborted", "decision", 3, lambda x: x.rollouts[-1][1]["status"].update(phase="Degraded", abort=True)),
    ("slow-start", "aborted by hand", "decided by the gate", 3, lambda x: message(x, "RolloutAborted: Rollout aborted update")),
    ("slow-start", "another reason in the end", "rollout phase", 3, lambda x: message(x, w.ABORTED)),
    ("slow-start", "before its time", "decided by the gate", 3, early),
    ("slow-start", "nothing ever happens", "decided by the gate", 1, overdue),
    ("slow-start", "it was ready", "fault at work", 3, lambda x: pods(x, PodFacts(ran=True, ever_ready=True))),
    ("slow-start", "it never ran", "fault at work", 3, lambda x: pods(x, PodFacts())),
    ("slow-start", "users were sent there", "weight sequence", 1, sent_there),
    ("bad-image", "it could be had", "fault at work", 3, lambda x: pods(x, PodFacts())),
    ("bad-image", "it ran", "fault at work", 3, lambda x: pods(x, PodFacts(ran=True, waiting=frozenset({"ErrImagePull"})))),
    ("bad-image", "it waited for another reason", "fault at work", 3,
     lambda x: pods(x, PodFacts(waiting=frozenset({"ContainerCreating"})))),
    ("bad-image", "nothing ever happens", "decided by the gate", 1, overdue),
    ("bad-image", "users were sent there", "weight sequence", 1, sent_there),
    ("crash-loop", "it never crashed", "fault at work", 3, lambda x: pods(x, PodFacts(ran=True))),
    ("crash-loop", "it was ready", "fault at work", 3,
     lambda x: pods(x, PodFacts(ran=True, ever_ready=True, waiting=frozenset({"CrashLoopBackOff"})))),
    ("crash-loop", "another reason in the end", "rollout phase", 3, lambda x: message(x, w.ABORTED)),
    ("memory", "nothing leaked", "fault at work", 3, lambda x: x.facts.update(faults_injected={"memory": 0.0})),
    ("memory", "nobody knows", "fault at work", 3, lambda x: x.facts.update(faults_injected={})),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "what", "check", "code", "mutate"), CASES, ids=[f"{kind}: {what}" for kind, what, *_ in CASES])
def test_one_change_fails_its_check(kind: str, what: str, check: str, code: int, mutate: Callable[[w.World], Any]) -> None:
    world = WORLDS[kind]()
    mutate(world)
    verdict = verdict_on(world)
    failures = {each.name: each.actual for each in verdict.failures}
    assert check in failures
    assert verdict.exit_code == code, failures


def test_a_gate_that_promotes_what_it_cannot_see_is_another_decision() -> None:
    world = w.good_promote(scenario("reset"), error_every=20)
    by_gateway(world, 503)
    world.facts["gateway_statuses"] = world.scenario.fault.gateway_statuses
    for run in range(3):
        for name, value in (("success-rate", "[1]"), ("error-rate", "[0]")):
            set_value(world, name, value, run)
    verdict = verdict_on(world)
    assert verdict.exit_code == 1, verdict.failures
    assert {"decision", "measured outcomes"} <= {check.name for check in verdict.failures}


def erring(kind: str) -> w.World:
    """A good release that is rolled back at its first step, because the gate's queries failed."""
    made = scenario(kind)
    world = w.good_rollback(made, error_every=0)
    run = world.runs[0]["status"]
    run.update(phase="Error", message='Metric "requests" assessed Error due to consecutiveErrors (1) > consecutiveErrorLimit (0)')
    for result in run["metricResults"]:
        result.update(phase="Error", successful=0, failed=0, error=1, message="dial tcp 127.0.0.1:9: connect: connection refused")
        result["measurements"][0].update(phase="Error", value="")
    return world


def thin(kind: str) -> w.World:
    """The same, because the window held fewer requests than the gate wants."""
    world = w.good_rollback(scenario(kind), error_every=0)
    for run in world.runs:
        for result in run["status"]["metricResults"]:
            result.update(phase="Failed" if result["name"] == "requests" else "Successful")
    return world


def misled() -> w.World:
    """Five percent errors, promoted: the numbers that reached the gate were rounded."""
    world = w.good_promote(scenario("prometheus-wrong"), error_every=20)
    for run in range(3):
        for name, value in (("success-rate", "[1]"), ("error-rate", "[0]")):
            set_value(world, name, value, run)
    return world


BLINDED: dict[str, Callable[[], w.World]] = {
    **{kind: partial(thin, kind) for kind in ("no-traffic", "prometheus-blind", "clock")},
    "prometheus-down": lambda: erring("prometheus-down"),
    "prometheus-slow": lambda: erring("prometheus-slow"),
    "prometheus-wrong": misled,
}


def test_every_fault_of_the_gate_is_here() -> None:
    assert {kind for kind, fault in FAULTS.items() if fault.noticed_by} == BLINDED.keys()


@pytest.mark.parametrize("kind", BLINDED)
def test_a_broken_gate_proves_nothing_whatever_it_does(kind: str) -> None:
    world = BLINDED[kind]()
    verdict = verdict_on(world)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert FAULTS[kind].noticed_by in {check.name for check in verdict.failures}


@pytest.mark.parametrize("kind", [kind for kind in BLINDED if kind != "prometheus-wrong"])
def test_a_gate_that_was_not_broken_after_all_decides(kind: str) -> None:
    # The rig did not work: the same scenario with an ordinary promotion has to be told from the inconclusive one.
    verdict = verdict_on(w.good_promote(scenario(kind)))
    assert verdict.outcome is Outcome.EXPECTED, verdict.failures


def test_a_gate_that_was_not_misled_after_all_decides() -> None:
    verdict = verdict_on(w.good_rollback(scenario("prometheus-wrong")))
    assert verdict.outcome is Outcome.EXPECTED, verdict.failures


def test_a_version_that_may_have_a_few_errors_may_have_those_only() -> None:
    made = replace(scenario("error"), expect=Decision.PROMOTE, fault=FAULTS["error"].with_settings({"error_rate": 0.5}))
    world = w.good_promote(made, error_every=200)
    assert verdict_on(world).outcome is Outcome.EXPECTED, verdict_on(world).failures
    stray(world, 504)
    verdict = verdict_on(world)
    assert verdict.exit_code == 1
    assert [check.name for check in verdict.failures] == ["user requests"]


def test_interruptions_are_no_steps() -> None:
    observation = outage("crash").observation()
    assert [change.canary for change in weight_steps(observation)] == [10, 0]


def pod(
    *, ready: bool, restarts: int = 0, deleted: bool = False, pod_hash: str = "abc", state: dict[str, Any] | None = None
) -> dict[str, Any]:  # fmt: skip
    return {
        "metadata": {
            "uid": "1", "labels": {"rollouts-pod-template-hash": pod_hash}, **({"deletionTimestamp": "now"} if deleted else {}),
        },
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"restartCount": restarts, "state": state or {"running": {"startedAt": "now"}}}],
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("history", "facts"),
    [
        ([], PodFacts()),
        ([pod(ready=True, pod_hash="other")], PodFacts()),
        ([pod(ready=False)], PodFacts(ran=True)),
        ([pod(ready=False), pod(ready=True)], PodFacts(ran=True, ever_ready=True)),
        ([pod(ready=True), pod(ready=False, restarts=1), pod(ready=True, restarts=1)],
         PodFacts(ran=True, ever_ready=True, restarts=1, readiness_losses=1)),
        ([pod(ready=True), pod(ready=False, deleted=True)], PodFacts(ran=True, ever_ready=True)),
        ([pod(ready=False, state={"waiting": {"reason": "ErrImagePull"}}), pod(ready=False, state={"waiting": {}})],
         PodFacts(waiting=frozenset({"ErrImagePull"}))),
        ([pod(ready=False, state={"terminated": {"exitCode": 3}}),
          pod(ready=False, restarts=1, state={"waiting": {"reason": "CrashLoopBackOff"}})],
         PodFacts(ran=True, restarts=1, waiting=frozenset({"CrashLoopBackOff"}))),
    ],
)  # fmt: skip
def test_pod_facts(history: list[dict[str, Any]], facts: PodFacts) -> None:
    assert pod_facts(history, "abc") == facts
