"""The moves of a release by commit, with an Argo CD and a repository that only remember what they were asked."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import verdict_world as w
import yaml

from harness.chart import Helm
from harness.errors import PlatformError, UsageError
from harness.gitops import delivery
from harness.gitops.argocd import Unanswered
from harness.gitops.delivery import GitDelivery, withdraw
from harness.gitops.manifests import RELEASED, SYNC_EVERYTHING, USER, VALUES
from harness.observation import ServedSample
from harness.observation.gitops import Commit
from harness.platforms import Endpoints, GitOps
from harness.release import Chart
from harness.variants import BuiltImage

DIGEST = "sha256:" + "ab" * 32


@dataclass
class FakeArgoCd:
    app: dict[str, Any] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    away: int = 0
    """How many questions it leaves unanswered, from now on."""
    lost: int = 0
    """How many answers to an order get lost."""

    def put(self, plural: str, wanted: Any) -> None:
        self.asked.append(("put", plural))

    def get(self, plural: str, name: str) -> Any:
        self._answer()
        return copy.deepcopy(self.app) or None

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise Unanswered("the API does not answer")

    def refresh(self, name: str) -> None:
        self.asked.append("refresh")

    def sync(self, name: str, *, revision: str, options: Any, by: str) -> None:
        self.asked.append(("sync", revision, tuple(options), by))
        if self.lost:
            self.lost -= 1
            raise Unanswered("the API does not answer")

    def delete(self, plural: str, name: str) -> bool:
        self.asked.append("delete")
        return len(self.asked) < 3


@dataclass
class FakeRepository:
    work: Path
    commits: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def start(self) -> None:
        self.work.mkdir(parents=True)

    def commit(self, subject: str, *, files: Any = None, force: bool = False) -> Commit:
        self.commits.append((subject, dict(files or {})))
        return self._made(subject)

    def revert(self, commit: Commit) -> Commit:
        self.commits.append(("revert", {"of": commit.sha}))
        return self._made("revert")

    def _made(self, subject: str) -> Commit:
        return Commit(sha=f"{len(self.commits):040d}", subject=subject, at=0.0)


@dataclass
class Set:
    """A delivery between fakes."""

    made: GitDelivery
    argocd: FakeArgoCd
    repository: FakeRepository
    said: list[str]

    def status(self, **status: Any) -> None:
        self.argocd.app = {"status": status}

    @property
    def syncs(self) -> list[Any]:
        """What was asked for as a sync."""
        return [each for each in self.argocd.asked if each[0] == "sync"]

    def tick(self, weight: int, *, age: float = 5.0) -> None:
        service = SimpleNamespace(object=w.virtual_service(weight), at=delivery.time.time() - age)
        self.made.tick(SimpleNamespace(history=lambda kind: [service]), 10)  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [1e9]
    monkeypatch.setattr(delivery, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0], sleep=lambda _: None))
    return now


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Set:
    argocd, repository = FakeArgoCd(), FakeRepository(tmp_path / "repository")
    monkeypatch.setattr(delivery, "ArgoCd", lambda **_: argocd)
    monkeypatch.setattr(delivery, "Repository", lambda **_: repository)
    monkeypatch.setattr(delivery, "SETTLE_SECONDS", 0.0)
    chart, values = tmp_path / "chart", tmp_path / "values.yaml"
    chart.mkdir()
    (chart / "Chart.yaml").write_text("name: webapp\n")
    values.write_text("gateway: {bind: 127.0.0.1, port: 1}\n")
    endpoints = Endpoints(
        kubeconfig=tmp_path / "kubeconfig", context="c", gateway_url="", prometheus_url="", registry="", namespace="webapp",
        scratch=tmp_path,
    )  # fmt: skip
    place = GitOps(push_url="/bare", repo_url="http://git", namespace="argocd", destination="https://api", git=Path("/git"))
    of_chart = Chart(
        helm=Helm(binary=tmp_path, kubeconfig=tmp_path, home=tmp_path), path=chart, namespace="webapp", values_files=(values,),
        values={"gateway": {"port": 2}}, user_values={"slo": {"successRate": 0.999}},
    )  # fmt: skip
    said: list[str] = []
    made = GitDelivery(chart=of_chart, place=place, endpoints=endpoints, check=lambda: None, say=said.append)
    return Set(made, argocd, repository, said)


def image(tag: str) -> BuiltImage:
    return BuiltImage(repository="r/webapp", tag=tag, digest=DIGEST, reference=f"r/webapp:{tag}@{DIGEST}")


def released(ready: Set) -> Set:
    for tag in ("v1.0", "v1.1"):
        ready.made.apply(image(tag), trial=f"t-{tag}")
    ready.status(operationState={"phase": "Succeeded"})
    return ready


def test_the_first_commit_holds_everything_and_the_release_one_file(ready: Set) -> None:
    released(ready)
    (_, first), (subject, second) = ready.repository.commits
    assert set(first) == {VALUES, USER, RELEASED}
    assert yaml.safe_load(first[VALUES]) == {"gateway": {"bind": "127.0.0.1", "port": 2}}
    assert yaml.safe_load(first[USER]) == {"slo": {"successRate": 0.999}}
    assert (ready.repository.work / "chart" / "Chart.yaml").is_file()
    assert (subject, set(second)) == ("Release v1.1", {RELEASED})
    assert yaml.safe_load(second[RELEASED])["podAnnotations"] == {"gateproof.io/trial": "t-v1.1"}
    assert ready.argocd.asked == [("put", "appprojects"), ("put", "applications"), "refresh", "refresh"]


def test_the_sync_comes_once_under_the_first_weight_and_not_too_soon(ready: Set) -> None:
    released(ready)
    for weight, age in ((0, 5.0), (10, 0.2), (30, 5.0)):
        ready.tick(weight, age=age)
    assert len(ready.repository.commits) == 2
    for _ in range(3):
        ready.tick(10)
    assert ready.syncs == [("sync", f"{3:040d}", SYNC_EVERYTHING, "gateproof")]


def test_a_sync_that_argo_cd_has_lost_is_asked_for_again(ready: Set, clock: list[float]) -> None:
    released(ready)
    ready.tick(10)
    clock[0] += 1
    ready.tick(10)
    assert len(ready.syncs) == 1, "it may only be slow"
    clock[0] += 5
    ready.tick(30)
    assert len(ready.syncs) == 1, "at another weight it would prove nothing"
    ready.argocd.app["operation"] = {"sync": {}}
    ready.tick(10)
    assert len(ready.syncs) == 1, "it is still to be taken up"
    del ready.argocd.app["operation"]
    ready.tick(10)
    assert ready.syncs == [("sync", f"{3:040d}", SYNC_EVERYTHING, "gateproof")] * 2
    assert len(ready.repository.commits) == 3


def test_it_waits_where_argo_cd_begins_a_sync_while_the_note_is_committed(ready: Set) -> None:
    released(ready)
    commit = ready.repository.commit

    def while_it_begins(*args: Any, **options: Any) -> Commit:
        ready.status(operationState={"phase": "Running"})
        return commit(*args, **options)

    ready.repository.commit = while_it_begins  # type: ignore[method-assign]
    ready.tick(10)
    ready.tick(10)
    assert ready.syncs == []
    ready.status(operationState={"phase": "Succeeded"})
    ready.tick(10)
    assert ready.syncs == [("sync", f"{3:040d}", SYNC_EVERYTHING, "gateproof")]
    assert len(ready.repository.commits) == 3


def test_an_api_that_is_away_for_a_while_ends_nothing_and_is_told_once(ready: Set) -> None:
    released(ready)
    ready.argocd.away = 3
    for _ in range(4):
        ready.tick(10)
    assert len(ready.syncs) == 1
    ready.argocd.away = 1
    ready.tick(10)
    assert [each for each in ready.said if "cannot be asked" in each] == ["Argo CD cannot be asked: the API does not answer"] * 2


def test_an_api_that_goes_away_behind_the_note_gets_one_note(ready: Set) -> None:
    released(ready)
    commit = ready.repository.commit

    def while_it_goes(*args: Any, **options: Any) -> Commit:
        ready.argocd.away = 1
        return commit(*args, **options)

    ready.repository.commit = while_it_goes  # type: ignore[method-assign]
    ready.tick(10)
    assert ready.syncs == []
    ready.tick(10)
    assert ready.syncs == [("sync", f"{3:040d}", SYNC_EVERYTHING, "gateproof")]
    assert len(ready.repository.commits) == 3


def test_an_order_whose_answer_is_lost_is_given_again_when_there_is_no_sign_of_it(ready: Set, clock: list[float]) -> None:
    released(ready)
    ready.argocd.lost = 1
    for _ in range(2):
        ready.tick(10)
    assert len(ready.syncs) == 1, "it may have been taken"
    clock[0] += 5
    ready.tick(10)
    assert len(ready.syncs) == 2
    assert len(ready.repository.commits) == 3


def test_an_api_that_stays_away_at_the_end_is_told(ready: Set) -> None:
    released(ready)
    ready.argocd.away = 1000
    with pytest.raises(Unanswered):
        ready.made.conclude(w.good_promote().observation(), SimpleNamespace(), lambda _: ())  # type: ignore[arg-type]


def test_an_api_that_is_away_at_the_end_is_asked_again(ready: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SETTLE_SECONDS", 60.0)
    released(ready)
    ready.status(operationState={"phase": "Succeeded"}, health={"status": "Healthy"}, sync={"status": "Synced"})
    ready.argocd.away = 2
    facts = ready.made.conclude(w.good_promote().observation(), SimpleNamespace(), lambda _: ()).gitops  # type: ignore[arg-type]
    assert facts
    assert facts.decided
    assert facts.decided.health == "Healthy"


@pytest.mark.parametrize("busy", [{"operationState": {"phase": "Running"}}, {}])
def test_it_waits_for_argo_cds_own_sync(ready: Set, busy: dict[str, Any]) -> None:
    released(ready)
    ready.status(**busy)
    ready.argocd.app["metadata"] = {}
    ready.tick(10)
    assert len(ready.repository.commits) == 2


def test_nothing_happens_before_the_release(ready: Set) -> None:
    ready.made.apply(image("v1.0"), trial="t")
    ready.tick(10)
    assert len(ready.repository.commits) == 1


@pytest.mark.parametrize(
    ("by", "revision", "phase", "ended"),
    [
        ("gateproof", f"{3:040d}", "Succeeded", True),
        ("gateproof", f"{3:040d}", "Error", True),
        ("gateproof", f"{3:040d}", "Running", False),
        ("gateproof", f"{2:040d}", "Succeeded", False),
        ("", f"{3:040d}", "Succeeded", False),
    ],
    ids=["ours", "ours that failed", "ours under way", "an earlier one", "Argo CD's own, of what differs alone"],
)
def test_only_our_own_sync_is_the_one_in_the_middle(ready: Set, by: str, revision: str, phase: str, ended: bool) -> None:
    released(ready)
    ready.tick(10)
    ready.status(operationState={
        "phase": phase, "operation": {"initiatedBy": {"username": by}, "sync": {"revision": revision}},
        "syncResult": {"resources": [{"kind": "Service", "name": "a", "status": "Synced"}, {"kind": "X", "name": "b"}]},
    })  # fmt: skip
    ready.tick(10)
    facts = ready.made.conclude(w.good_promote().observation(), SimpleNamespace(), lambda _: ()).gitops  # type: ignore[arg-type]
    assert facts
    assert facts.sync
    assert (facts.sync.finished_at is not None) is ended
    assert facts.sync.applied == (("Service/a",) if ended else ())


def test_an_abort_is_reverted_and_a_promotion_is_not(ready: Set) -> None:
    released(ready)
    watcher: Any = SimpleNamespace(get=lambda *_: w.rollout(phase="Healthy", current=w.STABLE, stable=w.STABLE))
    sample = ServedSample(version="v1.0", pod="p", status=200)
    kept = ready.made.conclude(w.good_promote().observation(), watcher, lambda count: (sample,) * count).gitops
    assert kept
    assert (kept.revert, kept.reverted, kept.samples) == (None, None, ())
    back = ready.made.conclude(w.good_rollback().observation(), watcher, lambda count: (sample,) * count).gitops
    assert back
    assert ready.repository.commits[-1] == ("revert", {"of": back.release.sha})
    assert (back.rollout_phase, back.rollout_hash, len(back.samples)) == ("Healthy", w.STABLE, 60)


def test_an_application_that_is_gone_is_told(ready: Set) -> None:
    released(ready)
    ready.argocd.app = {}
    with pytest.raises(PlatformError, match="was deleted during the release"):
        ready.tick(10)


def test_withdrawing_waits_until_it_is_gone(ready: Set) -> None:
    withdraw(ready.argocd, lambda: None)  # type: ignore[arg-type]
    assert ready.argocd.asked == ["delete"] * 3


@pytest.mark.parametrize(("text", "told"), [("a: [", "is no YAML"), ("- 1\n", "holds no values")])
def test_a_values_file_that_is_none_is_told(ready: Set, text: str, told: str) -> None:
    ready.made.chart.values_files[0].write_text(text)
    with pytest.raises(UsageError, match=told):
        ready.made.apply(image("v1.0"), trial="t")
