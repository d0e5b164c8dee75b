"""Makes images present by the container's pull policy, and tells failures apart as kubelet does."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.errors import HarnessError
from harness.images import ImageNotFound, ImageStore, InvalidImageName, RegistryUnavailable, UnpackedImage


class Store(Protocol):
    """What the agent needs of harness.images.ImageStore."""

    def resolve(self, ref: str) -> str:
        """The reference by digest."""

    def unpack(self, ref: str) -> UnpackedImage:
        """The image's files and configuration, pulled when they are not here."""


class PullError(Exception):
    """An image cannot be had; `reason` is kubelet's word for it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that is present; `reference` names it by digest, `message` is the text of the event."""

    reference: str
    unpacked: UnpackedImage
    message: str


class Puller:
    """An image is present when its digest is unpacked in the store; for a tag, when this node resolved it before."""

    def __init__(self, crane: Path, store: Path, tags: Path) -> None:
        self._store: Store = ImageStore(crane, store)
        # A store whose crane is no program cannot ask any registry: what it knows is what is present.
        self._offline: Store = ImageStore(Path(os.devnull), store)
        self._tags_file = tags
        self._lock = threading.Lock()
        self._tags: dict[str, str] = {}
        if tags.exists():
            self._tags = json.loads(tags.read_text())

    def pull(self, image: str, policy: str) -> Image:
        """The image, pulled if the policy (Always, IfNotPresent, Never) wants it. Raises PullError."""
        try:
            present = self.present(image) if policy != "Always" else None
            if present:
                return present
            if policy == "Never":
                raise PullError("ErrImageNeverPull", f'Container image "{image}" is not present with pull policy of Never')
            begun = time.monotonic()
            reference = self._store.resolve(image)
            unpacked = self._store.unpack(reference)
        except InvalidImageName as error:
            raise PullError("InvalidImageName", f'Failed to apply default image tag "{image}": {error}') from None
        except (ImageNotFound, RegistryUnavailable, HarnessError, OSError) as error:
            raise PullError("ErrImagePull", " ".join(str(error).split())) from None
        self._remember(image, reference)
        message = f'Successfully pulled image "{image}" in {time.monotonic() - begun:.3f}s'
        return Image(reference=reference, unpacked=unpacked, message=message)

    def present(self, image: str) -> Image | None:
        """The image if it is here, without asking any registry. Raises InvalidImageName."""
        try:
            reference = self._offline.resolve(self._tags.get(image, image))
            unpacked = self._offline.unpack(reference)
        except InvalidImageName:
            raise
        except (HarnessError, OSError):
            return None
        return Image(reference=reference, unpacked=unpacked, message=f'Container image "{image}" already present on machine')

    def _remember(self, image: str, reference: str) -> None:
        with self._lock:
            self._tags = {**self._tags, image: reference}
            temporary = self._tags_file.with_suffix(".tmp")
            temporary.write_text(json.dumps(self._tags))
            temporary.replace(self._tags_file)
