"""The images of a scenario: built and pushed, or taken as they are and told by their pods' environment what to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.errors import UsageError
from harness.images.base import pulled
from harness.images.crane import InvalidImageName, split_reference
from harness.platforms import Images
from harness.variants import REPOSITORY, BuiltImage, Variant, build


def supply(variant: Variant, source: Images, *, given: str, crane: Path, cache: Path) -> BuiltImage:
    """The image of a variant as the cluster can pull it; `given` is the reference to one that is there, or empty.

    Raises UsageError for a reference that cannot be used, RegistryUnavailable, and PlatformError.
    """
    if given:
        return taken(variant, given)
    base = pulled(source.base, crane=crane, cache=cache) if source.base else None
    built = build(variant, registry=source.push_registry or source.registry, crane=crane, cache=cache, base=base)
    return named_for_pulling(built, source.registry)


def taken(variant: Variant, reference: str) -> BuiltImage:
    """An image that is there already, and the environment that makes it this variant.

    >>> image = taken(Variant(tag="v1.0"), "registry.example/apps/webapp:2026-11")
    >>> image.repository, image.tag, image.env
    ('registry.example/apps/webapp', '2026-11', {'APP_VERSION': 'v1.0'})
    """
    try:
        repository, tag, digest = split_reference(reference)
    except InvalidImageName as error:
        raise UsageError(str(error)) from None
    if not tag:
        raise UsageError(f"image {reference}: give its tag too: by it the two versions are told apart")
    return BuiltImage(
        repository=repository, tag=tag, digest=digest, reference=reference,
        env={"APP_VERSION": variant.tag, **variant.faults.env()},
    )  # fmt: skip


def named_for_pulling(image: BuiltImage, registry: str) -> BuiltImage:
    """The same image by the name under which the cluster pulls it."""
    repository = f"{registry}/{REPOSITORY}"
    return replace(image, repository=repository, reference=f"{repository}:{image.tag}@{image.digest}")
