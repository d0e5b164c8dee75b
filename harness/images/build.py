"""From layers and a configuration to an OCI image layout, and from there, in one call, into the registry."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.images.crane import Crane, architecture
from harness.images.layers import Layer
from harness.images.spec import ImageConfig

_MEDIA = "application/vnd.oci.image"


def push_image(*, crane: Path, reference: str, layers: Sequence[Layer], config: ImageConfig, epoch: int = 0) -> str:
    """Push an image of `layers` (lowest first) and `config` as `reference`; returns its digest.

    Nothing in it depends on when or where it is made: `epoch`, in seconds, is its time of creation.
    Raises RegistryUnavailable.
    """
    # Beside the layers, so that they can be linked: crane takes no symbolic link in a layout, and a copy would take time.
    with tempfile.TemporaryDirectory(prefix=".layout-", dir=layers[0].path.parent) as folder:
        layout = Path(folder)
        blobs = layout / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for layer in layers:
            blob = blobs / layer.digest.removeprefix("sha256:")
            if not blob.exists():
                blob.hardlink_to(layer.path)
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": _blob(blobs, f"{_MEDIA}.config.v1+json", config_document(config, layers, epoch=epoch)),
            "layers": [{"mediaType": f"{_MEDIA}.layer.v1.tar", "digest": one.digest, "size": one.size} for one in layers],
        }
        index = {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.index.v1+json",
            "manifests": [_blob(blobs, f"{_MEDIA}.manifest.v1+json", manifest)],
        }
        (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
        (layout / "index.json").write_text(json.dumps(index))
        return Crane(crane).push(layout, reference)


def config_document(config: ImageConfig, layers: Sequence[Layer], *, epoch: int = 0) -> dict[str, Any]:
    """The image configuration that the OCI specification wants, with `config` as its execution parameters."""
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    values = asdict(config)
    return {
        "created": created,
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "User": values["user"],
            "ExposedPorts": {port: {} for port in values["exposed_ports"]},
            "Env": [f"{name}={value}" for name, value in values["env"].items()],
            "Entrypoint": list(values["entrypoint"]),
            **({"Cmd": list(values["cmd"])} if values["cmd"] else {}),
            "WorkingDir": values["working_dir"],
            "Labels": values["labels"],
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created": created, "created_by": os.path.basename(layer.path)} for layer in layers],  # noqa: PTH119
    }


def _blob(blobs: Path, media_type: str, document: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}
