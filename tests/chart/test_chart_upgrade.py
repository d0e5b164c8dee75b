"""Upgrades on a real API server: what the rollouts controller has written must outlive them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chart_api import DEADLINE, Api, process
from chart_support import CHART, PLATFORMS, Object
from combinations import OPTIONS

from harness.chart import Helm
from harness.errors import PlatformError

CONTROLLER = "rollouts-controller"
HASH = "rollouts-pod-template-hash"


class Release:
    """The chart, installed in a namespace of its own."""

    def __init__(self, api: Api, helm: Helm, namespace: str, split: str) -> None:
        self.api, self.namespace, self.split = api, namespace, split
        self.helm = Helm(binary=helm.binary, kubeconfig=api.kubeconfig, home=helm.home)

    def upgrade(self, values: dict[str, object] | None = None, *, force: bool = False) -> None:
        self.helm.install_or_upgrade(
            "webapp",
            self.namespace,
            CHART,
            values_files=PLATFORMS["local"],
            set_values={"rollout.trafficSplit": self.split, **(values or {})},
            force_conflicts=force,
        )

    def get(self, resource: str, name: str = "webapp") -> Object:
        return self.api.get(resource, name, self.namespace)

    @property
    def routes(self) -> list[Object]:
        found: list[Object] = self.get("virtualservices")["spec"]["http"]
        return found

    @property
    def weights(self) -> list[int]:
        return [route["weight"] for route in self.routes[-1]["route"]]

    @property
    def replicas(self) -> int | None:
        found: int | None = self.get("rollouts")["spec"].get("replicas")
        return found

    @property
    def hashes(self) -> list[str | None]:
        if self.split == "services":
            return [self.get("services", f"webapp-{side}")["spec"]["selector"].get(HASH) for side in ("stable", "canary")]
        return [subset["labels"].get(HASH) for subset in self.get("destinationrules")["spec"]["subsets"]]

    def as_the_controller(self, weights: tuple[int, int], hashes: tuple[str, str]) -> None:
        """Write what the rollouts controller writes at a step."""
        service = self.get("virtualservices")
        for route, weight in zip(service["spec"]["http"][-1]["route"], weights, strict=True):
            route["weight"] = weight
        self.api.replace(service, manager=CONTROLLER)
        if self.split == "services":
            for side, found in zip(("stable", "canary"), hashes, strict=True):
                target = self.get("services", f"webapp-{side}")
                target["spec"]["selector"][HASH] = found
                self.api.replace(target, manager=CONTROLLER)
            return
        rule = self.get("destinationrules")
        for subset, found in zip(rule["spec"]["subsets"], hashes, strict=True):
            subset["labels"][HASH] = found
        self.api.replace(rule, manager=CONTROLLER)

    def send_testers_as_the_controller(self) -> Object:
        """Put the route before the chart's that the controller puts there at the step setHeaderRoute."""
        service = self.get("virtualservices")
        canary = service["spec"]["http"][-1]["route"][1]["destination"]
        route: Object = {
            "name": "testers",
            "match": [{"headers": {"x-canary": {"exact": "true"}}}],
            "route": [{"destination": canary, "weight": 100}],
        }
        service["spec"]["http"].insert(0, route)
        self.api.replace(service, manager=CONTROLLER)
        return route


@pytest.fixture(params=["subsets", "services"])
def release(request: pytest.FixtureRequest, api: Api, helm: Helm) -> Iterator[Release]:
    namespace = f"{request.param}-{request.node.originalname.replace('_', '-')}"[:63].rstrip("-")
    installed = Release(api, helm, namespace, request.param)
    installed.upgrade()
    yield installed
    installed.helm.uninstall("webapp", namespace)


def test_helm_writes_nothing_into_the_users_home(release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    release.upgrade({"image.tag": "v1.1"})
    assert not (tmp_path / "home").exists()


def test_an_upgrade_in_mid_canary_changes_neither_weights_nor_hashes(release: Release) -> None:
    assert (release.weights, release.hashes) == ([100, 0], [None, None])
    release.as_the_controller((70, 30), ("old", "new"))
    release.upgrade({"image.tag": "v1.1"})
    assert (release.weights, release.hashes) == ([70, 30], ["old", "new"])
    (app,) = release.get("rollouts")["spec"]["template"]["spec"]["containers"]
    assert app["image"].endswith(":v1.1")
    release.as_the_controller((100, 0), ("old", "new"))
    release.upgrade({"image.tag": "v1.2"})
    assert (release.weights, release.hashes) == ([100, 0], ["old", "new"])


def test_a_change_beside_the_weights_needs_force_and_keeps_them(release: Release) -> None:
    release.as_the_controller((40, 60), ("old", "new"))
    with pytest.raises(PlatformError, match=r'conflict with "rollouts-controller".*force_conflicts'):
        release.upgrade({"virtualService.timeout": "20s"})
    release.upgrade({"virtualService.timeout": "20s"}, force=True)
    assert release.get("virtualservices")["spec"]["http"][0]["timeout"] == "20s"
    assert (release.weights, release.hashes) == ([40, 60], ["old", "new"])


def test_weights_that_are_no_share_of_a_hundred_are_not_kept(release: Release) -> None:
    release.as_the_controller((0, 0), ("old", "new"))
    release.upgrade(force=True)
    assert release.weights == [100, 0]


def test_an_upgrade_in_mid_canary_leaves_testers_where_the_controller_sent_them(release: Release) -> None:
    release.upgrade({"testers.enabled": True})
    release.as_the_controller((90, 10), ("old", "new"))
    route = release.send_testers_as_the_controller()
    release.upgrade({"testers.enabled": True, "image.tag": "v1.1"})
    assert (release.routes[0], release.weights, release.hashes) == (route, [90, 10], ["old", "new"])
    release.upgrade({"testers.enabled": True, "virtualService.timeout": "20s"}, force=True)
    assert (release.routes[0], release.weights) == (route, [90, 10])
    assert [each["name"] for each in release.routes] == ["testers", "primary"]


def test_turning_every_option_on_in_mid_canary_changes_neither_weights_nor_hashes(release: Release) -> None:
    release.as_the_controller((70, 30), ("old", "new"))
    everything: dict[str, object] = {}
    for option, settings in OPTIONS.items():
        if option != "split":
            everything |= list(settings.values())[-1]
    release.upgrade(everything)
    assert (release.weights, release.hashes) == ([70, 30], ["old", "new"])
    release.upgrade()
    assert (release.weights, release.hashes) == ([70, 30], ["old", "new"])


def test_pods_that_an_autoscaler_chose_outlive_upgrades(release: Release) -> None:
    def scale(count: int) -> None:
        release.api.run("scale", "rollouts", "webapp", f"--replicas={count}", "--namespace", release.namespace)

    # Helm alone has said 3: leaving the field out now would have the API remove it.
    release.upgrade({"rollout.replicas": 3})
    release.upgrade({"autoscaling.enabled": True})
    assert release.replicas == 3
    scale(7)
    release.upgrade({"autoscaling.enabled": True})
    assert release.replicas == 7
    scale(4)
    release.upgrade({"autoscaling.enabled": True, "image.tag": "v1.1"})
    assert release.replicas == 4
    release.upgrade(force=True)
    assert release.replicas == 1


def test_uninstall_leaves_nothing_and_may_be_repeated(release: Release) -> None:
    release.helm.uninstall("webapp", release.namespace)
    kinds = "rollouts,analysistemplates,virtualservices,destinationrules,gateways,services,serviceaccounts"
    assert release.api.run("get", kinds, "--namespace", release.namespace, "--output", "name").split() == []
    release.helm.uninstall("webapp", release.namespace)


def test_the_real_controller_finds_no_fault_in_the_rollout(release: Release, bin_dir: Path, tmp_path: Path) -> None:
    argv: list[str | Path] = [bin_dir / "rollouts-controller", "--kubeconfig", release.api.kubeconfig, "--leader-elect=false"]
    argv += ["--healthzPort=-1", "--metricsPort=-1"]  # both would listen on every interface
    status: Object = {}
    with process(tmp_path, argv) as controller:
        deadline = time.monotonic() + DEADLINE
        while status.get("stableRS") is None and "InvalidSpec" not in str(status):
            assert controller.poll() is None, (tmp_path / "rollouts-controller.log").read_text()[-2000:]
            assert time.monotonic() < deadline, status
            time.sleep(0.2)
            status = release.get("rollouts").get("status", {})
    assert "InvalidSpec" not in str(status), status
