"""Upstream's manifests with the few changes that a platform needs: pinned images, and settings in ConfigMaps. PURE."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from harness.errors import PlatformError
from harness.platforms.kind.config import GIT_MOUNT, GIT_SETTINGS

# A key without a value is a property of a schema, not an image.
_IMAGE = re.compile(r"""^(?P<key>\s*(?:-\s+)?image:\s+)["']?(?P<image>[^\s"'#]+)["']?\s*$""", re.MULTILINE)
_DOCUMENT = re.compile(r"^---\s*$", re.MULTILINE)
_SETTINGS_FOLDER = "/app/config/gateproof-git"


def pinned(text: str, images: Mapping[str, str]) -> str:
    """The manifests with every image replaced by the reference that `images` has for its name.

    Raises PlatformError when they name an image that is not in there: then upstream has changed, and so must the pins.
    """

    def replace(match: re.Match[str]) -> str:
        name = name_of(match["image"])
        if name not in images:
            raise PlatformError(f"upstream's manifest names the image {match['image']}: pin it in harness/platforms/kind/pins.py")
        return match["key"] + images[name]

    return _IMAGE.sub(replace, text)


def images_of(text: str) -> tuple[str, ...]:
    """The images that manifests name, sorted, each once."""
    return tuple(sorted({match["image"] for match in _IMAGE.finditer(text)}))


def name_of(image: str) -> str:
    """An image reference without tag and digest.

    >>> name_of("localhost:5001/webapp:v1@sha256:0123")
    'localhost:5001/webapp'
    """
    path, at, _ = image.partition("@")
    folder, slash, last = path.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}" if at or ":" in last else path


def changed(text: str, kind: str, name: str, change: Callable[[dict[str, Any]], None]) -> str:
    """The manifests with one object changed in place. Raises PlatformError unless exactly one has this kind and name."""
    documents = _DOCUMENT.split(text)
    mark = re.compile(rf"^kind: {re.escape(kind)}$", re.MULTILINE), re.compile(rf"^  name: {re.escape(name)}$", re.MULTILINE)
    found = [number for number, document in enumerate(documents) if all(each.search(document) for each in mark)]
    if len(found) != 1:
        raise PlatformError(f"upstream's manifest has {len(found)} objects {kind}/{name}, where one was expected")
    loaded = yaml.safe_load(documents[found[0]].replace("\n...\n", "\n"))
    change(loaded)
    documents[found[0]] = "\n" + yaml.safe_dump(loaded, sort_keys=False)
    return "---".join(documents)


def without_tls(manifest: dict[str, Any]) -> None:
    """Argo CD's server speaks plain HTTP: it is reached on this machine's loopback only."""
    manifest.setdefault("data", {})["server.insecure"] = "true"


def reads_folder(manifest: dict[str, Any]) -> None:
    """Argo CD's repo-server gets the repository's folder from its node, for reading, and git's settings for it.

    By GIT_CONFIG_GLOBAL, because nothing else reaches the git that reads: Argo CD sets HOME and GIT_CONFIG_COUNT itself
    (runCmdOutput in its util/git/client.go), and git does not hand the latter on to the upload-pack of a local repository.
    """
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = {"name": "GIT_CONFIG_GLOBAL", "value": f"{_SETTINGS_FOLDER}/gitconfig"}
    container["env"] = [*container.get("env", ()), settings]
    container["volumeMounts"] = [
        *container.get("volumeMounts", ()),
        {"name": "gateproof-git", "mountPath": GIT_MOUNT, "readOnly": True},
        {"name": "gateproof-git-settings", "mountPath": _SETTINGS_FOLDER, "readOnly": True},
    ]
    pod["volumes"] = [
        *pod.get("volumes", ()),
        {"name": "gateproof-git", "hostPath": {"path": GIT_MOUNT, "type": "Directory"}},
        {"name": "gateproof-git-settings", "configMap": {"name": GIT_SETTINGS}},
    ]


def kiali_settings(prometheus_url: str) -> Callable[[dict[str, Any]], None]:
    """Kiali reads that Prometheus. It asks for no password, as upstream's manifest has it: it answers on loopback only."""

    def change(manifest: dict[str, Any]) -> None:
        settings = yaml.safe_load(manifest["data"]["config.yaml"])
        settings.setdefault("external_services", {})["prometheus"] = {"enabled": True, "url": prometheus_url}
        manifest["data"]["config.yaml"] = yaml.safe_dump(settings, sort_keys=True)

    return change
