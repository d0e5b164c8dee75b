"""Orders to the owner of a local platform: what it kills comes back, and what does not is told; with tiny fake programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.stage import Stage, eventually

from harness.platforms.local import orders, state
from harness.platforms.local.hand import LocalHand
from harness.platforms.local.owner import Owner
from harness.platforms.local.paths import RunPaths
from harness.supervisor.supervisor import Supervisor


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    made = RunPaths(root=tmp_path / "run")
    made.make()
    return made


@pytest.fixture
def owner(stage: Stage, paths: RunPaths) -> Iterator[Owner]:
    """An owner of three fakes that is up, but looks at its orders only when told."""
    made = Owner(paths)
    base, user = stage.up("base", "stays.py"), stage.up("user", "stays.py", needs=("base",))
    plan = stage.plan(stage.up("prometheus", "stays.py"), base, user)
    with Supervisor(plan, paths.logs, made._on_event) as supervisor:
        made._supervisor = supervisor
        supervisor.start()
        yield made


def hand(paths: RunPaths) -> LocalHand:
    def read() -> state.State:
        found = state.read(paths.state)
        assert found
        return found

    return LocalHand(folder=paths.root, read=read)


def obey(owner: Owner, paths: RunPaths) -> None:
    for order in orders.take(paths.root):
        owner._disturb(order)


def test_an_order_kills_restarts_and_is_no_death(owner: Owner, paths: RunPaths) -> None:
    before = {each["name"]: each["pid"] for each in hand(paths).read().components}
    key = hand(paths).disturb(("base", "user"), seconds=0.2, empty=False)
    assert hand(paths).downtime(key) is None
    (file,) = paths.root.glob("order-*")
    assert file.stat().st_mode & 0o077 == 0
    obey(owner, paths)
    found, now = hand(paths).downtime(key), hand(paths).read()
    assert found is not None
    assert found.down_at is not None
    assert found.up_at is not None
    assert found.up_at - found.down_at >= 0.2
    assert (found.problem, now.died) == ("", {})
    after = {each["name"]: each["pid"] for each in now.components if each["state"] == "ready"}
    assert after.keys() == before.keys()
    assert {name for name in before if before[name] != after[name]} == {"base", "user"}
    assert orders.take(paths.root) == []


def test_orders_are_taken_as_they_were_given_whatever_the_file_system_says(paths: RunPaths) -> None:
    given = []
    for number in range(8):
        given.append(orders.give(paths.root, components=("user",), seconds=0, empty=False))
        (file,) = paths.root.glob(f"order-*{given[-1]}.json")
        os.utime(file, (100 - number, 100 - number))
    assert [each.key for each in orders.take(paths.root)] == given


def test_an_order_to_come_back_empty_removes_the_store_alone(owner: Owner, paths: RunPaths) -> None:
    for name in ("prometheus", "etcd"):
        (paths.data / name).mkdir()
        (paths.data / name / "wal").write_text("samples")
    hand(paths).disturb(("prometheus",), seconds=0, empty=True)
    obey(owner, paths)
    assert [each.name for each in paths.data.iterdir()] == ["etcd"]


def test_what_does_not_come_back_has_died(owner: Owner, paths: RunPaths, stage: Stage) -> None:
    supervisor = owner._supervisor
    assert supervisor is not None
    record = supervisor._records["user"]
    record.component = stage.component("user", "exits.py", 5, 0.0, "no more", ready=record.component.ready)
    key = hand(paths).disturb(("user",), seconds=0, empty=False)
    obey(owner, paths)
    found = hand(paths).downtime(key)
    assert found is not None
    assert found.up_at is None
    assert "user did not come back after it was killed by order: component user exited with code 5" in found.problem
    assert hand(paths).read().died == {"user": found.problem}


def test_another_death_meanwhile_is_still_a_death(owner: Owner, paths: RunPaths) -> None:
    pid = next(each["pid"] for each in hand(paths).read().components if each["name"] == "user")
    os.kill(pid, 9)
    hand(paths).disturb(("prometheus",), seconds=0.3, empty=False)
    obey(owner, paths)
    eventually(lambda: "user" in hand(paths).read().died, "the death is told")
    assert hand(paths).read().died.keys() == {"user"}


def test_an_order_for_what_is_not_there_or_no_order_at_all(
    owner: Owner, paths: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    (paths.root / "order-1.json").write_text("{")
    key = hand(paths).disturb(("nobody",), seconds=0, empty=False)
    obey(owner, paths)
    found = hand(paths).downtime(key)
    assert found is not None
    assert (found.down_at, found.up_at) == (None, None)
    assert "nobody" in found.problem
    assert "an order that cannot be read" in capsys.readouterr().out


def test_a_stop_does_not_wait_for_what_is_away(owner: Owner, paths: RunPaths) -> None:
    key = hand(paths).disturb(("user",), seconds=500, empty=False)
    owner.request_stop()
    obey(owner, paths)
    found = hand(paths).downtime(key)
    assert found is not None
    assert found.up_at is None
    assert hand(paths).read().died == {}
