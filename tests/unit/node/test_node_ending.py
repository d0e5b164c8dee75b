"""Deletion, hooks, and the agent's own stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from node_sim import T0, Sim, pod_dict

from harness.platforms.local.node import actions as act
from harness.platforms.local.node.facts import Pulled, Started
from harness.platforms.local.node.plan import stopped

SLEEP = {"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}
EXEC = {"lifecycle": {"preStop": {"exec": {"command": ["drain"]}}}}


def running(container: dict[str, Any] | None = None, **spec: Any) -> Sim:
    sim = Sim(pod_dict(container or {}, **spec)).news()
    assert sim.ready
    return sim


def test_deletion_in_order() -> None:
    sim = running(SLEEP).delete()
    assert not sim.ready, "at once"
    assert sim.entry is None, "at once"
    assert not sim.did(act.Signal)
    assert [at for at, _ in sim.run(5).did(act.Signal)] == [5]
    assert not sim.deleted
    sim.exit(0)
    assert sim.container()["state"]["terminated"]["reason"] == "Completed"
    assert sim.deleted
    assert sim.finished
    order = [n for n in sim.names() if n in {"DeleteWorkloadEntry", "Signal", "DeletePod"}]
    assert order == ["DeleteWorkloadEntry", "Signal", "DeletePod"]
    assert sim.names()[-2:] == ["PatchStatus", "DeletePod"]


def test_grace_counts_from_the_deletion_and_includes_the_hook() -> None:
    sim = running(SLEEP).delete(grace=20).run(60)
    assert [at for at, _ in sim.did(act.Signal)] == [5]
    assert [at for at, _ in sim.did(act.Kill)] == [21], "20 s, and one for the API's whole seconds"


def test_hook_that_uses_up_the_grace_leaves_two_seconds() -> None:
    sim = running(EXEC).delete(grace=4).run(60)
    assert [a.timeout for _, a in sim.did(act.Exec)] == [5]
    assert [at for at, _ in sim.did(act.Signal)] == [5]
    assert [at for at, _ in sim.did(act.Kill)] == [7]


def test_hook_that_ends_early_brings_the_signal_forward() -> None:
    sim = running(EXEC).delete().run(1).hook("preStop", ok=False)
    assert [at for at, _ in sim.did(act.Signal)] == [1]
    assert ("FailedPreStopHook", "PreStopHook failed: no") in sim.events()


def test_second_deletion_shortens_the_grace() -> None:
    sim = running().delete(grace=30).run(2).delete(grace=1).run(30)
    assert [at for at, _ in sim.did(act.Kill)] == [4]


def test_api_server_that_is_away_does_not_keep_a_pod_alive() -> None:
    sim = running()
    sim.api_up = False
    sim.delete(grace=30).run(1)
    assert [at for at, _ in sim.did(act.Signal)] == [pytest.approx(0)]
    sim.exit(0).run(20)
    assert not sim.finished
    tries = [at for at, _ in sim.did(act.DeleteWorkloadEntry)]
    assert 4 <= len(tries) <= 12, "again and again, but not in a loop"
    sim.api_up = True
    sim.run(6)
    assert sim.finished
    assert sim.deleted
    assert sim.entry is None


def test_status_that_could_not_be_written_is_written_later_as_it_is_then() -> None:
    sim = running()
    sim.api_up = False
    sim.exit(1).exit(1)
    sim.api_up = True
    assert sim.container()["restartCount"] == 0, "stale"
    sim.run(6)
    assert sim.waiting()[0] == "CrashLoopBackOff"  # type: ignore[index]
    assert sim.container()["restartCount"] == 1


def test_nothing_is_written_when_nothing_changed() -> None:
    sim = running()
    writes = len(sim.did(act.PatchStatus))
    sim.run(1000).news().change(metadata={**sim.raw["metadata"], "annotations": {"a": "b"}})
    assert len(sim.did(act.PatchStatus)) == writes
    assert sim.wake_at is None, "an idle pod wakes nobody"


def test_changed_labels_reach_the_entry() -> None:
    sim = running()
    sim.change(metadata={**sim.raw["metadata"], "labels": {"role": "stable"}})
    assert sim.entry is not None
    assert sim.entry["spec"]["labels"] == {"role": "stable"}


def test_pod_that_vanished_is_stopped_without_writing_to_it() -> None:
    sim = running(SLEEP)
    sim.state = replace(sim.state, gone=True)
    writes = len(sim.did(act.PatchStatus))
    sim.news().run(1)
    assert sim.entry is None
    assert len(sim.did(act.Signal)) == 1, "no hook: nobody waits for it any more"
    assert sim.run(5).did(act.Kill)
    sim.exit(137)
    assert sim.finished
    assert len(sim.did(act.PatchStatus)) == writes
    assert not sim.did(act.DeletePod)


def test_pod_deleted_before_it_started() -> None:
    sim = Sim(pod_dict(), auto=False).news().delete()
    assert sim.finished
    sim.news(Pulled(container="app", attempt=0, image_id="i"))
    assert not sim.did(act.Start)


def test_process_that_started_after_the_deletion_is_stopped() -> None:
    sim = Sim(pod_dict(), auto=False).news().news(Pulled(container="app", attempt=0, image_id="i")).delete()
    assert not sim.finished, "a process may be about to be there"
    sim.news(Started(container="app", attempt=0, pid=1, at=sim.now)).run(0.1)
    assert sim.did(act.Signal)
    assert sim.exit(143).finished


def test_no_restart_while_deleting() -> None:
    sim = running(None, restartPolicy="Always")
    sim.exit(1).delete().exit(1).run(100)
    assert len(sim.did(act.Start)) == 2
    assert sim.waiting() is None, "it ended; it does not wait for another run"
    assert "BackOff" not in [reason for reason, _ in sim.events()]


def test_entry_whose_writing_failed_may_be_there_all_the_same() -> None:
    sim = Sim(pod_dict({"readinessProbe": {"exec": {"command": ["true"]}, "failureThreshold": 1}})).news()
    sim.api_up = False
    sim.probe(ok=True)
    assert len(sim.did(act.PutWorkloadEntry)) == 1
    sim.api_up = True
    sim.delete().run(6)
    assert sim.did(act.DeleteWorkloadEntry)
    assert not sim.finished
    assert sim.exit(0).finished


def test_pod_is_deleted_only_after_its_end_was_told() -> None:
    sim = Sim(pod_dict({"readinessProbe": {"exec": {"command": ["true"]}}})).news().delete()
    sim.api_up = False
    sim.exit(3).run(3)
    assert not sim.did(act.DeletePod)
    sim.api_up = True
    sim.run(6)
    assert sim.container()["state"]["terminated"]["exitCode"] == 3
    assert sim.deleted


@pytest.mark.parametrize("hook", [SLEEP, EXEC])
def test_agents_stop_skips_hooks_and_keeps_the_pod(hook: dict[str, Any]) -> None:
    sim = running(hook)
    sim.state = replace(sim.state, stop_by=sim.now + 5)
    sim.news()
    assert [at for at, _ in sim.did(act.Signal)] == [0]
    assert not sim.ready
    assert [at for at, _ in sim.run(10).did(act.Kill)] == [5]
    sim.exit(137).run(100)
    assert stopped(sim.state)
    assert not sim.did(act.Exec)
    assert not sim.deleted
    assert len(sim.did(act.Start)) == 1


def test_post_start_hook_delays_running_and_its_failure_kills() -> None:
    post = {"lifecycle": {"postStart": {"exec": {"command": ["warm"]}}}}
    sim = Sim(pod_dict(post)).news()
    assert sim.waiting() == ("ContainerCreating", "")
    assert sim.hook("postStart").ready
    sim = Sim(pod_dict(post)).news().hook("postStart", ok=False).run(0.1)
    assert ("FailedPostStartHook", "PostStartHook failed: no") in sim.events()
    assert sim.did(act.Signal)


def test_binding_once_and_not_for_gated_or_deleted_pods() -> None:
    sim = Sim(pod_dict(node="")).news().news()
    assert len(sim.did(act.Bind)) == 1
    assert not Sim(pod_dict(node="", schedulingGates=[{"name": "g"}])).news().did(act.Bind)
    assert not Sim(pod_dict(node="")).delete().did(act.Bind)[1:]


def test_failed_binding_is_tried_again() -> None:
    sim = Sim(pod_dict(node=""))
    sim.api_up = False
    sim.news().run(3)
    assert 3 <= len(sim.did(act.Bind)) <= 6
    sim.api_up = True
    sim.run(5).change(spec={**sim.raw["spec"], "nodeName": "n"})
    assert sim.ready


def test_readiness_gates() -> None:
    sim = Sim(pod_dict(readinessGates=[{"conditionType": "x/y"}])).news()
    assert sim.condition("ContainersReady")["status"] == "True"
    assert sim.condition("Ready")["reason"] == "ReadinessGatesNotReady"
    assert sim.entry is None
    sim.change(status={"conditions": [{"type": "x/y", "status": "True"}]})
    assert sim.ready
    assert sim.entry


def test_transition_times_move_only_with_the_status() -> None:
    sim = Sim(pod_dict()).news()
    first = sim.condition("Ready")["lastTransitionTime"]
    sim.run(50).change(metadata={**sim.raw["metadata"], "labels": {"x": "y"}})
    assert sim.condition("Ready")["lastTransitionTime"] == first
    sim.exit(1)
    assert sim.condition("PodScheduled")["lastTransitionTime"] == first
    assert sim.now > T0


def test_two_containers_are_stopped_together_and_both_must_be_ready() -> None:
    probe = {"readinessProbe": {"exec": {"command": ["true"]}}}
    sim = Sim(pod_dict({}, {"name": "b", **probe})).news()
    assert not sim.ready
    assert sim.condition("Ready")["message"] == "containers with unready status: [b]"
    assert sim.probe(ok=True, container="b").ready
    sim.delete()
    assert [a.container for _, a in sim.did(act.Signal)] == ["app", "b"]
    sim.exit(0)
    assert not sim.deleted
    assert sim.exit(0, "b").deleted
