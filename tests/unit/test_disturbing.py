"""Disturbances of the platform: how they are written, when they are carried out, and what a verdict makes of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import verdict_world as w
from docs_support import DOCS

from harness.disturbances import KINDS, MOST_AT_ONCE, Due, parse, parse_all
from harness.disturber import Disturber, hand_for
from harness.errors import UsageError
from harness.observation import Disturbed, parse_response
from harness.platforms import Downtime
from harness.platforms.local.binaries import Binaries
from harness.platforms.local.components import components
from harness.platforms.local.config import LocalConfig, Ports
from harness.platforms.local.owner import STORES
from harness.platforms.local.paths import RunPaths
from harness.verdict import Outcome, judge
from harness.verdict.model import Kind

STEPS = (10, 30, 60)


@pytest.mark.parametrize(("text", "weight", "seconds"), [
    ("istiod", 10, 0.0), ("istiod@30", 30, 0.0), ("istiod@each:2.5", None, 2.5), ("istiod:20", 10, 20.0), ("load@60", 60, 0.0),
])  # fmt: skip
def test_what_can_be_asked_for(text: str, weight: int | None, seconds: float) -> None:
    found = parse(text, STEPS)
    assert (found.kind.name, found.weight, found.seconds) == (text.partition("@")[0].partition(":")[0], weight, seconds)


@pytest.mark.parametrize(("text", "words"), [
    *((text, "give NAME") for text in (
        "", "@10", "istiod@", "istiod@10:", "istiod@10@30", "istiod:1:2", "istiod:5@10", ":5", "@", ":",
    )),
    ("nobody@10", "there is no nobody"), ("ISTIOD", "there is no ISTIOD"), (" istiod", "there is no  istiod"),
    *((f"istiod@{where}", "is no step") for where in ("20", "-10", "1e1", "\u0661\u0660", "100", "010x", "10\n", "10 ", "0")),
    *((f"istiod@10:{seconds}", "no number of seconds") for seconds in (
        "-1", "nan", "inf", "601", "1e2", "1.2.3", ".", "5s", " 5", "\u0665", "9" * 400,
    )),
    ("load@10:3", "does not come back"),
])  # fmt: skip
def test_what_cannot_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse(text, STEPS)
    assert str(caught.value).startswith("--disturb ")


def test_the_same_twice_is_once_and_too_many_are_too_many() -> None:
    assert len(parse_all(["etcd@10", "etcd@10:0", "etcd"], STEPS)) == 1
    with pytest.raises(UsageError, match="at most"):
        parse_all([f"etcd:{number}" for number in range(MOST_AT_ONCE + 1)], STEPS)


def test_the_catalogue_names_parts_and_checks_that_there_are() -> None:
    anywhere = Path("/anywhere")
    config = LocalConfig(
        paths=RunPaths(root=anywhere), ports=Ports(**dict.fromkeys(Ports.free_names(), 1)), binaries=Binaries(folder=anywhere),
        envoy=anywhere, python=anywhere, source=anywhere, image_store=anywhere,
    )  # fmt: skip
    services = {component.name for component in components(config) if component.kind == "service"}
    worlds = (w.good_promote(), w.good_rollback())
    checks = {check.name for world in worlds for check in judge(world.scenario, world.observation()).checks}
    for kind in KINDS.values():
        assert set(kind.components) <= services
        assert not kind.empty or set(kind.components) <= STORES.keys()
        for name in kind.unsettles:
            assert any(check == name or check.startswith(name) for check in checks), name


def test_the_table_of_disturbances_is_current() -> None:
    rows = [f"| `{kind.name}` | {kind.due.value} | {kind.why} |" for kind in KINDS.values()]
    text = (DOCS / "disturbances.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("| `")][: len(rows)] == rows


# --- carried out ------------------------------------------------------------------------------------------------------------


class FakeHand:
    def __init__(self) -> None:
        self.orders: list[tuple[tuple[str, ...], float, bool]] = []
        self.found: dict[str, Downtime] = {}

    def disturb(self, parts: tuple[str, ...], *, seconds: float, empty: bool) -> str:
        self.orders.append((parts, seconds, empty))
        return str(len(self.orders))

    def downtime(self, key: str) -> Downtime | None:
        return self.found.get(key)


class FakePlatform:
    name = "fake"

    def __init__(self, hand: FakeHand | None) -> None:
        self._hand = hand

    def hand(self) -> FakeHand | None:
        return self._hand


class FakeLoad:
    killed = 0

    def kill(self) -> None:
        self.killed += 1


def disturber(*texts: str, hand: FakeHand | None = None) -> tuple[Disturber, FakeHand, FakeLoad]:
    hand, load = hand or FakeHand(), FakeLoad()
    platform: Any = FakePlatform(hand)
    given: Any = load
    seconds = itertools.count(step=2)
    return Disturber(
        wanted=parse_all(texts, STEPS), platform=platform, load=given, say=lambda _: None, clock=lambda: next(seconds)
    ), hand, load  # fmt: skip


def test_each_is_ordered_once_at_its_weight() -> None:
    made, hand, load = disturber("istiod@30:5", "prometheus-empty@30", "argo-rollouts@each", "load@60")
    for weight in (None, 0, 10, 10, 30, 30, 30, 60, 100, 0):
        made.tick(weight)
    controller = (("argo-rollouts",), 0.0, False)
    assert hand.orders == [
        controller, (("prometheus",), 0.0, True), controller, (("istiod",), 5.0, False), controller,
    ]  # fmt: skip
    assert load.killed == 1


def test_a_run_waits_for_what_is_away_and_for_no_longer() -> None:
    made, hand, _ = disturber("istiod@10:5", "etcd@60")
    made.tick(10)
    assert hand.orders == [], "the weight must be with the gateway first"
    assert made.settled()
    made.tick(10)
    assert not made.settled()
    hand.found["1"] = Downtime(down_at=5.0, up_at=None, problem="")
    assert not made.settled()
    assert [each.told for each in made.told()] == [
        "istiod killed at 10 %, and not back by the end",
        "etcd was not killed at 60 %: the release was decided before it got there",
    ]
    hand.found["1"] = Downtime(down_at=5.0, up_at=11.5, problem="")
    assert made.settled()
    assert made.told()[0].told == "istiod killed at 10 %, back after 6.5 s"
    hand.found["1"] = Downtime(down_at=5.0, up_at=None, problem="it broke")
    assert made.settled()
    assert made.longest > 5


def test_a_platform_whose_parts_nobody_may_kill_says_so() -> None:
    platform: Any = FakePlatform(None)
    with pytest.raises(UsageError, match="nobody may kill parts of the platform fake"):
        hand_for(parse_all(["istiod"], STEPS), platform)
    assert hand_for(parse_all(["load"], STEPS), platform) is None
    assert hand_for((), platform) is None


# --- judged -----------------------------------------------------------------------------------------------------------------


def disturbed(world: w.World, *texts: str, down: float = 5.0, up: float = 7.0, **change: Any) -> w.World:
    """The same release, with parts of the platform away from `down` to `up` seconds after it was asked for."""
    found = world.clone()
    found.scenario = replace(world.scenario, disturbances=parse_all(texts, world.scenario.steps))
    found.facts["disturbed"] = tuple(
        replace(Disturbed(kind=each.kind.name, at_weight=10, down_at=w.START + down, up_at=w.START + up), **change)
        for each in found.scenario.disturbances
    )
    return found


def refused(world: w.World, at: float, count: int = 3) -> w.World:
    """Users to whom nobody answered, in place of answers of the stable version."""
    stable = [each for each in world.records if w.STABLE in (each["pod"] or "")]
    for record in sorted(stable, key=lambda each: abs(float(each["at"]) - w.START - at))[:count]:
        record |= {"status": 0, "version": None, "pod": None, "error": "ConnectionRefused"}
    return world


def outcome(world: w.World) -> tuple[Outcome, list[str]]:
    verdict = judge(world.scenario, world.observation())
    return verdict.outcome, [check.name for check in verdict.failures]


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS.values() if kind.due is not Due.INCONCLUSIVE])
def test_a_right_decision_stays_right_when_a_part_comes_back(kind: str) -> None:
    for world in (w.good_promote(), w.good_rollback()):
        found = disturbed(world, kind)
        assert outcome(found) == (Outcome.EXPECTED, [])
        checks = {check.name: check for check in judge(found.scenario, found.observation()).checks}
        assert checks["disturbances"].actual == f"{kind} killed at 10 %, back after 2.0 s"


@pytest.mark.parametrize("change", [{"down_at": None}, {"up_at": None}, {"problem": "it broke"}])
def test_one_that_did_not_come_about_as_asked_is_inconclusive(change: dict[str, Any]) -> None:
    assert outcome(disturbed(w.good_promote(), "istiod", **change)) == (Outcome.INCONCLUSIVE, ["disturbances"])


def test_one_that_left_no_trace_is_inconclusive() -> None:
    world = disturbed(w.good_promote(), "istiod")
    world.facts["disturbed"] = ()
    assert outcome(world) == (Outcome.INCONCLUSIVE, ["disturbances"])


def test_users_that_nobody_answered_meanwhile_are_counted_and_no_fault_of_the_gate() -> None:
    assert outcome(refused(w.good_promote(), 6.0))[0] is not Outcome.EXPECTED
    world = refused(disturbed(w.good_promote(), "gateway"), 6.0)
    assert outcome(world) == (Outcome.EXPECTED, [])
    (check,) = (each for each in judge(world.scenario, world.observation()).checks if each.name == "user requests")
    assert "3 of" in check.actual
    assert "0 for other reasons, 3 while a part of the platform was away on purpose" in check.actual


def test_users_that_failed_at_another_time_or_for_another_reason_still_count() -> None:
    assert outcome(refused(disturbed(w.good_promote(), "gateway"), 40.0)) == (Outcome.OTHER_DECISION, ["user requests"])
    found = refused(disturbed(w.good_promote(), "kube-controller-manager"), 6.0)
    assert outcome(found) == (Outcome.OTHER_DECISION, ["user requests"])
    world = disturbed(w.good_promote(), "gateway")
    record = next(each for each in world.records if w.STABLE in (each["pod"] or "") and 5.5 < each["at"] - w.START < 6.5)
    record["status"] = 500
    assert parse_response(record).failed
    assert outcome(world) == (Outcome.OTHER_DECISION, ["user requests"])


def test_users_who_got_the_bad_version_while_the_gateway_heard_nothing_are_no_wrong_decision() -> None:
    world = w.good_rollback()
    late = max(world.records, key=lambda each: each["at"])
    late |= {"version": world.scenario.candidate, "pod": f"webapp-{w.CANDIDATE}-x0abc"}
    assert outcome(world) == (Outcome.OTHER_DECISION, ["time to safe"])
    assert outcome(disturbed(world, "istiod")) == (Outcome.INCONCLUSIVE, ["time to safe"])
    assert outcome(disturbed(world, "argo-rollouts")) == (Outcome.OTHER_DECISION, ["time to safe"])


def test_a_wrong_decision_is_one_whatever_was_disturbed() -> None:
    for kind in ("istiod", "gateway", "node-agent", "argo-rollouts"):
        world = disturbed(w.good_promote(), kind)
        world.scenario = replace(w.FAILED_SCENARIO, disturbances=world.scenario.disturbances)
        failures = [check for check in judge(world.scenario, world.observation()).failures if check.name == "decision"]
        assert [check.kind for check in failures] == [Kind.DECISION]
