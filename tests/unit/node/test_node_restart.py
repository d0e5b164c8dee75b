"""Restarts, back-off and phases."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_sim import T0, Sim, pod_dict

from harness.platforms.local.node import actions as act
from harness.platforms.local.node.facts import Pulled, PullFailed, StartFailed
from harness.platforms.local.node.state import adopted_state


@pytest.mark.parametrize(
    ("policy", "code", "restarted", "phase"),
    [
        ("Always", 0, True, "Running"),
        ("Always", 1, True, "Running"),
        ("OnFailure", 0, False, "Succeeded"),
        ("OnFailure", 1, True, "Running"),
        ("Never", 0, False, "Succeeded"),
        ("Never", 1, False, "Failed"),
    ],
)
def test_restart_policy(policy: str, code: int, restarted: bool, phase: str) -> None:
    sim = Sim(pod_dict(restartPolicy=policy)).news().exit(code).run(1)
    assert len(sim.did(act.Start)) == (2 if restarted else 1)
    assert sim.status["phase"] == phase
    assert sim.container()["restartCount"] == int(restarted)


def test_crash_back_off_doubles_from_ten_seconds_to_five_minutes() -> None:
    sim, starts = Sim(pod_dict()).news(), []
    for _ in range(9):
        ended = sim.now
        sim.exit(1)
        attempt = sim.state.containers["app"].attempt
        while sim.state.containers["app"].attempt == attempt and sim.state.containers["app"].current:
            sim.run(1)
        starts.append(sim.did(act.Start)[-1][0] + T0 - ended)
    assert starts == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert sim.container()["restartCount"] == 9


def test_crash_loop_is_visible_in_kubelets_words() -> None:
    sim = Sim(pod_dict()).news().exit(3).exit(3)
    assert sim.container()["state"]["terminated"]["exitCode"] == 3
    sim.run(2)
    assert sim.waiting() == ("CrashLoopBackOff", "back-off 10s restarting failed container=app pod=p_ns(u1)")
    assert sim.container()["lastState"]["terminated"] == {
        "exitCode": 3,
        "reason": "Error",
        "startedAt": "1970-01-12T13:46:40Z",
        "finishedAt": "1970-01-12T13:46:40Z",
        "containerID": "process://u1/app/1",
    }
    assert sim.container()["restartCount"] == 1
    assert sim.status["phase"] == "Running"
    assert ("BackOff", "Back-off restarting failed container app in pod p_ns(u1)") in sim.events()


def test_message_of_a_long_back_off_has_minutes() -> None:
    sim = Sim(pod_dict()).news()
    for _ in range(6):
        sim.exit(1).run(400)
        sim.now = sim.state.containers["app"].crash_since  # it crashes again at once
    sim.exit(1).run(3)
    assert (sim.waiting() or ("", ""))[1].startswith("back-off 5m0s ")


@given(st.floats(600.1, 1e6))
def test_a_run_of_more_than_ten_minutes_resets_the_back_off(lasted: float) -> None:
    sim = Sim(pod_dict()).news().exit(1).exit(1).run(10)
    assert len(sim.did(act.Start)) == 3
    sim.run(lasted).exit(1)
    assert len(sim.did(act.Start)) == 4, "at once"
    sim.exit(1).run(9.9)
    assert len(sim.did(act.Start)) == 4
    sim.run(0.2)
    assert len(sim.did(act.Start)) == 5, "10 s again"


def test_a_run_of_less_than_ten_minutes_does_not() -> None:
    sim = Sim(pod_dict()).news().exit(1).exit(1).run(10).run(599).exit(1)
    assert len(sim.did(act.Start)) == 3


def test_image_errors_alternate_with_back_off() -> None:
    sim = Sim(pod_dict(), auto=False).news()
    pulls = []
    for _ in range(7):
        pulls.append(sim.did(act.Pull)[-1][0])
        sim.news(PullFailed(container="app", attempt=0, reason="ErrImagePull", message="not found"))
        assert sim.waiting() == ("ErrImagePull", "not found")
        sim.run(2)
        assert sim.waiting() == ("ImagePullBackOff", 'Back-off pulling image "r:1/app:v1": ErrImagePull: not found')
        count = len(sim.did(act.Pull))
        while len(sim.did(act.Pull)) == count:
            sim.run(1)
    assert [b - a for a, b in itertools.pairwise(pulls)] == [10, 20, 40, 80, 160, 300]
    assert sim.status["phase"] == "Pending"
    assert sim.container()["restartCount"] == 0


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
def test_other_image_errors_keep_their_name_and_are_tried_again(reason: str) -> None:
    sim = Sim(pod_dict(), auto=False).news().news(PullFailed(container="app", attempt=0, reason=reason, message="m")).run(9)
    assert sim.waiting() == (reason, "m")
    assert len(sim.did(act.Pull)) == 1
    assert len(sim.run(2).did(act.Pull)) == 2


def test_config_error_is_retried_and_is_no_restart() -> None:
    sim = Sim(pod_dict(), auto=False).news().news(Pulled(container="app", attempt=0, image_id="i"))
    sim.news(
        StartFailed(container="app", attempt=0, reason="CreateContainerConfigError", message='configmap "x" not found', at=T0)
    )
    assert sim.waiting() == ("CreateContainerConfigError", 'configmap "x" not found')
    sim.auto = True
    sim.run(10)
    assert sim.container()["restartCount"] == 0
    assert "running" in sim.container()["state"]


def test_start_error_counts_as_a_crash() -> None:
    sim = Sim(pod_dict(), auto=False).news()
    for attempt in range(2):
        sim.news(Pulled(container="app", attempt=attempt, image_id="i"))
        sim.news(StartFailed(container="app", attempt=attempt, reason="StartError", message="no such file", at=sim.now))
    assert sim.waiting() == ("RunContainerError", "no such file")
    assert sim.container()["lastState"]["terminated"]["reason"] == "StartError"
    assert sim.container()["lastState"]["terminated"]["exitCode"] == 128
    assert (sim.run(2).waiting() or ("",))[0] == "CrashLoopBackOff"


def test_news_of_an_earlier_run_changes_nothing() -> None:
    sim = Sim(pod_dict()).news().exit(1)
    before = sim.state.containers["app"]
    sim.news(StartFailed(container="app", attempt=0, reason="StartError", message="old", at=sim.now))
    assert sim.state.containers["app"] == before


def test_init_containers_run_one_after_the_other_and_before_the_rest() -> None:
    init = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
    sim = Sim(pod_dict(initContainers=init)).news()
    assert [a.container for _, a in sim.did(act.Start)] == ["a"]
    assert sim.waiting() == ("PodInitializing", "")
    sim.exit(1, "a")
    assert [a.container for _, a in sim.did(act.Start)] == ["a", "a"], "restartPolicy Always tries it again"
    sim.exit(0, "a")
    assert [a.container for _, a in sim.did(act.Start)][2:] == ["b"]
    assert sim.condition("Initialized")["status"] == "False"
    sim.exit(0, "b")
    assert [a.container for _, a in sim.did(act.Start)][3:] == ["app"]
    assert sim.condition("Initialized")["status"] == "True"
    assert sim.status["phase"] == "Running"
    assert len(sim.run(100).did(act.Start)) == 4, "an init container that succeeded does not run again"


def test_failed_init_container_without_restart_fails_the_pod() -> None:
    sim = Sim(pod_dict(initContainers=[{"name": "a", "image": "i"}], restartPolicy="Never")).news().exit(1, "a").run(60)
    assert sim.status["phase"] == "Failed"
    assert [a.container for _, a in sim.did(act.Start)] == ["a"]


def test_sidecars_are_refused_in_one_clear_line() -> None:
    sim = Sim(pod_dict(initContainers=[{"name": "proxy", "image": "i", "restartPolicy": "Always"}])).news().run(60)
    assert sim.waiting()[0] == "SidecarNotSupported"  # type: ignore[index]
    assert not sim.did(act.Start)
    assert [r for r, _ in sim.events()] == ["Failed"]
    assert sim.status["phase"] == "Pending"


def test_pod_of_an_earlier_agent_counts_as_killed_and_starts_again_elsewhere() -> None:
    before = Sim(pod_dict()).news().exit(1).run(60)
    assert before.container()["restartCount"] == 1
    status = {**before.status, "podIP": "127.77.0.9"}
    sim = Sim(pod_dict(), state=adopted_state(before.pod, status, T0)).news()
    assert sim.status["podIP"] == "127.77.0.1", "a new address"
    assert sim.container()["restartCount"] == 2
    assert sim.container()["lastState"]["terminated"]["exitCode"] == 137
    assert len(sim.did(act.Start)) == 1


def test_init_containers_run_again_after_an_earlier_agent() -> None:
    raw = pod_dict(initContainers=[{"name": "a", "image": "i"}])
    before = Sim(raw).news().exit(0, "a")
    sim = Sim(raw, state=adopted_state(before.pod, before.status, T0)).news()
    assert [a.container for _, a in sim.did(act.Start)] == ["a"]
    assert sim.container("a")["restartCount"] == 1
    assert sim.status["phase"] == "Pending"
    assert sim.exit(0, "a").status["phase"] == "Running"


def test_finished_pod_of_an_earlier_agent_stays_finished() -> None:
    before = Sim(pod_dict(restartPolicy="Never")).news().exit(0)
    sim = Sim(pod_dict(restartPolicy="Never"), state=adopted_state(before.pod, before.status, T0)).news().run(100)
    assert not sim.did(act.Start)
    assert not sim.did(act.GiveAddress)
    assert sim.status["phase"] == "Succeeded"


def test_crash_loop_of_an_earlier_agent_goes_on_counting() -> None:
    before = Sim(pod_dict()).news().exit(1).exit(1).run(3)
    assert before.waiting()[0] == "CrashLoopBackOff"  # type: ignore[index]
    sim = Sim(pod_dict(), state=adopted_state(before.pod, before.status, T0)).news()
    assert sim.container()["restartCount"] == 2
