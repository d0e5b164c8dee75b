"""Probes: when they run, and what they add up to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_sim import T0, Sim, pod_dict

from harness.platforms.local.node import actions as act
from harness.platforms.local.node.facts import Op, OpDone
from harness.platforms.local.node.probing import count
from harness.platforms.local.node.spec import Probe, ProbeKind, TcpSocket
from harness.platforms.local.node.state import ProbeState

HTTP = {"httpGet": {"path": "/", "port": 80}}
EXEC = {"exec": {"command": ["true"]}}


def sim_with(**probes: Any) -> Sim:
    return Sim(pod_dict(probes)).news()


def test_without_probes_a_running_container_is_ready() -> None:
    assert Sim(pod_dict()).news().ready


def test_first_probe_runs_as_soon_as_the_port_opens() -> None:
    sim = sim_with(readinessProbe={**HTTP, "periodSeconds": 5}).run(0.3)
    assert not sim.did(act.RunProbe)
    sim.port()
    assert [at for at, _ in sim.did(act.RunProbe)] == [pytest.approx(0.3)]
    assert not sim.ready
    assert sim.probe(ok=True).ready
    assert sim.did(act.PutWorkloadEntry)


def test_a_pod_is_ready_for_others_only_once_the_mesh_can_find_it() -> None:
    # The controller gives it users as soon as it is ready: a gateway without its address answered 503.
    sim = sim_with(readinessProbe=HTTP).port()
    sim.unanswered = {act.PutWorkloadEntry}
    assert not sim.probe(ok=True).ready
    assert sim.did(act.PutWorkloadEntry)
    assert sim.news(OpDone(op=Op.ENTRY, ok=True)).ready


def test_an_entry_that_cannot_be_written_keeps_no_pod_from_being_ready() -> None:
    sim = sim_with(readinessProbe=HTTP).port()
    sim.refused = {act.PutWorkloadEntry}
    assert sim.probe(ok=True).ready
    assert not sim.entry


def test_port_that_never_opens_is_probed_after_one_period() -> None:
    sim = sim_with(readinessProbe={**HTTP, "periodSeconds": 5}).run(5)
    assert [at for at, _ in sim.did(act.RunProbe)] == [5]


def test_after_a_first_failure_the_period_alone_decides() -> None:
    sim = sim_with(readinessProbe={**HTTP, "periodSeconds": 5}).run(1).port().probe(ok=False).run(4.9)
    assert len(sim.did(act.RunProbe)) == 1
    assert [at for at, _ in sim.run(0.2).did(act.RunProbe)] == [1, 6]


def test_initial_delay_is_kept_even_when_the_port_is_open() -> None:
    sim = sim_with(readinessProbe={**HTTP, "initialDelaySeconds": 3}).port().run(2.9)
    assert not sim.did(act.RunProbe)
    assert [at for at, _ in sim.run(0.2).did(act.RunProbe)] == [3]


def test_exec_probe_runs_at_once() -> None:
    assert [at for at, _ in sim_with(readinessProbe=EXEC).did(act.RunProbe)] == [0]


def test_slow_probe_is_not_sent_twice_and_drops_ticks() -> None:
    sim = sim_with(readinessProbe={**EXEC, "periodSeconds": 1, "timeoutSeconds": 60}).run(3.5).news()
    assert len(sim.did(act.RunProbe)) == 1
    sim.probe(ok=True)
    assert [at for at, _ in sim.did(act.RunProbe)] == [0, 3.5], "the tick that is due is sent, the missed ones are not"
    sim.probe(ok=True).run(0.6)
    assert [at for at, _ in sim.did(act.RunProbe)] == [0, 3.5, 4]


def test_startup_probe_holds_back_the_others() -> None:
    sim = sim_with(startupProbe=EXEC, readinessProbe=HTTP, livenessProbe=HTTP)
    assert {a.kind for _, a in sim.did(act.RunProbe)} == {ProbeKind.STARTUP}
    assert sim.container()["started"] is False
    sim.run(0.5).probe(ok=True, kind=ProbeKind.STARTUP)
    assert sim.container()["started"] is True
    assert {a.kind for at, a in sim.did(act.RunProbe) if at == 0.5} == {ProbeKind.READINESS, ProbeKind.LIVENESS}
    assert not sim.run(60).did(act.RunProbe, since=T0 + 1)[1:] or all(
        a.kind is not ProbeKind.STARTUP for _, a in sim.did(act.RunProbe, since=T0 + 1)
    )


@pytest.mark.parametrize(("kind", "field"), [(ProbeKind.STARTUP, "startupProbe"), (ProbeKind.LIVENESS, "livenessProbe")])
def test_failed_startup_or_liveness_restarts_after_the_threshold(kind: ProbeKind, field: str) -> None:
    sim = sim_with(**{field: {**EXEC, "periodSeconds": 1, "failureThreshold": 2}})
    sim.probe(ok=False, kind=kind)
    assert not sim.did(act.Signal)
    sim.run(1).probe(ok=False, kind=kind)
    assert len(sim.did(act.Signal)) == 1
    assert ("Unhealthy", f"{kind} probe failed: no") in sim.events()
    assert ("Killing", f"Container app failed {kind.lower()} probe, will be restarted") in sim.events()
    assert not sim.ready
    sim.exit(143)
    assert sim.container()["restartCount"] == 1


def test_liveness_kill_honours_grace_and_the_probes_own() -> None:
    for probe_grace, want in ((None, 30), (4, 4)):
        extra = {} if probe_grace is None else {"terminationGracePeriodSeconds": probe_grace}
        sim = sim_with(livenessProbe={**EXEC, "failureThreshold": 1, **extra}).probe(ok=False, kind=ProbeKind.LIVENESS)
        sim.run(60)
        assert [at for at, _ in sim.did(act.Kill)] == [want]


def test_liveness_kill_takes_the_entry_away_before_the_signal() -> None:
    sim = sim_with(livenessProbe={**EXEC, "failureThreshold": 1})
    assert sim.entry
    sim.probe(ok=False, kind=ProbeKind.LIVENESS)
    assert sim.names().index("DeleteWorkloadEntry") < sim.names().index("Signal")


def test_readiness_failure_restarts_nothing() -> None:
    sim = sim_with(readinessProbe={**EXEC, "failureThreshold": 1, "periodSeconds": 1}).probe(ok=True)
    assert sim.ready
    sim.run(1).probe(ok=False)
    assert not sim.ready
    assert sim.entry is None
    assert not sim.did(act.Signal)
    sim.run(1).probe(ok=True)
    assert sim.ready
    assert sim.entry


@given(results=st.lists(st.booleans(), max_size=40), good=st.integers(1, 4), bad=st.integers(1, 4))
def test_thresholds_count_results_in_a_row(results: list[bool], good: int, bad: int) -> None:
    probe = Probe(check=TcpSocket(port=1), success_threshold=good, failure_threshold=bad)
    state = ProbeState()
    want: bool | None = None
    for i, ok in enumerate(results):
        state = count(probe, state, ok)
        need = good if ok else bad
        if i + 1 >= need and all(r == ok for r in results[i + 1 - need : i + 1]):
            want = ok
        assert state.result == want
