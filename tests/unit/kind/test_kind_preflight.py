"""What stands in the way of a kind platform is told all at once; whose things are whose is told by labels."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kind_cases import CONFIG

from harness.platforms.kind.config import FINGERPRINT_LABEL, NETWORK_LABEL, OWNER_LABEL, Ports
from harness.platforms.kind.preflight import Container, Facts, problems, warnings

GOOD = Facts(memory=8 * 2**30, cpus=4)
OURS = Container(running=True, labels={OWNER_LABEL: "gateproof", FINGERPRINT_LABEL: "x", NETWORK_LABEL: "made"})
THEIRS = Container(running=True, labels={})
NODE = Container(running=True, labels={"io.x-k8s.kind.cluster": "gateproof"})


def test_nothing_stands_in_the_way_of_a_fresh_start_or_of_going_on() -> None:
    assert problems(CONFIG, GOOD) == []
    assert problems(CONFIG, replace(GOOD, registry=OURS)) == []
    assert problems(CONFIG, replace(GOOD, registry=OURS, node=NODE, same_cluster=True)) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (replace(GOOD, docker=False), "no `docker` on PATH"),
        (replace(GOOD, engine=False), "engine does not answer"),
        (replace(GOOD, memory=4 * 2**30), "4.0 GiB of memory, and 6 GiB"),
        (replace(GOOD, cpus=1), "1 CPU, and 2"),
        (replace(GOOD, os_type="windows"), "windows containers"),
        (replace(GOOD, taken=(8081,)), "8081 (gateway) is taken: stop what listens there, or choose another --gateway-port"),
        (replace(GOOD, taken=(3000,)), "port 127.0.0.1:3000 (grafana) is taken"),
        (replace(GOOD, registry=THEIRS), "container gateproof-registry that this harness did not make"),
        (replace(GOOD, node=NODE), "kind cluster gateproof that this harness did not make"),
        (replace(GOOD, registry=OURS, node=NODE), "made with another configuration"),
        (replace(GOOD, registry=OURS, node=replace(NODE, running=False)), "docker start gateproof-control-plane"),
    ],
)  # fmt: skip
def test_each_thing_that_stands_in_the_way_says_what_to_do(facts: Facts, words: str) -> None:
    (told,) = problems(CONFIG, facts)
    assert words in told
    assert ": " in told


def test_all_that_is_missing_is_told_at_once() -> None:
    told = problems(CONFIG, replace(GOOD, memory=2**30, cpus=1, taken=(8080, 3100), node=NODE))
    assert len(told) == 5
    assert len(problems(CONFIG, replace(GOOD, docker=False, taken=(8080, 3100)))) == 3


def test_a_port_that_is_wanted_twice() -> None:
    (told,) = problems(replace(CONFIG, ports=Ports(gateway=8080)), GOOD)
    assert "8080 is wanted twice" in told


@pytest.mark.parametrize(
    ("facts", "makes"),
    [
        (GOOD, True),
        (replace(GOOD, network=True), False),
        (replace(GOOD, network=True, registry=OURS), True),
        (replace(GOOD, network=True, registry=replace(OURS, labels={**OURS.labels, NETWORK_LABEL: "found"})), False),
    ],
)
def test_kinds_network_is_ours_only_where_there_was_none_before_us(facts: Facts, makes: bool) -> None:
    assert facts.makes_network is makes


def test_few_inotify_instances_are_noted_and_stop_nobody() -> None:
    few = replace(GOOD, inotify_instances=128)
    assert problems(CONFIG, few) == []
    assert "sysctl" in warnings(few)[0]
    assert warnings(replace(GOOD, inotify_instances=512)) == warnings(GOOD) == []
