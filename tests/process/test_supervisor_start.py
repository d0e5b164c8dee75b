"""Starting: order, speed, readiness, and every way in which it can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.stage import Stage, eventually

from harness.errors import Interrupted
from harness.supervisor.component import Component, ExecProbe, TcpProbe
from harness.supervisor.errors import ComponentExited, ComponentNotReady, ComponentNotStarted
from harness.supervisor.status import Event, State
from harness.supervisor.supervisor import Supervisor


def test_each_starts_once_its_own_needs_are_ready(stage: Stage) -> None:
    slow = stage.web("slow", delay=stage.go)
    after_slow = stage.up("after-slow", "stays.py", needs=("slow",))
    fast = stage.up("fast", "stays.py")
    after_fast = stage.up("after-fast", "stays.py", needs=("fast",))

    def tell(event: Event) -> None:
        stage.events.append(event)
        if (event.component, event.state) == ("after-fast", State.READY):
            stage.go.touch()  # so slow is ready only if after-fast did not wait for it

    with Supervisor(stage.plan(slow, after_slow, fast, after_fast), stage.logs, tell) as supervisor:
        supervisor.start()
        assert stage.order(State.READY)[-2:] == ["slow", "after-slow"]
        times = {(event.component, event.state): event.seconds for event in stage.events}
        assert times["slow", State.READY] <= times["after-slow", State.STARTING]


def test_statuses_tell_pid_memory_and_how_long_it_took(stage: Stage) -> None:
    with stage.supervisor(stage.web("web", delay=0.2), stage.task("prepare", 0)) as supervisor:
        assert [status.state for status in supervisor.statuses()] == [State.WAITING, State.WAITING]
        supervisor.start()
        web, prepare = supervisor.statuses()
        assert web.pid in stage.survivors()
        assert web.rss_bytes is not None
        assert 1_000_000 < web.rss_bytes < 100_000_000
        assert web.ready_after_seconds is not None
        assert 0.2 <= web.ready_after_seconds < 5
        assert (prepare.state, prepare.pid, prepare.rss_bytes) == (State.DONE, None, None)


def test_a_chain_costs_little_more_than_its_programs(stage: Stage) -> None:
    chain = [stage.up(f"c{i}", "stays.py", needs=(f"c{i - 1}",) if i else ()) for i in range(8)]
    with stage.supervisor(*chain) as supervisor:
        supervisor.start()
        # Each is a Python program, which takes some 20 ms to start; the rest is ours. The bound is for a busy machine.
        assert stage.events[-1].seconds / len(chain) < 0.3


def test_an_early_exit_is_told_with_code_and_last_words_at_once(stage: Stage) -> None:
    words = [f"line {i}" for i in range(30)]
    early = stage.component("early", "exits.py", 7, 0, *words, ready=TcpProbe(host="127.0.0.1", port=1))
    with stage.supervisor(stage.up("base", "stays.py"), early) as supervisor:
        with pytest.raises(ComponentExited) as raised:
            supervisor.start()
        assert stage.survivors() == [], "what had been started was not stopped before the error was raised"
    error = raised.value
    assert (error.name, error.code, error.signal_name) == ("early", 7, None)
    assert error.log_tail == tuple(words[-20:])
    assert str(error).startswith("component early exited with code 7 before it was ready; the last lines of ")
    assert "line 29" in str(error)
    assert stage.events[-1].seconds < 10, "it was taken for a time-out"


def test_an_exit_by_signal_names_the_signal(stage: Stage) -> None:
    killer = stage.component("killer", "exits.py", 0, 0, ready=TcpProbe(host="127.0.0.1", port=1))
    script = "import os, signal; os.kill(os.getpid(), signal.SIGUSR1)"
    component = Component(name="killer", argv=(*killer.argv[:3], "-c", script), env=killer.env, ready=killer.ready)
    with stage.supervisor(component) as supervisor, pytest.raises(ComponentExited, match="was killed by SIGUSR1") as raised:
        supervisor.start()
    assert (raised.value.code, raised.value.signal_name) == (None, "SIGUSR1")


def test_a_time_out_names_the_probe_its_last_answer_and_the_log(stage: Stage) -> None:
    with stage.supervisor(stage.web("cold", status=503, start_timeout=3)) as supervisor:
        with pytest.raises(ComponentNotReady) as raised:
            supervisor.start()
        assert stage.survivors() == []
    assert "cold was not ready within 3 s: GET http://127.0.0.1:" in str(raised.value)
    assert "status 503: warming up" in str(raised.value)
    assert '"GET / HTTP/1.1" 503' in raised.value.log_tail[-1]


def test_a_program_that_cannot_run_is_its_own_error(stage: Stage, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/nowhere/interpreter\n")
    broken.chmod(0o755)
    component = Component(name="broken", argv=(str(broken),), ready=TcpProbe(host="127.0.0.1", port=1))
    with (
        stage.supervisor(stage.up("base", "stays.py"), component) as supervisor,
        pytest.raises(ComponentNotStarted, match=r"component broken could not be started: .*No such file"),
    ):
        supervisor.start()
    assert stage.survivors() == []


def test_a_task_must_exit_with_0_before_what_needs_it_starts(stage: Stage) -> None:
    prepare = stage.task("prepare", 0, delay=0.3)
    with stage.supervisor(prepare, stage.up("user", "stays.py", needs=("prepare",))) as supervisor:
        supervisor.start()
        supervisor.check()
    assert stage.states("prepare")[:2] == [State.STARTING, State.DONE]
    names = [(event.component, event.state) for event in stage.events]
    assert names.index(("prepare", State.DONE)) < names.index(("user", State.STARTING))


def test_a_failing_task_is_an_error_with_its_words(stage: Stage) -> None:
    user = stage.up("user", "stays.py", needs=("prepare",))
    with (
        stage.supervisor(stage.task("prepare", 3, "no space"), user) as supervisor,
        pytest.raises(ComponentExited, match=r"prepare exited with code 3 instead of 0(?s:.*)no space"),
    ):
        supervisor.start()
    assert stage.states("user") == []


def test_a_task_that_does_not_end_is_stopped_at_its_time_out(stage: Stage) -> None:
    endless = stage.task("endless", 0, delay=60, start_timeout=0.3)
    with stage.supervisor(endless) as supervisor, pytest.raises(ComponentNotReady, match=r"did not end within 0\.3 s"):
        supervisor.start()


def test_a_ready_component_that_dies_while_others_start_is_noticed(stage: Stage) -> None:
    base = stage.component("base", "exits.py", 5, stage.go, "up", ready=stage.up("x", "stays.py").ready)
    never = stage.up("never", "stays.py", pattern="never said", needs=("base",))

    def tell(event: Event) -> None:
        if (event.component, event.state) == ("never", State.STARTING):
            stage.go.touch()

    with (
        Supervisor(stage.plan(base, never), stage.logs, tell) as supervisor,
        pytest.raises(ComponentExited, match="base exited with code 5 while"),
    ):
        supervisor.start()


def test_a_stop_request_from_an_event_ends_the_start(stage: Stage) -> None:
    components = (stage.up("first", "stays.py"), stage.up("never", "stays.py", pattern="never said", needs=("first",)))

    def tell(event: Event) -> None:
        if (event.component, event.state) == ("never", State.STARTING):
            supervisor.request_stop()

    with Supervisor(stage.plan(*components), stage.logs, tell) as supervisor:
        with pytest.raises(Interrupted):
            supervisor.start()
        assert stage.survivors() == []


def test_an_event_listener_that_fails_leaves_nothing_running(stage: Stage) -> None:
    def tell(event: Event) -> None:
        raise RuntimeError(f"cannot show {event.state}")

    with Supervisor(stage.plan(stage.up("first", "stays.py")), stage.logs, tell) as supervisor:
        with pytest.raises(RuntimeError, match="cannot show starting"):
            supervisor.start()
        assert stage.survivors() == []
        assert "first: cannot show stopping" in supervisor.stop().problems


def test_the_environment_is_the_components_own_and_nothing_else(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    shown = Component(
        name="shown",
        argv=("/usr/bin/env",),
        env={"ONLY": "this"},
        kind="task",
    )
    with stage.supervisor(shown) as supervisor:
        supervisor.start()
    assert (stage.logs / "shown.log").read_text() == "ONLY=this\n"


def test_an_exec_probe_runs_in_the_components_environment(stage: Stage) -> None:
    probe = ExecProbe(argv=("/bin/sh", "-c", f'test -n "$SUPERVISOR_TEST_MARK" && grep -q up {stage.logs}/probed.log'))
    with stage.supervisor(stage.component("probed", "stays.py", ready=probe)) as supervisor:
        supervisor.start()
        assert stage.states("probed") == [State.STARTING, State.READY]


def test_an_old_log_line_does_not_make_a_new_start_ready(stage: Stage) -> None:
    stage.logs.mkdir()
    (stage.logs / "late.log").write_text("up\n")
    late = stage.component("late", "exits.py", 4, 0.3, "starting", ready=stage.up("x", "stays.py").ready)
    with stage.supervisor(late) as supervisor, pytest.raises(ComponentExited) as raised:
        supervisor.start()
    assert raised.value.log_tail == ("starting",), "lines of an earlier run were shown"
    assert (stage.logs / "late.log").read_text() == "up\nstarting\n"


def test_it_starts_only_once(stage: Stage) -> None:
    with stage.supervisor(stage.up("one", "stays.py")) as supervisor:
        supervisor.start()
        with pytest.raises(RuntimeError, match="once"):
            supervisor.start()
        eventually(lambda: len(stage.survivors()) == 1, "the first start still runs")
