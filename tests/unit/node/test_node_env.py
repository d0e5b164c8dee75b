"""The environment that a pod asks for."""

from __future__ import annotations

import base64
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_sim import pod_dict

from harness.platforms.local.node.env import ConfigMissing, Sources, build, expand, quantity, references
from harness.platforms.local.node.spec import parse_pod


def env(*entries: dict[str, Any], sources: Sources | None = None, **container: Any) -> dict[str, str]:
    raw = pod_dict({"env": list(entries), **container}, serviceAccountName="sa")
    raw["metadata"]["annotations"] = {"note": "n"}
    pod = parse_pod(raw)
    return build(pod, pod.containers[0], sources or Sources(pod_ip="127.77.0.1", host_ip="127.0.0.1", cpu=2, memory=4096))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(NO)", "$(NO)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$", "$"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
        ("$(A)$$(A)$(NO)", "1$(A)$(NO)"),
        ("", ""),
    ],
)
def test_expansion(text: str, want: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == want


@given(st.text(alphabet="$()AB x"))
def test_doubled_dollars_protect_any_text(text: str) -> None:
    assert expand(text.replace("$", "$$"), {"A": "1", "B": "2"}) == text


def test_values_see_only_what_comes_before_them() -> None:
    made = env({"name": "A", "value": "$(B)"}, {"name": "B", "value": "2"}, {"name": "C", "value": "$(B)$(A)"}, {"name": "D"})
    assert made == {"A": "$(B)", "B": "2", "C": "2$(B)", "D": ""}


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "ns"),
        ("metadata.uid", "u1"),
        ("metadata.labels['app']", "p"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['note']", "n"),
        ("spec.nodeName", "n"),
        ("spec.serviceAccountName", "sa"),
        ("status.podIP", "127.77.0.1"),
        ("status.hostIP", "127.0.0.1"),
    ],
)
def test_field_references(path: str, want: str) -> None:
    assert env({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}) == {"X": want}


CONFIG = Sources(
    config_maps={"c": {"data": {"k": "v"}}, "none": None}, secrets={"s": {"data": {"k": base64.b64encode(b"pw").decode()}}}
)


def test_keys_of_config_maps_and_secrets() -> None:
    made = env(
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "no", "optional": True}}},
        {"name": "D", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "k", "optional": True}}},
        sources=CONFIG,
    )
    assert made == {"A": "v", "B": "pw"}


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        ({"configMapKeyRef": {"name": "c", "key": "no"}}, "couldn't find key no in ConfigMap ns/c"),
        ({"secretKeyRef": {"name": "absent", "key": "k"}}, 'secret "absent" not found'),
        ({"secretKeyRef": {"name": "s", "key": "no"}}, "couldn't find key no in Secret ns/s"),
    ],
)
def test_what_is_missing_is_named_in_kubelets_words(ref: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigMissing) as caught:
        env({"name": "X", "valueFrom": ref}, sources=CONFIG)
    assert str(caught.value) == message


def test_env_from_with_prefix_comes_before_env() -> None:
    made = env(
        {"name": "P_k", "value": "mine"},
        {"name": "X", "value": "$(k)"},
        sources=CONFIG,
        envFrom=[
            {"prefix": "P_", "configMapRef": {"name": "c"}},
            {"secretRef": {"name": "s"}},
            {"configMapRef": {"name": "none", "optional": True}},
        ],
    )
    assert made == {"P_k": "mine", "k": "pw", "X": "pw"}
    with pytest.raises(ConfigMissing, match='configmap "none" not found'):
        env(sources=CONFIG, envFrom=[{"configMapRef": {"name": "none"}}])


@pytest.mark.parametrize(
    ("resource", "divisor", "want"),
    [
        ("limits.cpu", None, "1"),
        ("limits.cpu", "1m", "250"),
        ("limits.memory", None, str(64 * 2**20)),
        ("limits.memory", "1Mi", "64"),
        ("requests.memory", None, "0"),
        ("limits.ephemeral-storage", None, "0"),
    ],
)
def test_resources(resource: str, divisor: str | None, want: str) -> None:
    ref = {"resource": resource} | ({"divisor": divisor} if divisor else {})
    made = env({"name": "X", "valueFrom": {"resourceFieldRef": ref}}, resources={"limits": {"cpu": "250m", "memory": "64Mi"}})
    assert made == {"X": want}


def test_limit_that_is_not_set_is_the_nodes_capacity() -> None:
    assert env({"name": "X", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}) == {"X": "2"}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1", 1),
        ("250m", Fraction(1, 4)),
        ("1k", 1000),
        ("2Ki", 2048),
        ("1.5Gi", 3 * 2**29),
        ("1e3", 1000),
        ("1E", 10**18),
        ("12E-1", Fraction(6, 5)),
    ],
)
def test_quantities(text: str, want: Fraction) -> None:
    assert quantity(text) == want


@pytest.mark.parametrize("text", ["", "x", "1i", "1mi", "--1"])
def test_bad_quantities(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantity|literal"):
        quantity(text)


def test_references_names_each_source_once() -> None:
    entries = [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "C", "value": "x"},
    ]
    pod = parse_pod(pod_dict({"env": entries, "envFrom": [{"configMapRef": {"name": "d"}}, {"secretRef": {"name": "t"}}]}))
    assert references(pod.containers[0]) == ({"c", "d"}, {"s", "t"})
