"""The chart's place, the types of what it renders to, and how CustomResourceDefinitions are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "charts" / "webapp"
PLATFORMS = {"default": [], "local": [CHART / "values-local.yaml"], "kind": [CHART / "values-kind.yaml"]}

Object = dict[str, Any]
Render = Callable[..., dict[tuple[str, str], Object]]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Takes a lone `=`, which YAML 1.1 keeps for a purpose of its own, for the text that it is."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)


def definitions(folder: Path, pattern: str = "*.yaml") -> Iterator[Object]:
    """The CustomResourceDefinitions of all YAML files below a folder."""
    for file in sorted(folder.rglob(pattern)):
        for document in yaml.load_all(file.read_text(), Loader=_Loader):
            if document and document.get("kind") == "CustomResourceDefinition":
                yield document


def closed(node: Any) -> Any:
    """The schema with every object closed that names its properties, and Kubernetes' own keywords put into JSON schema's."""
    if isinstance(node, list):
        return [closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    result = {
        key: {name: closed(each) for name, each in value.items()} if key == "properties" else closed(value)
        for key, value in node.items()
        if key not in {"description", "format", "default"}
    }
    if "properties" in node and "additionalProperties" not in node and not node.get("x-kubernetes-preserve-unknown-fields"):
        result["additionalProperties"] = False
    if node.get("nullable"):
        result = {"anyOf": [result, {"type": "null"}]}
    return result
