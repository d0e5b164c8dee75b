"""What happens to users while pods are replaced, and to a release when somebody upgrades the chart in the middle of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from e2e_support import ROOT, Place, wait_until

from harness.chart import Helm
from harness.load import Load, LoadSpec
from harness.observation import parse_rollout, parse_weights
from harness.platforms import Endpoints
from harness.platforms.catalog import PlatformOptions, make
from harness.platforms.local.paths import cache_root
from harness.release import RELEASE, Chart, Gateway, is_stable, merged
from harness.variants import BuiltImage, Variant, build
from harness.watch import Watcher

RPS = 100.0
REPLACED = 3


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A chart's release on a platform that is up, watched."""

    chart: Chart
    watcher: Watcher
    gateway: Gateway
    endpoints: Endpoints
    images: dict[str, BuiltImage]
    kubectl: Path
    load: Load

    def pods(self) -> set[str]:
        """The pods that are ready and not on their way out."""
        return {
            str(pod["metadata"]["name"])
            for pod in self.watcher.latest("pods")
            if "deletionTimestamp" not in pod["metadata"]
            and any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
        }

    def weights(self) -> list[int]:
        """The canary's weights since the beginning, repeats left out."""
        seen: list[int] = []
        for each in self.watcher.history("virtualservices"):
            change = parse_weights(each.object, each.at)
            if change and seen[-1:] != [change.canary]:
                seen.append(change.canary)
        return seen

    def stable(self, version: str) -> None:
        """Wait until this version is the only one, and served."""
        image = self.images[version]
        wait_until(
            lambda: is_stable(self.watcher, image.reference) and all(s.version == version for s in self.gateway.sample(5)),
            what=f"{version} stable and served", timeout=60,
        )  # fmt: skip


@pytest.fixture
def installed(platform: Place, tmp_path: Path) -> Iterator[Installed]:
    """Two pods of v1.0, and a load that is ready to start."""
    options = PlatformOptions(
        name="local", run_dir=platform.run_dir, gateway_port=platform.gateway_port, registry_port=platform.registry_port
    )
    local = make(options)
    with local.session(print, keep=True) as endpoints:
        tools = local.tools()
        helm = Helm(binary=tools["helm"], kubeconfig=endpoints.kubeconfig, context=endpoints.context, home=endpoints.scratch)
        own = {"rollout": {"replicas": 2, "steps": [10]}, "analysis": {"windowSeconds": 20, "minRequests": 20}}
        chart = Chart(
            helm=helm, path=ROOT / "charts" / "webapp", namespace=endpoints.namespace, values_files=local.values_files(),
            values=merged(local.values(), own), user_values={},
        )
        images = {
            tag: build(Variant(tag=tag), registry=endpoints.registry, crane=tools["crane"], cache=cache_root())
            for tag in ("v1.0", "v1.1")
        }
        watcher = Watcher(kubeconfig=endpoints.kubeconfig, context=endpoints.context, namespace=endpoints.namespace)
        load = Load(
            spec=LoadSpec(url=endpoints.gateway_url, rps=RPS, duration_limit_seconds=120), folder=tmp_path / "load",
            python=sys.executable, before_start=lambda: local.verify_load_target(endpoints),
        )  # fmt: skip
        chart.remove()
        watcher.start()
        try:
            wait_until(lambda: not watcher.latest("pods"), what="an earlier release gone", timeout=60)
            made = Installed(
                chart=chart, watcher=watcher, gateway=Gateway(endpoints), endpoints=endpoints, images=images,
                kubectl=tools["kubectl"], load=load,
            )  # fmt: skip
            chart.apply(images["v1.0"], trial="first")
            made.stable("v1.0")
            yield made
        finally:
            load.stop()
            chart.remove()
            watcher.stop()


def failed(load: Load) -> list[dict[str, Any]]:
    return [record for record in load.records() if not 200 <= record["status"] < 400]


def test_no_request_is_lost_while_pods_are_replaced(installed: Installed) -> None:
    with installed.load as load:
        wait_until(lambda: len(load.records()) > RPS, what="a second of load", timeout=30)
        gone: set[str] = set()
        for _ in range(REPLACED):
            before = installed.pods()
            victim = min(before)
            gone.add(victim)
            delete = [str(installed.kubectl), f"--kubeconfig={installed.endpoints.kubeconfig}", "delete", "pod", victim]
            subprocess.run([*delete, f"--namespace={installed.endpoints.namespace}", "--wait=true"], check=True, timeout=60)
            wait_until(lambda: len(installed.pods()) == 2, what="its replacement ready", timeout=60)
            # Ready comes before the gateway's first request to it; the next victim may be this very pod.
            wait_until(
                lambda: installed.pods() <= {each["pod"] for each in load.records()}, what="an answer of each pod", timeout=30
            )
            load.poll()
    served_by = {record["pod"] for record in load.records()}
    assert failed(load) == []
    assert gone < served_by
    assert len(served_by) == 2 + REPLACED
    print(f"{len(load.records())} requests, {len(failed(load))} lost, over {len(served_by)} pods")


def test_upgrades_in_the_middle_of_a_canary_leave_it_alone(installed: Installed) -> None:
    with installed.load as load:
        wait_until(lambda: len(load.records()) > RPS, what="a second of load", timeout=30)
        installed.chart.apply(installed.images["v1.1"], trial="second")
        wait_until(lambda: installed.weights()[-1:] == [10], what="the canary's traffic", timeout=60)
        revision = current(installed)
        # A value of the gate: nothing in it is the controller's.
        replace(installed.chart, user_values={"analysis": {"consecutiveErrorLimit": 5}}).apply(
            installed.images["v1.1"], trial="second"
        )
        # A value right beside the weights, which the controller owns by now.
        changed = {"analysis": {"consecutiveErrorLimit": 5}, "virtualService": {"timeout": "9s"}}
        replace(installed.chart, user_values=changed).apply(installed.images["v1.1"], trial="second", force_conflicts=True)
        wait_until(lambda: timeout_of(installed) == "9s", what="the upgrade", timeout=20)
        assert (installed.weights(), current(installed)) == ([0, 10], revision)
        installed.stable("v1.1")
        # The new version serves before the weights go back to rest.
        wait_until(lambda: installed.weights()[-1:] == [0], what="the weights at rest", timeout=30)
        load.poll()
    assert installed.weights() == [0, 10, 100, 0]
    assert current(installed) == revision
    assert failed(load) == []


def current(installed: Installed) -> tuple[str, str]:
    """The Rollout's revision: its number and its hash."""
    state = parse_rollout(installed.watcher.get("rollouts", RELEASE) or {}, 0.0)
    return state.revision, state.current_hash


def timeout_of(installed: Installed) -> str:
    found: str = (installed.watcher.get("virtualservices", RELEASE) or {})["spec"]["http"][0]["timeout"]
    return found
