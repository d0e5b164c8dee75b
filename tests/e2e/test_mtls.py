"""The chart's mTLS and its list of callers, at a sidecar: Istio's own agent, a real Envoy, and certificates of a real istiod.

docs/security.md rests on this. Not shown here: a sidecar that injection and iptables put before a pod's app, on kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from e2e_support import Place, ours, wait_until
from mesh import SECONDS, Mesh, Refused, running_mesh
from mesh_agents import GATEWAY, STRANGER, WEBAPP, Account, spiffe
from mesh_calls import REFUSED, Outcome, call, impostor, tls
from pilot_agent import BUILD_SECONDS, SOURCE, versions

from harness.platforms.local.binaries import Binaries
from harness.platforms.local.golang import TOOLCHAIN

pytestmark = pytest.mark.timeout(BUILD_SECONDS + 300)
TIMES = 5
"""How often each call is made: one that is let in now and then is not refused."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, bin_dir: Path) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("mesh")
    with running_mesh(folder, Binaries(folder=bin_dir)) as made:
        yield made
    assert processes(folder) == {}


def processes(folder: Path) -> dict[int, str]:
    """What runs of the mesh in this folder."""
    place = Place(run_dir=folder, gateway_port=0, registry_port=0)
    return {int(pid): command for pid, _, command in (each.partition(" ") for each in ours(place))}


def over_tls(mesh: Mesh, certificate: Path | None) -> Outcome:
    return call(mesh.inbound, tls(mesh.roots, certificate))


def as_member(mesh: Mesh, account: Account) -> Outcome:
    return over_tls(mesh, mesh.certificate(account))


def release(mesh: Mesh, mode: str, *, authorization: bool, expected: tuple[int, int]) -> None:
    """Bring the chart's policies in, and return when the sidecar goes by them: when plain text, and what another member of the
    mesh sends, come out like this."""
    mesh.release(mode=mode, authorization=authorization)
    wait_until(
        lambda: (call(mesh.inbound).status, as_member(mesh, STRANGER).status) == expected,
        what=f"{mode}: plain text and another member of the mesh get {expected}", timeout=SECONDS,
    )  # fmt: skip


def test_plain_text_is_refused_where_the_chart_says_strict_and_only_there(mesh: Mesh, tmp_path: Path) -> None:
    # Back and forth with nothing else changed, so that nothing else can be what makes the difference.
    for turn, (mode, status) in enumerate((("PERMISSIVE", 200), ("STRICT", REFUSED), ("PERMISSIVE", 200), ("STRICT", REFUSED))):
        release(mesh, mode, authorization=False, expected=(status, 200))
        app, before = mesh.app.callers, mesh.refused()
        app.clear()
        assert [call(mesh.inbound).status for _ in range(TIMES)] == [status] * TIMES, mode
        # What is refused never comes to the app, and it is the sidecar that ends it, having nothing there for plain text.
        assert app == ([] if status == REFUSED else [""] * TIMES), mode
        assert mesh.refused() == before._replace(no_tls=before.no_tls + (TIMES if status == REFUSED else 0)), mode
        tls_is_for_members_of_the_mesh(mesh, tmp_path / str(turn))


def test_of_the_meshs_members_the_gateway_alone_may_call(mesh: Mesh, tmp_path: Path) -> None:
    for mode, status in (("STRICT", REFUSED), ("PERMISSIVE", 403)):
        release(mesh, mode, authorization=True, expected=(status, 403))
        mesh.app.callers.clear()
        assert [as_member(mesh, STRANGER).status for _ in range(TIMES)] == [403] * TIMES, mode
        assert [call(mesh.inbound).status for _ in range(TIMES)] == [status] * TIMES, mode
        assert mesh.app.callers == [], mode
        # And users are served: that the gateway has to speak TLS to the sidecar, istiod finds out by itself.
        wait_until(lambda: call(mesh.users_way).status == 200, what="an answer by way of the gateway", timeout=SECONDS)
        mesh.app.callers.clear()
        assert [call(mesh.users_way).status for _ in range(TIMES)] == [200] * TIMES, mode
        assert called_by_the_gateway(mesh) == TIMES
        tls_is_for_members_of_the_mesh(mesh, tmp_path / mode)


def tls_is_for_members_of_the_mesh(mesh: Mesh, folder: Path) -> None:
    """As it must be in any mode: a sidecar that is broken, or that lets everybody in, fails here."""
    app, before = mesh.app.callers, mesh.refused()
    app.clear()
    for _ in range(TIMES):
        assert as_member(mesh, GATEWAY) == Outcome(status=200, server=spiffe(WEBAPP))
    assert called_by_the_gateway(mesh) == TIMES
    app.clear()
    false_name = impostor(folder, spiffe(GATEWAY))
    assert [over_tls(mesh, false_name).status for _ in range(TIMES)] == [REFUSED] * TIMES
    assert [over_tls(mesh, None).status for _ in range(TIMES)] == [REFUSED] * TIMES
    assert app == []
    more = Refused(no_tls=0, other_authority=TIMES, no_certificate=TIMES)
    assert mesh.refused() == Refused(*(sum(each) for each in zip(before, more, strict=True)))


def called_by_the_gateway(mesh: Mesh) -> int:
    """How many requests have come to the app; fails for one that, as its sidecar says, somebody else has sent."""
    ends = f"By={spiffe(WEBAPP)};", f"URI={spiffe(GATEWAY)}"
    assert [each for each in mesh.app.callers if not (each.startswith(ends[0]) and each.endswith(ends[1]))] == []
    return len(mesh.app.callers)


def test_nothing_of_it_listens_beyond_loopback(mesh: Mesh) -> None:
    running = processes(mesh.folder)
    listening = [each for each in psutil.net_connections("tcp") if each.pid in running and each.status == psutil.CONN_LISTEN]
    for program in ("etcd", "kube-apiserver", "pilot-discovery", "envoy"):
        assert any(program in running[each.pid or 0].split()[0] for each in listening), program
    beyond = [each for each in listening if each.laddr and not each.laddr.ip.startswith("127.")]
    assert [(running[each.pid or 0], each.laddr) for each in beyond] == []


def test_the_agent_is_of_the_very_versions_that_istiod_is_of() -> None:
    here, there = versions(SOURCE), versions(TOOLCHAIN / "controlplane")
    assert "istio.io/istio" in here
    assert {name: version for name, version in here.items() if there.get(name, version) != version} == {}
