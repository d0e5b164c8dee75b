"""Stopping, dying, and restarting on purpose: in the right order, and with nothing left behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import psutil
import pytest
from fakes.stage import Stage, eventually

from harness.supervisor import process, procfs
from harness.supervisor.errors import ComponentExited, ComponentNotStarted
from harness.supervisor.status import State, StopReport


def test_stop_is_the_mirror_of_start(stage: Stage) -> None:
    a = stage.up("a", "stays.py")
    b = stage.up("b", "stays.py", needs=("a",))
    c = stage.up("c", "stays.py", needs=("b",))
    with stage.supervisor(a, b, c) as supervisor:
        supervisor.start()
        report = supervisor.stop()
        assert report == StopReport(stopped=("c", "b", "a"))
        assert supervisor.stop() is report
    gone = [(event.component, event.state) for event in stage.events][-6:]
    assert gone == [(name, state) for name in "cba" for state in (State.STOPPING, State.STOPPED)]


def test_independent_components_stop_at_the_same_time(stage: Stage) -> None:
    stubborn = [stage.up(f"s{i}", "ignores_sigterm.py", stop_timeout=1.0) for i in range(4)]
    with stage.supervisor(*stubborn) as supervisor:
        supervisor.start()
        report = supervisor.stop()
    times = [event.seconds for event in stage.events if event.state in {State.STOPPING, State.STOPPED}]
    assert max(times) - min(times) < 3, "one after the other would have taken 4 s"
    assert sorted(report.killed) == ["s0", "s1", "s2", "s3"]


def test_what_ignores_sigterm_is_killed_after_its_stop_timeout_and_not_before(stage: Stage) -> None:
    with stage.supervisor(stage.up("stubborn", "ignores_sigterm.py", stop_timeout=0.5)) as supervisor:
        supervisor.start()
        assert supervisor.stop() == StopReport(stopped=("stubborn",), killed=("stubborn",))
    begun, ended = (event.seconds for event in stage.events[-2:])
    # The event follows the signal, so it may be a little late.
    assert 0.4 < ended - begun < 3


def test_a_look_at_the_processes_that_fails_as_a_stop_begins_leaves_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = [OSError(errno.EMFILE, "Too many open files")]

    def look() -> procfs.Snapshot:
        if fails:
            raise fails.pop()
        return procfs.snapshot()

    with stage.supervisor(stage.up("one", "stays.py", stop_timeout=1.0)) as supervisor:
        supervisor.start()
        monkeypatch.setattr(process, "snapshot", look)
        supervisor.stop()
        assert fails == []
        assert stage.survivors() == []


@pytest.mark.parametrize("how", ["same-group", "own-session"])
def test_a_grandchild_that_outlives_its_parent_is_ended_too(stage: Stage, how: str) -> None:
    with stage.supervisor(stage.up("parent", "forks_grandchild.py", how, stop_timeout=20.0)) as supervisor:
        supervisor.start()
        assert len(stage.survivors()) == 2
        assert supervisor.stop().killed == ("parent",)
        assert stage.survivors() == []
    assert stage.events[-1].seconds < 10, "it waited the whole time-out for an orphan"


def test_a_component_that_dies_later_is_noticed(stage: Stage) -> None:
    ready = stage.up("x", "stays.py").ready
    mortal = stage.component("mortal", "exits.py", 9, stage.go, "up", "out of memory", ready=ready)
    with stage.supervisor(mortal, stage.up("other", "stays.py")) as supervisor:
        supervisor.start()
        supervisor.check()
        stage.go.touch()
        with pytest.raises(ComponentExited, match=r"mortal exited with code 9 while it was in use(?s:.*)out of memory"):
            supervisor.wait(10)
        with pytest.raises(ComponentExited):
            supervisor.check()
        assert [status.state for status in supervisor.statuses()] == [State.DIED, State.READY]
        assert stage.states("mortal").count(State.DIED) == 1
        assert len(stage.survivors()) == 1, "only the caller decides what becomes of the others"


@pytest.mark.parametrize("how", ["same-group", "own-session"])
def test_what_a_dead_component_leaves_behind_is_adopted_and_ended(stage: Stage, how: str) -> None:
    with stage.supervisor(stage.up("parent", "forks_grandchild.py", how, stop_timeout=20.0)) as supervisor:
        supervisor.start()
        pid = int(stage.events[0].detail.removeprefix("pid "))
        (grandchild,) = psutil.Process(pid).children()
        psutil.Process(pid).kill()
        with pytest.raises(ComponentExited, match="parent was killed by SIGKILL while it was in use"):
            supervisor.wait(10)
        assert grandchild.ppid() == os.getpid(), "the orphan was not adopted"
        supervisor.stop()
        assert stage.survivors() == []


def test_wait_tells_a_stop_request_from_the_end_of_the_time(stage: Stage) -> None:
    with stage.supervisor(stage.up("one", "stays.py")) as supervisor:
        supervisor.start()
        assert supervisor.wait(0.1) is False
        supervisor.request_stop()
        assert supervisor.wait(10) is True


def test_stopped_on_purpose_is_not_died(stage: Stage) -> None:
    with stage.supervisor(stage.up("base", "stays.py"), stage.up("target", "stays.py", needs=("base",))) as supervisor:
        supervisor.start()
        supervisor.stop_one("target")
        assert len(stage.survivors()) == 1
        supervisor.check()
        assert [status.state for status in supervisor.statuses()] == [State.READY, State.STOPPED]
        supervisor.restart_one("target")
        assert [status.state for status in supervisor.statuses()] == [State.READY, State.READY]
        assert len(stage.survivors()) == 2
        assert supervisor.stop().stopped == ("target", "base")
    assert stage.states("target")[:5] == [State.STARTING, State.READY, State.STOPPING, State.STOPPED, State.STARTING]


def test_a_dead_component_can_be_restarted_on_its_own_port(stage: Stage) -> None:
    with stage.supervisor(stage.web("web")) as supervisor:
        supervisor.start()
        (before,) = supervisor.statuses()
        assert before.pid is not None
        psutil.Process(before.pid).kill()
        eventually(lambda: supervisor.statuses()[0].state is State.DIED, "the death is noticed")
        supervisor.restart_one("web")
        supervisor.check()
        (after,) = supervisor.statuses()
        assert after.pid != before.pid


def test_restart_needs_what_the_component_needs(stage: Stage) -> None:
    with stage.supervisor(stage.up("base", "stays.py"), stage.up("user", "stays.py", needs=("base",))) as supervisor:
        supervisor.start()
        supervisor.stop_one("base")
        with pytest.raises(ComponentNotStarted, match="it needs base"):
            supervisor.restart_one("user")


def test_a_failed_restart_leaves_the_others_alone(stage: Stage, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    script = f"import pathlib, sys, time; f = pathlib.Path({str(flag)!r}); sys.exit(6) if f.exists() else f.touch(); "
    once = stage.up("once", "stays.py")
    script += "print('up', flush=True); time.sleep(600)"
    once = type(once)(name="once", argv=(*once.argv[:3], "-c", script), env=once.env, ready=once.ready)
    with stage.supervisor(once, stage.up("other", "stays.py")) as supervisor:
        supervisor.start()
        with pytest.raises(ComponentExited, match="once exited with code 6"):
            supervisor.restart_one("once")
        assert [status.state for status in supervisor.statuses()] == [State.STOPPED, State.READY]


def test_killed_on_purpose_is_neither_died_nor_stopped(stage: Stage) -> None:
    parent = stage.up("parent", "forks_grandchild.py", "own-session", stop_timeout=20.0)
    with stage.supervisor(parent, stage.up("other", "stays.py")) as supervisor:
        supervisor.start()
        (before, _) = supervisor.statuses()
        supervisor.kill_one("parent")
        assert supervisor.wait(0.2) is False, "nobody takes it for a death"
        assert supervisor.statuses()[0].state is State.KILLED
        with pytest.raises(ComponentNotStarted, match="parent cannot be killed: it is killed, not ready"):
            supervisor.kill_one("parent")
        supervisor.restart_one("parent")
        (after, other) = supervisor.statuses()
        assert (after.state, other.state) == (State.READY, State.READY)
        assert after.pid != before.pid
        assert len(stage.survivors()) == 3, "what the killed one left behind is still there"
    assert stage.survivors() == []
    assert stage.states("parent")[:4] == [State.STARTING, State.READY, State.KILLED, State.STOPPING]


def test_what_was_killed_and_not_restarted_is_stopped_with_the_rest(stage: Stage) -> None:
    with stage.supervisor(stage.up("parent", "forks_grandchild.py", "same-group", stop_timeout=20.0)) as supervisor:
        supervisor.start()
        supervisor.kill_one("parent")
        supervisor.stop()
        assert stage.survivors() == []
