"""PURE: the environment that a pod asks for, as kubelet would build it.

Order and expansion follow the Kubernetes API reference of EnvVar and EnvFromSource: `envFrom` first, then `env`; a `$(NAME)` sees
what was defined before it; an unknown name stays as it is written; `$$` is a literal `$`.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from harness.platforms.local.node.spec import Container, Json, Pod

_SUFFIXES = {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1)}
_SUFFIXES |= {s: Fraction(1000 ** (i + 1)) for i, s in enumerate("kMGTPE")}
_SUFFIXES |= {f"{s}i": Fraction(1024 ** (i + 1)) for i, s in enumerate("KMGTPE")}
_QUANTITY = re.compile(r"^([+-]?[0-9.]+)(?:[eE]([+-]?[0-9]+))?([numkKMGTPE]?i?)$")
_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['([^']*)'\]$")


class ConfigMissing(Exception):
    """A ConfigMap, a Secret or a key that the container needs is not there. The text is kubelet's own form."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What an environment may refer to beside the pod: absent ConfigMaps and Secrets are None. Capacity: CPUs and bytes."""

    config_maps: Mapping[str, Json | None] = field(default_factory=dict)
    secrets: Mapping[str, Json | None] = field(default_factory=dict)
    pod_ip: str = ""
    host_ip: str = ""
    cpu: int = 1
    memory: int = 0


def references(container: Container) -> tuple[set[str], set[str]]:
    """Names of the ConfigMaps and of the Secrets that the container's environment refers to."""
    sources = (*container.env_from, *((e.get("valueFrom") or {}) for e in container.env))

    def names(*keys: str) -> set[str]:
        return {source[key].get("name") or "" for source in sources for key in keys if key in source}

    return names("configMapRef", "configMapKeyRef"), names("secretRef", "secretKeyRef")


def build(pod: Pod, container: Container, sources: Sources) -> dict[str, str]:
    """The environment of the container. Raises ConfigMissing."""
    result: dict[str, str] = {}
    for source in container.env_from:
        result |= _env_from(source, sources)
    for entry in container.env:
        if "valueFrom" in entry:
            value = _value_from(entry["valueFrom"], pod, container, sources)
            if value is not None:
                result[entry["name"]] = value
        else:
            result[entry["name"]] = expand(entry.get("value") or "", result)
    return result


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace each `$(NAME)` that is known; `$$` is `$`; anything else stays."""

    def replace(match: re.Match[str]) -> str:
        whole: str = match.group(0)
        return "$" if whole == "$$" else variables.get(match.group(1), whole)

    return re.sub(r"\$\$|\$\(([^)]*)\)", replace, text)


def expand_all(words: Iterable[str], variables: Mapping[str, str]) -> list[str]:
    """`expand` on each word of a command."""
    return [expand(word, variables) for word in words]


def quantity(text: str) -> Fraction:
    """The number that a Kubernetes quantity ("250m", "64Mi", "1e3") stands for. Raises ValueError."""
    match = _QUANTITY.match(text.strip())
    if not match or match.group(3) not in _SUFFIXES:
        raise ValueError(f"not a quantity: {text!r}")
    return Fraction(match.group(1)) * Fraction(10) ** int(match.group(2) or 0) * _SUFFIXES[match.group(3)]


def _data(kind: str, name: str, ref: Json, sources: Sources) -> dict[str, str] | None:
    found = (sources.config_maps if kind == "configmap" else sources.secrets).get(name)
    if found is None:
        if ref.get("optional"):
            return None
        raise ConfigMissing(f'{kind} "{name}" not found')
    data = {k: str(v) for k, v in (found.get("data") or {}).items()}
    if kind == "secret":
        # errors="replace": an environment holds text; bytes that are none must not stop the pod with a traceback.
        return {k: base64.b64decode(v).decode(errors="replace") for k, v in data.items()}
    return data


def _env_from(source: Json, sources: Sources) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for key, kind in (("configMapRef", "configmap"), ("secretRef", "secret")):
        if key in source:
            data = _data(kind, source[key].get("name") or "", source[key], sources) or {}
            return {f"{prefix}{k}": v for k, v in data.items() if k and "=" not in k}
    return {}


def _value_from(source: Json, pod: Pod, container: Container, sources: Sources) -> str | None:
    for key, kind, title in (("configMapKeyRef", "configmap", "ConfigMap"), ("secretKeyRef", "secret", "Secret")):
        if key in source:
            ref = source[key]
            data = _data(kind, ref.get("name") or "", ref, sources)
            if data is None or (ref["key"] not in data and ref.get("optional")):
                return None
            if ref["key"] not in data:
                raise ConfigMissing(f"couldn't find key {ref['key']} in {title} {pod.namespace}/{ref.get('name')}")
            return data[ref["key"]]
    if "fieldRef" in source:
        return _field(source["fieldRef"]["fieldPath"], pod, sources)
    if "resourceFieldRef" in source:
        return _resource(source["resourceFieldRef"], pod, container, sources)
    raise ConfigMissing(f"the local node agent cannot resolve {next(iter(source), 'an empty valueFrom')}")


def _field(path: str, pod: Pod, sources: Sources) -> str:
    if match := _SUBSCRIPT.match(path):
        return (pod.labels if match.group(1) == "labels" else pod.annotations).get(match.group(2), "")
    fields = {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": pod.node_name,
        "spec.serviceAccountName": pod.service_account,
        "status.podIP": sources.pod_ip,
        "status.podIPs": sources.pod_ip,
        "status.hostIP": sources.host_ip,
        "status.hostIPs": sources.host_ip,
    }
    if path not in fields:
        raise ConfigMissing(f"the local node agent cannot resolve fieldRef {path}")
    return fields[path]


def _resource(ref: Json, pod: Pod, container: Container, sources: Sources) -> str:
    kind, _, name = ref["resource"].partition(".")
    wanted = ref.get("containerName") or container.name
    owner = next((c for c in pod.all_containers if c.name == wanted), container)
    found = (owner.resources.get(kind) or {}).get(name)
    # As kubelet: a limit that is not set is the node's capacity, a request that is not set is 0.
    capacity = Fraction({"cpu": sources.cpu, "memory": sources.memory}.get(name, 0)) if kind == "limits" else Fraction(0)
    value = capacity if found is None else quantity(str(found))
    divisor = quantity(str(ref.get("divisor") or "0")) or Fraction(1)
    return str(math.ceil(value / divisor))
