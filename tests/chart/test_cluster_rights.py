"""The Role that a run on somebody's cluster needs: on a real API server with RBAC it is enough, and nothing in it is too much."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from audited_api import Audited, answering
from chart_support import CHART

from harness.chart import Helm
from harness.errors import HarnessError, PlatformError, UsageError
from harness.platforms import Endpoints, Images
from harness.platforms.cluster import access
from harness.platforms.cluster.reach import At
from harness.platforms.cluster.rights import in_namespace, kinds_of, manifest
from harness.platforms.existing.platform import ExistingPlatform
from harness.run import Options, Stage, refuse_bad_chart
from harness.scenario import success
from harness.variants import BuiltImage
from harness.watch import Watcher

POD = "a-pod"
DIGEST = "sha256:" + 64 * "0"
IMAGES = [
    BuiltImage(repository="registry.invalid/webapp", tag=tag, digest=DIGEST, reference=f"registry.invalid/webapp:{tag}@{DIGEST}")
    for tag in ("v1.0", "v1.1")
]
SUBJECT = {"kind": "User", "name": "nobody"}
NAMES = iter(f"run-{number}" for number in range(1000))


@pytest.fixture(scope="module")
def part() -> Iterator[str]:
    """What stands for the gateway and for Prometheus: this test is about the API."""
    yield from answering({"X-Pod-Name": POD})


@dataclass
class Trusting(ExistingPlatform):
    """Does not ask first what it may do, to see what happens when it may not."""

    def preflight(self, *_: object) -> None:
        """Trust."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A namespace with a user of it, and the platform that is to use both."""

    namespace: str
    platform: ExistingPlatform
    options: Options

    def release(self, *, keep: bool = False) -> None:
        """All that a run asks of the API, from its session's begin to its end."""
        refuse_bad_chart(success(), self.options, self.platform)
        with self.platform.session(lambda _: None, keep=keep) as endpoints:
            self._play(endpoints)

    def _play(self, endpoints: Endpoints) -> None:
        stage = Stage(
            scenario=success(), options=self.options, platform=self.platform, endpoints=endpoints, say=lambda _: None,
            show=lambda *_: None,
        )  # fmt: skip
        chart = stage._chart({})
        watcher = Watcher(kubeconfig=endpoints.kubeconfig, context=endpoints.context, namespace=endpoints.namespace)
        try:
            chart.remove()
            watcher.start(timeout=5)
            for trial, image in enumerate(IMAGES):
                chart.apply(image, trial=f"trial-{trial}")
            self.platform.verify_load_target(endpoints)
        finally:
            watcher.stop()


@dataclass(frozen=True, kw_only=True)
class Cases:
    """Makes cases."""

    audited: Audited
    part: str
    folder: Path
    helm: Helm

    def role(self, namespace: str) -> dict[str, Any]:
        """The Role that the project hands out."""
        kinds = kinds_of(self.helm.template("webapp", namespace, CHART))
        return manifest(in_namespace(kinds, namespace), namespace=namespace, subject=SUBJECT)[0]

    def make(self, kind: type[ExistingPlatform], *, without: int | None = None, verb: str = "", role: bool = True) -> Case:
        """A user with this Role, with this Role less one of its rules or verbs, or with none."""
        namespace = next(NAMES)
        rights = self.role(namespace)
        if without is not None:
            del rights["rules"][without]
        for rule in rights["rules"]:
            rule["verbs"] = [each for each in rule["verbs"] if each != verb]
        rights["rules"] = [rule for rule in rights["rules"] if rule["verbs"]]
        kubeconfig = self.audited.user(namespace, rights if role else None)
        self.audited.api.run("create", "--filename", "-", given={
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD, "namespace": namespace},
            "spec": {"containers": [{"name": "app", "image": "registry.invalid/webapp"}]},
        })  # fmt: skip
        platform = kind(
            run_dir=self.folder / namespace, access=access.find(kubeconfig, "runner"), gateway=At(url=self.part),
            prometheus=At(url=self.part), images=Images(registry="registry.invalid"), namespaces=(namespace,),
        )  # fmt: skip
        options = Options(chart=CHART, report_dir=self.folder / namespace, cache=self.folder)
        return Case(namespace=namespace, platform=platform, options=options)


@pytest.fixture
def cases(audited: Audited, part: str, tmp_path: Path, helm: Helm) -> Cases:
    return Cases(audited=audited, part=part, folder=tmp_path, helm=helm)


def objects_in(audited: Audited, namespace: str) -> set[str]:
    """Every object of a namespace, by resource and name."""
    resources = audited.api.run("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    asked = ",".join(sorted(each for each in resources if not each.startswith("events")))
    return set(audited.api.run("get", asked, "--namespace", namespace, "--output=name").split())


def test_the_role_is_enough_and_nothing_in_it_goes_unused(audited: Audited, cases: Cases) -> None:
    case = cases.make(ExistingPlatform)
    before = objects_in(audited, case.namespace)
    case.release()
    asked = audited.requests(case.namespace)
    assert [each for each in asked if each.code == 403] == []
    assert {each.namespace for each in asked} == {case.namespace}
    granted = {(group, resource, verb) for rule in cases.role("any")["rules"] for group in rule["apiGroups"]
               for resource in rule["resources"] for verb in rule["verbs"]}  # fmt: skip
    assert set().union(*(each.rights for each in asked)) == granted
    assert objects_in(audited, case.namespace) == before, "what a run made is not all removed, or what it found is"


def test_without_any_one_rule_something_is_refused(audited: Audited, cases: Cases) -> None:
    every = cases.role("any")["rules"]
    assert len(every) > 5
    for number, rule in enumerate(every):
        case = cases.make(Trusting, without=number)
        with contextlib.suppress(HarnessError):
            case.release()
        assert any(each.code == 403 for each in audited.requests(case.namespace)), f"nothing needs {rule}"


@pytest.mark.parametrize("verb", ["get", "list", "watch", "create", "update", "patch", "delete"])
def test_without_any_one_verb_something_is_refused(audited: Audited, cases: Cases, verb: str) -> None:
    case = cases.make(Trusting, verb=verb)
    with contextlib.suppress(HarnessError):
        case.release()
    assert any(each.code == 403 for each in audited.requests(case.namespace))


def test_a_user_without_rights_is_told_all_that_is_missing_before_anything_is_made(audited: Audited, cases: Cases) -> None:
    case = cases.make(ExistingPlatform, role=False)
    with pytest.raises(PlatformError, match=r"python -m harness role"):
        case.release()
    assert {each.verb for each in audited.requests(case.namespace)} <= {"get", "list"}


def stranger(audited: Audited, namespace: str) -> None:
    """A Rollout of our name that somebody else made."""
    audited.api.run("create", "--filename", "-", given={
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "webapp", "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}},
    })  # fmt: skip


def test_somebody_elses_release_of_our_name_is_not_touched(audited: Audited, cases: Cases) -> None:
    case = cases.make(ExistingPlatform)
    stranger(audited, case.namespace)
    before = objects_in(audited, case.namespace)
    with pytest.raises(UsageError, match=r"holds a release webapp that no run of ours made"):
        case.release()
    assert objects_in(audited, case.namespace) == before
    assert {each.verb for each in audited.requests(case.namespace)} <= {"get", "list"}
    assert case.platform.ledger.claims() == []


def test_a_plan_tells_each_right_and_changes_nothing(audited: Audited, cases: Cases) -> None:
    case = cases.make(ExistingPlatform, verb="patch")
    before = objects_in(audited, case.namespace)
    told = case.platform.plan()
    assert f"namespace {case.namespace} is there and stays" in told
    assert "granted  create rollouts.argoproj.io in" in told
    assert "missing  patch rollouts.argoproj.io in" in told
    assert "missing  list" not in told
    assert objects_in(audited, case.namespace) == before
    assert {each.verb for each in audited.requests(case.namespace)} <= {"get"}


def test_a_load_target_that_answers_as_nobodys_pod_gets_no_load(cases: Cases) -> None:
    case = cases.make(ExistingPlatform)
    audited = cases.audited
    audited.api.run("delete", "pod", POD, "--namespace", case.namespace, "--grace-period=0", "--force")
    with pytest.raises(PlatformError, match=rf"answered for {case.namespace}\.local as pod {POD}, .*no load was sent"):
        case.release()


def test_what_a_cluster_does_not_serve_is_told_with_what_is_forbidden(cases: Cases) -> None:
    case = cases.make(ExistingPlatform, verb="watch")
    case.platform.foresee([{"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {}}])
    with pytest.raises(PlatformError) as refused:
        case.release()
    told = str(refused.value)
    assert "it does not serve podmonitors.monitoring.coreos.com; " in told
    assert f"we may not watch pods in {case.namespace}" in told
    assert "\n" not in told


def test_what_is_kept_is_told_by_status_and_removed_by_down(audited: Audited, cases: Cases) -> None:
    case = cases.make(ExistingPlatform)
    before = objects_in(audited, case.namespace)
    case.release(keep=True)
    assert "rollout.argoproj.io/webapp" in objects_in(audited, case.namespace)
    assert case.platform.status()["left"] == [case.namespace]
    assert case.platform.down() is True
    assert objects_in(audited, case.namespace) == before
    assert "nothing of ours is in it" in case.platform.describe()
    assert case.platform.down() is False
