"""Scenarios on a cluster that is somebody else's: the local platform, as a user sees it who may do what the Role allows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e_support import LIMIT_SECONDS, ROOT, Ended, Place, outcome, run, wait_until
from kubelet_support import forwarding_node, service

from harness.platforms.local import binaries
from harness.platforms.local.paths import cache_root
from harness.variants import Variant, build

USER = "runner"
VALUES = str(ROOT / "charts" / "webapp" / "values-local.yaml")
SHORT = ("--window", "8", "--rps", "100", "--output", "json", "--values", VALUES)


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """A namespace of the cluster, and how a user of it who is no administrator runs the harness there."""

    place: Place
    namespace: str
    kubeconfig: Path
    run_dir: Path
    ports: dict[str, int]

    @property
    def options(self) -> list[str]:
        """Everything that says where to run."""
        prometheus = f"http://127.0.0.1:{self.ports['prometheus']}"
        return [
            "--platform", "existing", "--context", USER, "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace,
            "--gateway-url", f"http://127.0.0.1:{self.ports['gateway']}", "--prometheus-url", prometheus,
            "--prometheus-address", prometheus, "--registry", f"localhost:{self.ports['registry']}",
            # One registry with two names, as where a cluster has its own for it.
            "--base-image", "none", "--push-registry", f"127.0.0.1:{self.ports['registry']}",
            "--run-dir", str(self.run_dir),
        ]

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "harness", *arguments, *self.options]

    def run(self, *arguments: str) -> Ended:
        """Run one command to its end."""
        return harness(*arguments, *self.options)

    def admin(self, *arguments: str, given: str | None = None) -> str:
        """What kubectl prints to the cluster's administrator."""
        return kubectl(self.place, *arguments, given=given)

    def objects(self) -> set[str]:
        """All objects in the namespace but events, by resource and name."""
        resources = self.admin("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
        asked = ",".join(sorted(each for each in resources if not each.startswith("events")))
        return set(self.admin("get", asked, "--namespace", self.namespace, "--output=name").split())

    def namespaces(self, *, active: bool = False) -> set[str]:
        """All namespaces of the cluster, or those that are not on their way out, as an earlier test's may be."""
        chosen = ["--field-selector=status.phase=Active"] if active else []
        return set(self.admin("get", "namespaces", "--output=name", *chosen).split())


def harness(*arguments: str) -> Ended:
    """Run one command to its end, with a current context that leads nowhere."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
        cwd=ROOT, stdin=subprocess.DEVNULL, env=os.environ | {"KUBECONFIG": os.devnull},
    )  # fmt: skip
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


def kubectl(place: Place, *arguments: str, given: str | None = None) -> str:
    found = binaries.find()
    assert found
    argv = [found["kubectl"], "--kubeconfig", place.run_dir / "kubeconfig", "--cache-dir", place.run_dir / "kubectl", *arguments]
    done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kubeconfig_of(place: Place, namespace: str, file: Path) -> Path:
    """A kubeconfig whose one context, which is not the current one, has a token of the namespace's service account."""
    admin: dict[str, Any] = yaml.safe_load((place.run_dir / "kubeconfig").read_text())
    token = kubectl(place, "create", "token", USER, "--namespace", namespace).strip()
    file.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "clusters": admin["clusters"],
        "users": [{"name": USER, "user": {"token": token}}],
        "contexts": [{"name": USER, "context": {"cluster": admin["clusters"][0]["name"], "user": USER}}],
    }))  # fmt: skip
    return file


@pytest.fixture
def theirs(platform: Place, tmp_path: Path) -> Iterator[Theirs]:
    namespace = f"team-{uuid.uuid4().hex[:6]}"
    kubectl(platform, "create", "namespace", namespace)
    kubectl(platform, "create", "serviceaccount", USER, "--namespace", namespace)
    role = harness("role", "--namespace", namespace, "--service-account", f"{namespace}:{USER}", "--values", VALUES)
    kubectl(platform, "create", "--filename", "-", given=role.out)
    status = json.loads(run("status", "--output", "json", place=platform).out)
    yield Theirs(
        place=platform, namespace=namespace, kubeconfig=kubeconfig_of(platform, namespace, tmp_path / "kubeconfig"),
        run_dir=tmp_path / "theirs", ports=status["ports"],
    )
    kubectl(platform, "delete", "namespace", namespace, "--wait=false")


def test_both_decisions_are_reached_with_the_role_alone_and_nothing_is_left(theirs: Theirs) -> None:
    before = theirs.objects()
    good = theirs.run("success", *SHORT)
    assert good.code == 0, outcome(good)
    assert good.check("served afterwards")["passed"]
    assert theirs.objects() == before
    bad = theirs.run("failure", "--error-rate", "5", *SHORT)
    assert bad.code == 0, outcome(bad)
    assert bad.check("decision")["actual"] == "rolled back"
    assert theirs.objects() == before


def test_an_interrupted_run_leaves_nothing(theirs: Theirs) -> None:
    before = theirs.objects()
    process = subprocess.Popen(
        theirs.argv("success", *SHORT), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    wait_until(lambda: any("pod/" in each for each in theirs.objects() - before), what="a release is installed", timeout=90)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 130, told
    assert theirs.objects() == before


def test_what_a_killed_run_leaves_is_removed_by_down(theirs: Theirs) -> None:
    before = theirs.objects()
    process = subprocess.Popen(theirs.argv("success", *SHORT), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    wait_until(lambda: any("pod/" in each for each in theirs.objects() - before), what="a release is installed", timeout=90)
    process.kill()
    process.wait()
    ended = theirs.run("down")
    assert (ended.code, ended.out.strip()) == (0, "stopped"), ended.err
    assert theirs.objects() == before


def test_a_campaign_with_lanes_of_images_that_are_there_in_namespaces_that_come_and_go(theirs: Theirs, tmp_path: Path) -> None:
    found = binaries.find()
    assert found
    registry = f"localhost:{theirs.ports['registry']}"
    # Neither says of itself that it is v1.0, or has a fault: their pods are told.
    _, two = (build(Variant(tag=tag), registry=registry, crane=found["crane"], cache=cache_root()) for tag in ("one", "two"))
    before, active, url = theirs.namespaces(), theirs.namespaces(active=True), "http://127.0.0.1:{}".format
    ended = harness(
        "trials", "--count", "2", "--lanes", "2", "--error-rate", "20", *SHORT,
        "--campaign", str(tmp_path / "campaign"), "--platform", "existing", "--run-dir", str(theirs.run_dir),
        "--kubeconfig", str(theirs.place.run_dir / "kubeconfig"), "--context", "gateproof",
        "--gateway-url", url(theirs.ports["gateway"]), "--prometheus-url", url(theirs.ports["prometheus"]),
        "--prometheus-address", url(theirs.ports["prometheus"]),
        "--no-build", "--image-stable", f"{registry}/webapp:one", "--image-canary", two.reference,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    summary = ended.report
    assert (summary["rollback"]["trials"], summary["rollback"]["successes"]) == (2, 2), ended.err
    assert summary["lanes"]["lanes_at_most"] == 2
    assert active <= theirs.namespaces() <= before


def test_a_release_is_judged_through_port_forwards_alone(theirs: Theirs, tmp_path: Path) -> None:
    """The gateway and Prometheus of the platform stand behind Services here, with the forwarding half of a real kubelet."""
    gateway, prometheus = theirs.ports["gateway"], theirs.ports["prometheus"]

    def admin(*arguments: str, given: object = None) -> str:
        return theirs.admin(*arguments, given=None if given is None else json.dumps(given))

    admin("create", "namespace", "parts")
    role = list(yaml.safe_load_all(harness(
        "role", "--namespace", theirs.namespace, "--service-account", f"{theirs.namespace}:{USER}", "--forward-to", "parts"
    ).out))  # fmt: skip
    with forwarding_node(admin, tmp_path):
        for each in role[2:]:
            admin("create", "--filename", "-", given=each)
        service(admin, "gateway", "parts", port=gateway, target=gateway)
        service(admin, "prometheus", "parts", port=9090, target=prometheus)
        ended = harness(
            "failure", *SHORT, "--platform", "existing", "--context", USER, "--kubeconfig", str(theirs.kubeconfig),
            "--namespace", theirs.namespace, "--gateway-service", f"parts/gateway:{gateway}",
            "--prometheus-service", "parts/prometheus:9090", "--prometheus-address", f"http://127.0.0.1:{prometheus}",
            "--registry", f"localhost:{theirs.ports['registry']}", "--base-image", "none", "--run-dir", str(theirs.run_dir),
        )  # fmt: skip
        admin("delete", "namespace", "parts", "--wait=false")
        admin("delete", "pods", "--all", "--namespace", "parts", "--force", "--grace-period=0")
    assert ended.code == 0, outcome(ended)
    assert ended.check("decision")["actual"] == "rolled back"
    assert ended.check("offered load")["passed"]
