"""The bills of materials of the web app's images, kept: to make one takes 0.3 s, which every release would pay twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version as version_of
from pathlib import Path

from harness.files import write_atomically
from harness.images.layers import Layer, webapp_files
from harness.images.spec import node_interpreter

MEDIA_TYPE = "application/vnd.cyclonedx+json"
_HERE = Path(__file__).parent
_MAKERS = (*(_HERE / f"{name}.py" for name in ("sbom", "layers", "lock", "spec")), _HERE.parent / "bill" / "model.py")


def webapp_bill(cache: Path, layers: Sequence[Layer], *, source: Path, lock: str, version: str, epoch: int = 0) -> bytes:
    """The bill of an image of these layers, from `cache` where one was made of the very same before.

    What it says follows from the layers, the lock and the version; how it says it, from the modules that write it and the
    library that they use. Raises PlatformError when a distribution is missing.
    """
    parts = [*(layer.digest for layer in layers), lock, version, str(epoch), node_interpreter()]
    parts += [version_of("cyclonedx-python-lib"), *(path.read_text() for path in _MAKERS)]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    kept = cache / "bills" / f"webapp-{key}.cdx.json"
    if kept.is_file():
        return kept.read_bytes()
    from harness.images.sbom import webapp_sbom  # noqa: PLC0415  0.2 s that only who makes one is to pay for

    made = webapp_sbom(webapp_files(source), version=version, lock=lock, epoch=epoch)
    write_atomically(kept, made)
    return made
