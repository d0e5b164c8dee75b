"""Single changes to a good release, each one a way in which a platform, a gate or a person can mislead a verdict."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import verdict_world as w


def status(world: w.World, index: int = -1) -> dict[str, Any]:
    """The status of the Rollout's state with this index; the last by default."""
    return world.rollouts[index][1]["status"]


def metric(world: w.World, name: str, run: int = 0) -> dict[str, Any]:
    return next(each for each in world.runs[run]["status"]["metricResults"] if each["name"] == name)


def set_value(world: w.World, name: str, value: str, run: int = 0) -> None:
    metric(world, name, run)["measurements"][0]["value"] = value


def fail_metric(world: w.World, name: str, phase: str = "Failed", run: int = 0) -> None:
    metric(world, name, run).update(phase=phase, successful=0, failed=1 if phase == "Failed" else 0)


def drop_record(world: w.World, keep: Callable[[dict[str, Any]], bool]) -> None:
    world.records = [record for record in world.records if keep(record)]


def spec_changes(world: w.World) -> None:
    """A second release in between, taken back again: another generation, another hash."""
    at = world.rollouts[3][0] + 5
    world.rollouts.insert(4, (at, w.rollout(generation=4, current="6c6c6c6c6c", revision="3", weight=10)))
    world.rollouts.insert(5, (at + 1, w.rollout(generation=5, weight=10)))


def by_hand(world: w.World) -> None:
    status(world)["message"] = "RolloutAborted: Rollout aborted update to revision 2"
    world.runs[0]["spec"]["terminate"] = True
    world.runs[0]["status"].update(phase="Successful", message="")


def promote_full(world: w.World) -> None:
    world.runs = world.runs[:1]
    world.services = world.services[:2] + world.services[-2:]


def to_stable(record: dict[str, Any]) -> None:
    record.update(version="v1.0", pod=f"webapp-{w.STABLE}-x0abc", status=200, error=None)


def starve(world: w.World) -> None:
    """The gateway never follows the weights: all answers come from stable."""
    for record in world.records:
        to_stable(record)


def linger(world: w.World, seconds: float, *, status_code: int = 200) -> None:
    """The mesh still sends users to the bad version for some seconds after the abort."""
    aborted = world.rollouts[-1][0]
    for number, record in enumerate(world.records):
        if aborted < record["started"] < aborted + seconds and number % 10 == 0:
            record.update(version="v1.1", pod=f"webapp-{w.CANDIDATE}-x0abc", status=status_code)


def break_one(world: w.World, version: str | None, code: int) -> None:
    """One request during the first step fails."""
    record = next(each for each in world.records if each["started"] > w.START + 6 and each["version"] == (version or "v1.0"))
    record.update(status=code, error=str(code))
    if version is None:
        record.update(version=None, pod=None)


def hide_errors(world: w.World) -> None:
    """Retries: the app fails as before and the gate sees it, users do not."""
    for record in world.records:
        record.update(status=200, error=None)


def foreign_run(world: w.World, **metadata: Any) -> None:
    """Our analysis is gone; the one that is there belongs to somebody else."""
    world.runs[0]["metadata"].update(metadata)


def relabel(world: w.World, pod_hash: str) -> None:
    world.runs[0]["metadata"]["labels"]["rollouts-pod-template-hash"] = pod_hash


def duplicate_run(world: w.World) -> None:
    world.runs.append(copy.deepcopy(world.runs[0]))
    world.runs[-1]["metadata"].update(name="webapp-again", uid="run-again")


def slow_load(world: w.World) -> None:
    drop_record(world, lambda record: round(record["started"] * w.RPS) % 10 != 0)


def gap(world: w.World) -> None:
    """A stall at the second step that an average over the whole would hide."""
    at = world.services[2][0] + 5
    drop_record(world, lambda record: not at <= record["started"] < at + 2)


def samples(world: w.World, **change: Any) -> None:
    world.samples[7].update(change)


def other_analysis(world: w.World) -> None:
    """While ours ran, so did an analysis of another revision of the same Rollout."""
    duplicate_run(world)
    world.runs[-1]["metadata"]["labels"]["rollouts-pod-template-hash"] = "6c6c6c6c6c"


def later_analysis(world: w.World) -> None:
    """The release was not stopped where it should have been: a second step was analysed."""
    duplicate_run(world)
    world.runs[-1]["metadata"]["labels"]["step-index"] = "3"


def slow_answers(world: w.World, seconds: float) -> None:
    """Every answer of the candidate takes this long, and nobody asked for it."""
    for record in world.records:
        if record["version"] == "v1.1":
            record["latency"] = seconds


def unshown(world: w.World) -> None:
    """The first window happened to hold no error, and the gate went on."""
    for name, value in (("success-rate", "[1]"), ("error-rate", "[0]")):
        set_value(world, name, value)
        metric(world, name).update(phase="Successful", successful=1, failed=0)
    world.runs[0]["status"]["phase"] = "Successful"


def condition(world: w.World, name: str, success: str, *, failure: str = "") -> None:
    """Give the gate another condition, in every analysis."""
    for run in world.runs:
        declared = next(each for each in run["spec"]["metrics"] if each["name"] == name)
        declared.pop("successCondition", None)
        declared |= {"successCondition": success} if success else {"failureCondition": failure}


def forget(world: w.World, name: str) -> None:
    """Leave a metric out of the results."""
    results = world.runs[0]["status"]["metricResults"]
    results.remove(metric(world, name))


def declare(world: w.World, name: str, **change: Any) -> None:
    """Give the gate another way to count, in every analysis."""
    for run in world.runs:
        next(each for each in run["spec"]["metrics"] if each["name"] == name).update(change)


def ask(world: w.World, name: str, query: str) -> None:
    """Have the gate ask something else, in every analysis."""
    for index in range(len(world.runs)):
        metric(world, name, index)["metadata"]["ResolvedPrometheusQuery"] = query


def impostor(world: w.World, owner: str = "") -> None:
    """A pod that is named and labelled as the candidate's answers in its stead, as the right version."""
    stranger = w.pod(w.CANDIDATE, "evil0")
    stranger["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "uid": owner, "controller": True}] if owner else []
    world.pods.append(stranger)
    for record in world.records:
        if record["version"] == "v1.1":
            record["pod"] = stranger["metadata"]["name"]


def runs(world: w.World, index: int, digest: str) -> None:
    """What the node says that a pod runs; 0 and 1 are stable pods, 2 and 3 the candidate's."""
    world.pods[index]["status"]["containerStatuses"][0]["imageID"] = f"elsewhere/webapp@{digest}"


def by(found: dict[str, Any], manager: str, part: str) -> None:
    """Somebody writes into an object, as the API server records it."""
    found["metadata"]["managedFields"] = [w.written("rollouts-controller", part), w.written(manager, part)]
