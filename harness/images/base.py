"""An image that ours are put on top of: pulled once, by digest, and never unpacked."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import PlatformError, UsageError
from harness.images.crane import Crane
from harness.images.spec import node_interpreter

_OCI = "application/vnd.oci.image.layer.v1.tar"
# Docker's own names of the same two formats; one manifest is to speak one language.
_MEDIA = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{_OCI}+gzip",
    "application/vnd.docker.image.rootfs.diff.tar": _OCI,
}


@dataclass(frozen=True, kw_only=True)
class Base:
    """A pulled image: `blobs` is the folder with its layers by hash."""

    reference: str
    digest: str
    blobs: Path
    layers: tuple[Mapping[str, Any], ...]
    config: Mapping[str, Any]

    @property
    def env(self) -> dict[str, str]:
        """The variables that it sets."""
        return dict(pair.split("=", 1) for pair in self.config.get("config", {}).get("Env") or ())

    @property
    def diff_ids(self) -> list[str]:
        """Its layers, uncompressed, by digest."""
        return list(self.config["rootfs"]["diff_ids"])

    def layer_files(self) -> list[Path]:
        """Its layers as they were pulled, each named by its hash."""
        return [self.blobs / str(each["digest"]).removeprefix("sha256:") for each in self.layers]

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """How its layers came about; made up where it does not say, because it is all layers or none."""
        return list(self.config.get("history") or ({"created_by": self.reference} for _ in self.diff_ids))


def pulled(reference: str, *, crane: Path, cache: Path) -> Base:
    """An image for this machine's processor, from the cache if it is there.

    Raises ImageNotFound, RegistryUnavailable, and UsageError when its Python is another than the one that ours were made for.
    """
    caller = Crane(crane)
    digest = caller.digest(reference)
    folder = cache / "bases" / digest.replace(":", "-")
    if not (folder / "index.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pulling-", dir=folder.parent) as beside:
            layout = Path(beside) / "layout"
            caller.pull(reference, layout)
            try:
                os.replace(layout, folder)  # noqa: PTH105 -- atomic, and says so
            except OSError:
                # Somebody else has just pulled the same; or what is there was left half removed.
                if not (folder / "index.json").is_file():
                    shutil.rmtree(folder, ignore_errors=True)
                    layout.rename(folder)
    base = _read(reference, digest, folder)
    _refuse_another_python(base)
    return base


def _read(reference: str, digest: str, folder: Path) -> Base:
    blobs = folder / "blobs" / "sha256"

    def blob(descriptor: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((blobs / str(descriptor["digest"]).removeprefix("sha256:")).read_bytes())
        return found

    try:
        [entry] = json.loads((folder / "index.json").read_text())["manifests"]
        manifest = blob(entry)
        layers = [{**each, "mediaType": _MEDIA.get(each["mediaType"], each["mediaType"])} for each in manifest["layers"]]
        config = blob(manifest["config"])
        return Base(reference=reference, digest=digest, blobs=blobs, layers=tuple(layers), config=config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlatformError(f"the base image in {folder} is damaged ({error}): remove that folder") from None


def _refuse_another_python(base: Base) -> None:
    """The web app's packages are this Python's: some of them are compiled. Images of Python's own say which one they have."""
    version = base.env.get("PYTHON_VERSION")
    ours = node_interpreter().removeprefix("python")
    if version is not None and version.split(".")[:2] != ours.split("."):
        raise UsageError(
            f"base image {base.reference} has Python {version}, and the web app's packages here are for {ours}: "
            f"choose one with Python {ours}, such as python:{ours}-slim"
        )
