"""What the local platform would start, held by a golden file."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.platforms.local.binaries import Binaries
from harness.platforms.local.components import components, files
from harness.platforms.local.config import LocalConfig, Ports
from harness.platforms.local.paths import RunPaths
from harness.supervisor.errors import PlanError
from harness.supervisor.plan import plan, render

GOLDEN = Path(__file__).parent / "plan.golden"
PORTS = Ports(**{name: 30000 + number for number, name in enumerate(Ports.free_names())})
CONFIG = LocalConfig(
    paths=RunPaths(root=Path("/run")), ports=PORTS, binaries=Binaries(folder=Path("/programs")), envoy=Path("/envoy"),
    python=Path("/python"), source=Path("/source"), image_store=Path("/images"),
)


def programs(config: LocalConfig) -> set[str]:
    return {component.argv[0] for component in components(config)}


def test_the_plan_is_what_the_golden_file_says() -> None:
    text = render(plan(components(CONFIG), existing=programs(CONFIG)))
    if os.environ.get("GATEPROOF_WRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "if the change is meant: GATEPROOF_WRITE_GOLDEN=1 ./run.sh test tests/unit/local"


def test_everything_listens_on_loopback_and_nothing_on_every_interface() -> None:
    for component in components(CONFIG):
        assert {port.host for port in component.ports} <= {"127.0.0.1"}
        assert not any("0.0.0.0" in argument for argument in component.argv)


def test_two_owners_of_a_port_are_refused_before_anything_starts() -> None:
    config = replace(CONFIG, ports=replace(PORTS, registry=PORTS.gateway))
    with pytest.raises(PlanError, match="both want port"):
        plan(components(config), existing=programs(config))


def test_prometheus_scrapes_each_component_that_declares_metrics_and_the_pods() -> None:
    settings = yaml.safe_load(files(CONFIG)[Path("/run/config/prometheus.yml")])
    jobs = [job["job_name"] for job in settings["scrape_configs"]]
    assert sorted(jobs) == sorted([*(c.name for c in components(CONFIG) if c.metrics), "pods"])
    labels = {rule["target_label"] for rule in settings["scrape_configs"][-1]["relabel_configs"] if "target_label" in rule}
    assert {"namespace", "pod", "rollouts_pod_template_hash"} <= labels


def test_the_gateways_admin_port_can_only_be_read() -> None:
    bootstrap = json.loads(files(CONFIG)[Path("/run/config/envoy.json")])
    allowed = {next(iter(matcher.values())) for matcher in bootstrap["admin"]["allow_paths"]}
    assert "/quitquitquit" not in allowed
    assert "/ready" in allowed


def test_a_seeded_plan_applies_nothing_and_needs_the_same_names() -> None:
    seeded = replace(CONFIG, seed=Path("/seed"))
    made = plan(components(seeded), existing=programs(seeded))
    assert not [each.name for each in made.components if "apply" in each.argv]
    asked = {each.name: each.needs for each in made.components if each.kind == "task"}
    assert asked == {"roles": ("kube-apiserver",), "crds-served": ("kube-apiserver",)}


def identities_of(config: LocalConfig) -> list[str]:
    """The kubeconfigs of the services of a platform."""
    return [
        argument.split("=", 1)[1]
        for component in components(config)
        if component.kind == "service"
        for argument in component.argv
        if argument.startswith("--kubeconfig=")
    ]


def test_no_component_shares_another_ones_identity() -> None:
    used = identities_of(CONFIG)
    assert len(used) == len(set(used)) == 5
    assert "/run/kubeconfig" not in used
