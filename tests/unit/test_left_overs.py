"""What is not this release's or this run's does not count: other people's analyses and images, an earlier run's orders."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from harness.observation import image_ids, owned_by, parse_analysis_run, pod_revisions
from harness.observation.pods import same_image
from harness.plain import key_twice
from harness.platforms.local import orders, seed
from harness.platforms.local.binaries import MANIFESTS, Binaries

ROLLOUT = "rollout-uid"
LOCAL = "localhost:5001/webapp:v1.1@sha256:" + "a" * 64


def replica_set() -> dict[str, Any]:
    labels = {"rollouts-pod-template-hash": "abc"}
    return {
        "metadata": {"uid": "rs-uid", "labels": labels, "ownerReferences": [{"uid": ROLLOUT, "controller": True}]},
        "spec": {"template": {"spec": {"containers": [{"name": "webapp", "image": LOCAL}]}}},
    }


def pod(image: str, image_id: str = "") -> dict[str, Any]:
    labels = {"rollouts-pod-template-hash": "abc"}
    owners = [{"uid": "rs-uid", "controller": True}]
    return {
        "metadata": {"name": "webapp-abc-1", "labels": labels, "ownerReferences": owners},
        "spec": {"containers": [{"name": "webapp", "image": image}]},
        "status": {"containerStatuses": [{"name": "webapp", "imageID": image_id}]},
    }


@pytest.mark.parametrize(
    ("image", "ours"),
    [
        (LOCAL, True),
        (LOCAL.replace("localhost:5001", "mirror.example/team"), True),
        ("mirror.example/webapp:v1.1", True),
        ("localhost:5001/webapp:v1.0", False),
        (LOCAL.replace("a" * 64, "b" * 64), False),
        ("mirror.example/webapp@sha256:" + "b" * 64, False),
        ("evil.example/other:v1.1", False),
        ("", False),
    ],
)
def test_a_pod_is_the_revisions_by_its_image_whatever_the_registry_is_called(image: str, ours: bool) -> None:
    assert same_image(image, LOCAL) == ours
    assert pod_revisions([pod(image)], [replica_set()], ROLLOUT) == ({"webapp-abc-1": "abc"} if ours else {})


def test_a_digest_of_the_images_configuration_is_not_held_against_one_of_the_image() -> None:
    revisions = {"webapp-abc-1": "abc"}
    assert image_ids([pod(LOCAL, "r/webapp@sha256:1"), pod(LOCAL, "sha256:2")], revisions) == {"abc": frozenset({"sha256:1"})}


def test_an_object_is_owned_by_whom_it_names() -> None:
    assert owned_by(replica_set(), ROLLOUT)
    assert not owned_by(replica_set(), "another")
    assert not owned_by({"metadata": {"ownerReferences": None}}, ROLLOUT)


def test_a_limit_that_is_an_arguments_name_is_nothing_to_stumble_over() -> None:
    def forgiven(**metric: Any) -> str:
        spec = {"metrics": [{"name": "m", "count": 3, **metric}]}
        run = {"metadata": {"name": "run"}, "spec": spec, "status": {"metricResults": [{"name": "m"}]}}
        return parse_analysis_run(run).metrics[0].forgiven

    assert forgiven() == forgiven(failureLimit=2) == forgiven(failureLimit="{{args.limit}}") == ""
    assert forgiven(count="{{args.count}}", failureLimit="2") == ""
    assert "3 of its 3" in forgiven(failureLimit="3")
    assert forgiven(failureLimit=-1)


def test_orders_of_an_earlier_owner_are_forgotten(tmp_path: Path) -> None:
    orders.give(tmp_path, components=("gateway",), seconds=0.0, empty=False)
    (tmp_path / "order-x.part").write_text("{")
    orders.forget(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert orders.take(tmp_path) == []


def test_many_keys_are_looked_through_once_and_merges_are_no_keys() -> None:
    assert key_twice("".join(f"key{number}: 1\n" for number in range(20_000)) + "key7: 2\n") == "key7 (line 20001)"
    assert key_twice("a: &a {x: 1}\nb: &b {y: 1}\nc:\n  <<: *a\n  <<: *b\n") is None
    assert key_twice("1: a\n'1': b\n") is None


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Binaries:
    monkeypatch.setenv("GATEPROOF_CACHE_DIR", str(tmp_path / "cache"))
    made = Binaries(folder=tmp_path / "programs")
    (made.folder / "manifests").mkdir(parents=True)
    for name in MANIFESTS:
        made.manifest(name).write_text(yaml.safe_dump({"kind": name}))
    for name in ("etcd", "kube-apiserver", "kubectl"):
        made[name].write_text(name)
    return made


def test_a_seed_is_found_for_what_it_was_made_from_only_and_gone_when_it_is_discarded(programs: Binaries) -> None:
    place = seed.place(programs)
    assert seed.find(programs) is None
    (place / "etcd").mkdir(parents=True)
    assert seed.find(programs) == place
    programs.manifest(MANIFESTS[0]).write_text("kind: Another")
    assert seed.place(programs) != place
    assert seed.find(programs) is None
    seed.discard(place)
    assert not (place / "etcd").exists()


def test_old_seeds_of_other_programs_are_removed(programs: Binaries, monkeypatch: pytest.MonkeyPatch) -> None:
    place = seed.place(programs)
    for name in (place.name, "other"):
        (place.parent / name / "etcd").mkdir(parents=True)
    seed._forget_old(place)
    assert {each.name for each in place.parent.iterdir()} == {place.name, "other"}
    later = place.stat().st_mtime + seed.KEPT_SECONDS + 1
    monkeypatch.setattr(seed, "time", SimpleNamespace(time=lambda: later))
    seed._forget_old(place)
    assert [each.name for each in place.parent.iterdir()] == [place.name]
