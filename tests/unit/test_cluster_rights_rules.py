"""Rights as rules: what a run needs is worked out from what the chart renders to."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.load import ALLOW_HOST, environment
from harness.platforms import Images
from harness.platforms.cluster.ledger import Claim, Ledger
from harness.platforms.cluster.rights import Right, in_namespace, kinds_of, resource_of, rules
from harness.supply import named_for_pulling, supply, taken
from harness.variants import BuiltImage, Faults, Variant

DIGEST = "sha256:" + 64 * "a"


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        ("Gateway", "gateways"), ("NetworkPolicy", "networkpolicies"), ("Ingress", "ingresses"), ("Rollout", "rollouts"),
        ("AnalysisTemplate", "analysistemplates"), ("HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    ],
)  # fmt: skip
def test_a_kind_is_named_by_its_plural(kind: str, resource: str) -> None:
    assert resource_of(kind) == resource


def test_the_pods_of_helm_test_need_no_right() -> None:
    hook = {"metadata": {"annotations": {"helm.sh/hook": "test"}}, "apiVersion": "v1", "kind": "Pod"}
    plain = {"metadata": {}, "apiVersion": "apps/v1", "kind": "Deployment"}
    assert kinds_of([hook, plain, plain]) == {("apps", "deployments")}


def test_a_run_may_not_touch_pods_nor_change_what_others_made() -> None:
    rights = in_namespace([("argoproj.io", "rollouts")], "team")
    assert {right.verb for right in rights if right.resource == "pods"} == {"list", "watch"}
    assert all(right.namespace == "team" for right in rights)
    assert not any("*" in (right.resource, right.verb, right.group) for right in rights)
    assert str(rights[-1]).endswith(" in team")


def test_rules_put_together_what_has_the_same_verbs() -> None:
    found = rules(Right(group="", resource=resource, verb=verb) for resource in ("b", "a") for verb in ("list", "get"))
    assert found == [{"apiGroups": [""], "resources": ["a", "b"], "verbs": ["get", "list"]}]


def test_what_is_claimed_is_remembered_until_it_is_gone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "cluster.json")
    one, two = (Claim(server="https://a", namespace=name, made=True, mark="m") for name in ("one", "two"))
    ledger.add(one)
    ledger.add(two)
    assert Ledger(tmp_path / "cluster.json").claims() == [one, two]
    ledger.remove(one)
    assert ledger.claims() == [two]
    ledger.remove(two)
    assert not list(tmp_path.iterdir())


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text("[{}]")
    with pytest.raises(UsageError, match=r"cluster\.json cannot be read"):
        Ledger(tmp_path / "cluster.json").claims()


def test_an_image_that_is_there_is_told_what_to_be() -> None:
    variant = Variant(tag="v1.1", faults=Faults(error_rate=5, seed=3))
    image = taken(variant, f"r.example/apps/webapp:one@{DIGEST}")
    assert (image.repository, image.tag, image.digest) == ("r.example/apps/webapp", "one", DIGEST)
    assert image.env == {"APP_VERSION": "v1.1", "FAULT_ERROR_RATE": "5", "FAULT_SEED": "3"}


@pytest.mark.parametrize("reference", ["webapp:v1", "r.example/webapp", f"r.example/webapp@{DIGEST}", "r.example/UP:v1"])
def test_an_image_without_registry_or_tag_is_refused(reference: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"webapp|UP"):
        supply(Variant(tag="v1.0"), Images(), given=reference, crane=tmp_path, cache=tmp_path)


def test_an_image_is_named_as_the_cluster_pulls_it() -> None:
    pushed = BuiltImage(repository="127.0.0.1:5/webapp", tag="v1", digest=DIGEST, reference=f"127.0.0.1:5/webapp:v1@{DIGEST}")
    pulled = named_for_pulling(pushed, "registry.internal:5000")
    assert pulled.reference == f"registry.internal:5000/webapp:v1@{DIGEST}"
    assert pulled.repository == "registry.internal:5000/webapp"


def test_a_load_may_go_to_the_host_that_was_named_and_to_no_other(tmp_path: Path) -> None:
    named = environment({ALLOW_HOST: "other.example"}, folder=tmp_path, parent_pid=1, allow_host="192.0.2.2")
    assert named[ALLOW_HOST] == "192.0.2.2"
    assert ALLOW_HOST not in environment({}, folder=tmp_path, parent_pid=1)
