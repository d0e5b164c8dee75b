"""Hands in the works of a real release: whatever they do, the verdict does not take it for the gate's decision."""

from __future__ import annotations

import copy
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from e2e_support import LIMIT_SECONDS, Ended, Place, outcome, run, start, wait_until
from kubernetes import client, config

from harness.platforms.local import binaries

NOBODY = 65534
FOREIGN_ADDRESS = "127.66.0.9"
"""Of loopback, and of no platform's range."""
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
    meddle()
    out, err = process.communicate(timeout=LIMIT_SECONDS)
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


def retag(place: Place, old: str, new: str) -> None:
    """Another user of the machine has a tag of the registry name another image; it asks nobody who they are."""
    crane = binaries.find()
    assert crane is not None
    image = f"127.0.0.1:{place.registry_port}/webapp"
    nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    copy_of = Path("/tmp") / f"gateproof-crane-{os.getpid()}"
    copy_of.write_bytes(crane["crane"].read_bytes())
    copy_of.chmod(0o755)
    try:
        argv = [copy_of, "tag", f"{image}:{old}", new, "--insecure"]
        done = subprocess.run(argv, env={"HOME": "/nowhere"}, capture_output=True, text=True, timeout=60, check=False, **nobody)
        assert done.returncode == 0, done.stderr
        digests = {
            subprocess.check_output([copy_of, "digest", f"{image}:{tag}", "--insecure"], env={"HOME": "/nowhere"}, timeout=60)
            for tag in (old, new)
        }
        assert len(digests) == 1, "the tag has moved"
    finally:
        copy_of.unlink()


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

    # Of one fifth, a window this short may hold so few that none at all is no proof.
    ended = meddled(platform, ("failure", "--error-rate", "50"), hide)
    assert ended.code == 3, outcome(ended)
    assert ended.check("injected faults")["passed"] is False, outcome(ended)


def test_a_gate_that_is_changed_meanwhile_is_not_the_one_that_was_asked(platform: Place, hand: Hand) -> None:
    """The changed query still names the candidate, and still gives a number that keeps every promise."""
    templates = ("argoproj.io", "v1alpha1", "webapp", "analysistemplates")

    def change() -> None:
        hand.on_the_way()
        # Once the first step has its analysis: that one keeps what it was made with.
        runs = ("argoproj.io", "v1alpha1", "webapp", "analysisruns")
        wait_until(lambda: hand.objects.list_namespaced_custom_object(*runs)["items"], what="the first analysis", timeout=30)
        for template in hand.objects.list_namespaced_custom_object(*templates)["items"]:
            for metric in template["spec"]["metrics"]:
                asked = metric["provider"]["prometheus"]
                if metric["name"] == "success-rate":
                    asked["query"] = f"vector(1) or on () ({asked['query']})"
            hand.objects.replace_namespaced_custom_object(*templates, template["metadata"]["name"], template)

    ended = meddled(platform, ("success",), change)
    assert_inconclusive(ended, "same gate", "the gate was changed during the release")


def test_an_impostor_that_answers_under_the_candidates_name_is_unmasked(platform: Place, hand: Hand) -> None:
    """A healthy server that the mesh takes for one of the candidate's pods, as it also says, makes a bad version look better."""
    pod = ["webapp-nobody"]

    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in (("X-App-Version", "v1.1"), ("X-Pod-Name", pod[0]), ("Content-Length", "0")):
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    entries = ("networking.istio.io", "v1", "webapp", "workloadentries")

    def plant() -> None:
        hand.on_the_way()
        real = [each for each in hand.objects.list_namespaced_custom_object(*entries)["items"]
                if each["metadata"]["labels"].get("version") == "v1.1"]  # fmt: skip
        labels = real[0]["metadata"]["labels"]
        pod[0] = f"webapp-{labels['rollouts-pod-template-hash']}-evil0"
        hand.objects.create_namespaced_custom_object(*entries, {
            "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
            "metadata": {"name": "impostor", "labels": labels},
            "spec": {**real[0]["spec"], "address": FOREIGN_ADDRESS},
        })  # fmt: skip

    with ThreadingHTTPServer((FOREIGN_ADDRESS, 8080), Healthy) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            ended = meddled(platform, ("failure", "--error-rate", "20"), plant)
        finally:
            hand.objects.delete_namespaced_custom_object(*entries, "impostor")
            server.shutdown()
    assert_inconclusive(ended, "version identity", "which is no pod of this rollout")


def test_a_weight_that_somebody_sets_is_not_held_against_the_gate(platform: Place, hand: Hand) -> None:
    def half(route: dict[str, Any]) -> None:
        for each in route["route"]:
            each["weight"] = 50

    def push() -> None:
        hand.on_the_way()
        hand.reroute(half)

    ended = meddled(platform, ("failure", "--error-rate", "20"), push)
    assert_inconclusive(ended, "hands off", "wrote the spec of VirtualService webapp")


def test_a_failed_analysis_of_another_namespace_is_nobodys_reason(platform: Place, hand: Hand) -> None:
    """Nor is an image that another user of the machine pushes under the candidate's tag: it is released by its digest."""
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
        retag(platform, "v1.0", "v1.1")

    try:
        ended = meddled(platform, ("success",), plant)
    finally:
        hand.objects.delete_namespaced_custom_object(*place, "webapp-foreign")
    assert ended.code == 0, outcome(ended)
    assert {run["name"].rsplit("-", 2)[0] for run in ended.report["analyses"]} != {"webapp-foreign"}
