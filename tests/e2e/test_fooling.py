"""Hands in the works of a real release: whatever they do, the verdict does not take it for the gate's decision."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from e2e_support import LIMIT_SECONDS, Ended, Place, outcome, run, start, wait_until
from kubernetes import client, config

SHORT = ("--window", "8", "--rps", "100", "--output", "json")
ROLLOUT = ("argoproj.io", "v1alpha1", "webapp", "rollouts", "webapp")
ROUTES = ("networking.istio.io", "v1", "webapp", "virtualservices", "webapp")


@dataclass(frozen=True, kw_only=True)
class Hand:
    """Somebody with the administrator's kubeconfig, while the harness watches a release."""

    objects: client.CustomObjectsApi

    def routes(self) -> dict[str, Any]:
        """The VirtualService."""
        found: dict[str, Any] = self.objects.get_namespaced_custom_object(*ROUTES)
        return found

    def weight(self) -> int:
        """The canary's weight in the VirtualService; 0 while there is none."""
        try:
            destinations = self.routes()["spec"]["http"][0]["route"]
        except client.ApiException:
            return 0
        return next((each.get("weight", 0) for each in destinations if each["destination"].get("subset") == "canary"), 0)

    def on_the_way(self) -> None:
        """Wait until the canary has its first weight."""
        wait_until(lambda: self.weight() == 10, what="a canary at 10 %", timeout=90)

    def status(self, change: dict[str, Any]) -> None:
        """Change the Rollout's status, as `kubectl argo rollouts abort` and `promote` do."""
        self.objects.patch_namespaced_custom_object_status(*ROLLOUT, {"status": change})

    def annotate(self, value: str) -> None:
        """Another revision: a change of the pods' template."""
        annotations = {"gateproof.io/by-hand": value}
        self.objects.patch_namespaced_custom_object(*ROLLOUT, {"spec": {"template": {"metadata": {"annotations": annotations}}}})

    def reroute(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the VirtualService's one route; a conflict with the controller is tried again."""
        while True:
            found = self.routes()
            wanted = copy.deepcopy(found)
            change(wanted["spec"]["http"][0])
            if wanted == found:
                return
            try:
                self.objects.replace_namespaced_custom_object(*ROUTES, wanted)
            except client.ApiException as error:
                if error.status != 409:
                    raise
            else:
                return


@pytest.fixture
def hand(platform: Place) -> Hand:
    made = config.new_client_from_config(str(platform.run_dir / "kubeconfig"))
    return Hand(objects=client.CustomObjectsApi(made))


def meddled(place: Place, arguments: tuple[str, ...], meddle: Callable[[], None]) -> Ended:
    """Run a scenario, and meddle while it runs."""
    process = start(*arguments, *SHORT, place=place)
    try:
        meddle()
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)
    return Ended(code=process.returncode, out=out, err=err)


@contextmanager
def again_and_again(action: Callable[[], None]) -> Iterator[None]:
    """Repeat an action in the background for as long as the block runs."""
    over = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        while not over.wait(0.05):
            try:
                action()
            except client.ApiException as error:  # it is not there before the release and after it
                if error.status != 404:
                    failures.append(error)
                    return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert failures == []


def assert_inconclusive(ended: Ended, check: str, words: str) -> None:
    assert ended.code == 3, outcome(ended)
    assert ended.check(check)["passed"] is False, outcome(ended)
    assert words in ended.check(check)["actual"]


def test_an_abort_by_hand_is_not_the_gates_rollback(platform: Place, hand: Hand) -> None:
    def abort() -> None:
        hand.on_the_way()
        hand.status({"abort": True})

    assert_inconclusive(meddled(platform, ("failure", "--error-rate", "5"), abort), "decided by the gate", "aborted from outside")


def test_a_promotion_by_hand_is_not_the_gates_promotion(platform: Place, hand: Hand) -> None:
    def promote() -> None:
        hand.on_the_way()
        hand.status({"promoteFull": True})

    ended = meddled(platform, ("success",), promote)
    assert ended.code == 3, outcome(ended)
    assert ended.check("decided by the gate")["passed"] is False


def test_a_second_release_in_between_is_no_evidence_about_the_first(platform: Place, hand: Hand) -> None:
    def release() -> None:
        hand.on_the_way()
        hand.annotate("another")

    ended = meddled(platform, ("success",), release)
    assert ended.code == 3, outcome(ended)
    assert ended.check("one release")["passed"] is False


def test_a_canary_that_never_gets_its_traffic_is_not_promoted_unseen(platform: Place, hand: Hand) -> None:
    def all_to_stable(route: dict[str, Any]) -> None:
        for each in route["route"]:
            each["weight"] = 100 if each["destination"].get("subset") == "stable" else 0

    with again_and_again(lambda: hand.reroute(all_to_stable)):
        ended = run("success", *SHORT, place=platform)
    assert ended.code == 3, outcome(ended)
    assert ended.check("client share at 10 %")["passed"] is not True


def test_retries_that_hide_a_bad_versions_errors_from_users_are_told(platform: Place, hand: Hand) -> None:
    def retry(route: dict[str, Any]) -> None:
        route["retries"] = {"attempts": 5, "retryOn": "5xx"}

    def hide() -> None:
        hand.on_the_way()
        hand.reroute(retry)

    ended = meddled(platform, ("failure", "--error-rate", "20"), hide)
    assert ended.code == 3, outcome(ended)
    assert ended.check("injected faults")["passed"] is False, outcome(ended)


def test_a_failed_analysis_of_another_namespace_is_nobodys_reason(platform: Place, hand: Hand) -> None:
    foreign = {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "webapp-foreign", "namespace": "default", "labels": {"app.kubernetes.io/name": "webapp"}},
        "spec": {"metrics": [{"name": "success-rate", "count": 1, "failureLimit": 0, "successCondition": "result[0] > 2",
                              "provider": {"prometheus": {"address": "http://127.0.0.1:9", "query": "vector(1)"}}}]},
    }  # fmt: skip
    place = ("argoproj.io", "v1alpha1", "default", "analysisruns")

    def plant() -> None:
        hand.on_the_way()
        hand.objects.create_namespaced_custom_object(*place, foreign)

    try:
        ended = meddled(platform, ("success",), plant)
    finally:
        hand.objects.delete_namespaced_custom_object(*place, "webapp-foreign")
    assert ended.code == 0, outcome(ended)
    assert {run["name"].rsplit("-", 2)[0] for run in ended.report["analyses"]} != {"webapp-foreign"}
