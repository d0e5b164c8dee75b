"""From layers and a configuration to an OCI image layout, and from there, in one call, into the registry."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.images.base import Base
from harness.images.crane import Crane, architecture, split_reference
from harness.images.layers import Layer
from harness.images.spec import ImageConfig

_MEDIA = "application/vnd.oci.image"
_ANNOTATION = "org.opencontainers.image"
# The configuration of an artifact that has none, as the OCI image specification wants it.
_EMPTY_MEDIA, _EMPTY = "application/vnd.oci.empty.v1+json", b"{}"


def push_image(
    *, crane: Path, reference: str, layers: Sequence[Layer], config: ImageConfig, epoch: int = 0,
    base: Base | None = None,
) -> str:
    """Push an image of `layers` (lowest first), on top of `base`, and `config` as `reference`; returns its digest.

    Nothing in it depends on when or where it is made: `epoch`, in seconds, is its time of creation.
    Raises RegistryUnavailable.
    """
    # Beside the layers, so that they can be linked: crane takes no symbolic link in a layout, and a copy would take time.
    with _layout(layers[0].path.parent) as (folder, blobs):
        for layer in layers:
            blob = blobs / layer.digest.removeprefix("sha256:")
            if not blob.exists():
                blob.hardlink_to(layer.path)
        for below in base.layer_files() if base else ():
            if not (blobs / below.name).exists():
                (blobs / below.name).hardlink_to(below)
        own = [{"mediaType": f"{_MEDIA}.layer.v1.tar", "digest": one.digest, "size": one.size} for one in layers]
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": _blob(blobs, f"{_MEDIA}.config.v1+json", _json(config_document(config, layers, epoch=epoch, base=base))),
            "layers": [*(base.layers if base else ()), *own],
        }
        _index(folder, blobs, manifest)
        return Crane(crane).push(folder, reference)


def attach(*, crane: Path, subject: str, media_type: str, content: bytes) -> str:
    """Push `content` as an artifact that refers to the image `subject`, REPOSITORY@sha256:…; returns the artifact's digest.

    Where the registry does not keep such references itself, crane keeps them under the tag that the OCI distribution
    specification sets aside for it, sha256-…. Attaching the same again changes nothing.
    Raises RegistryUnavailable, and ImageNotFound for another subject.
    """
    repository, _, digest = split_reference(subject)
    image = Crane(crane).manifest(subject)
    with tempfile.TemporaryDirectory() as parent, _layout(Path(parent)) as (folder, blobs):
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "artifactType": media_type,
            "config": _blob(blobs, _EMPTY_MEDIA, _EMPTY),
            "layers": [_blob(blobs, media_type, content)],
            "subject": {"mediaType": json.loads(image)["mediaType"], "digest": digest, "size": len(image)},
        }
        artifact = _index(folder, blobs, manifest)
        return Crane(crane).push(folder, f"{repository}@{artifact}")


def config_document(
    config: ImageConfig, layers: Sequence[Layer], *, epoch: int = 0, base: Base | None = None
) -> dict[str, Any]:
    """The image configuration that the OCI specification wants, with `config` as its execution parameters."""
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    values = asdict(config)
    env = (base.env if base else {}) | values["env"]
    below = {f"{_ANNOTATION}.base.name": base.reference, f"{_ANNOTATION}.base.digest": base.digest} if base else {}
    history = [{"created": created, "created_by": os.path.basename(layer.path)} for layer in layers]  # noqa: PTH119
    return {
        "created": created,
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "User": values["user"],
            "ExposedPorts": {port: {} for port in values["exposed_ports"]},
            "Env": [f"{name}={value}" for name, value in env.items()],
            "Entrypoint": list(values["entrypoint"]),
            **({"Cmd": list(values["cmd"])} if values["cmd"] else {}),
            "WorkingDir": values["working_dir"],
            "Labels": values["labels"] | below,
        },
        "rootfs": {"type": "layers", "diff_ids": [*(base.diff_ids if base else ()), *(layer.digest for layer in layers)]},
        "history": [*(base.history if base else ()), *history],
    }


@contextmanager
def _layout(parent: Path) -> Iterator[tuple[Path, Path]]:
    """A temporary OCI image layout below `parent`, as its folder and its folder of blobs."""
    with tempfile.TemporaryDirectory(prefix=".layout-", dir=parent) as folder:
        (blobs := Path(folder) / "blobs" / "sha256").mkdir(parents=True)
        yield Path(folder), blobs


def _index(folder: Path, blobs: Path, manifest: dict[str, Any]) -> str:
    """Complete a layout with its one manifest; returns that one's digest."""
    entry = _blob(blobs, f"{_MEDIA}.manifest.v1+json", _json(manifest))
    index = {"schemaVersion": 2, "mediaType": f"{_MEDIA}.index.v1+json", "manifests": [entry]}
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    (folder / "index.json").write_bytes(_json(index))
    return str(entry["digest"])


def _blob(blobs: Path, media_type: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
