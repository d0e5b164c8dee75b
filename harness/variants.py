"""The variants of the web app: one program, and versions that differ in nothing but the faults in their image's environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from harness.images.base import Base
from harness.images.bills import MEDIA_TYPE, webapp_bill
from harness.images.build import attach, push_image
from harness.images.layers import Layer, dependencies_layer, webapp_layer
from harness.images.spec import INTERPRETER_LABEL, ImageConfig, node_interpreter

REPOSITORY = "webapp"
SOURCE = Path(__file__).resolve().parent.parent / "webapp"


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What a variant injects; the default is a healthy one.

    Rates are in percent of user requests, latencies in milliseconds. Each field is the web app's FAULT_* variable of that name.
    """

    error_rate: float = 0.0
    status_code: int = 500
    latency_ms: float = 0.0
    latency_jitter_ms: float = 0.0
    latency_p50_ms: float | None = None
    latency_p90_ms: float | None = None
    latency_p99_ms: float | None = None
    hang_rate: float = 0.0
    reset_rate: float = 0.0
    slow_start_seconds: float = 0.0
    crash_after_requests: int | None = None
    crash_after_seconds: float | None = None
    memory_kib_per_request: float = 0.0
    memory_cap_mib: float = 256.0
    readiness_flap_seconds: float = 0.0
    clock_behind_seconds: float = 0.0
    routes: tuple[str, ...] = ()
    header: str = ""
    rules: str = ""  # the JSON text itself, so that a variant stays a value that can be compared and hashed
    seed: int | None = None

    def env(self) -> dict[str, str]:
        """The FAULT_* variables; those at their default are left out."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if getattr(self, each.name) != each.default}
        return {FAULT_VARIABLES[name]: _text(value) for name, value in values.items()}


# By field.
FAULT_VARIABLES = {each.name: f"FAULT_{each.name.upper()}" for each in fields(Faults)}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A version of the web app; the tag is also what it calls itself (APP_VERSION)."""

    tag: str
    faults: Faults = Faults()


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """A pushed image; `reference` names tag and digest both: REGISTRY/webapp:TAG@sha256:…."""

    repository: str
    tag: str
    digest: str
    reference: str
    env: Mapping[str, str] = field(default_factory=dict)
    """What the image's environment lacks and the pod's is to have: for an image that was not built for its variant."""


def image_config(variant: Variant, *, revision: str) -> ImageConfig:
    """How a variant's image is run; the Dockerfile says the same, and a test holds the two against each other."""
    return ImageConfig(
        entrypoint=("python3", "-m", "gunicorn", "-c", "webapp/gunicorn.conf.py", "webapp.app:create_app()"),
        env={
            "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": "/app/site-packages",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "APP_VERSION": variant.tag,
            "APP_REVISION": revision,
            # A blank one means its default, here as in the Dockerfile, which cannot leave one out.
            **dict.fromkeys(FAULT_VARIABLES.values(), ""),
            **variant.faults.env(),
        },
        working_dir="/app",
        user="65532:65532",
        exposed_ports=("8080/tcp",),
        labels={
            "org.opencontainers.image.title": "webapp",
            "org.opencontainers.image.description": "A service with exact, seeded, measured faults.",
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.version": variant.tag,
            "org.opencontainers.image.revision": revision,
            INTERPRETER_LABEL: node_interpreter(),
        },
    )


def webapp_layers(cache: Path, *, source: Path = SOURCE, epoch: int = 0) -> tuple[Layer, Layer]:
    """The two layers that all variants share: dependencies, then source."""
    return dependencies_layer(cache, epoch=epoch), webapp_layer(cache, source, epoch=epoch)


def build(
    variant: Variant,
    *,
    registry: str,
    crane: Path,
    cache: Path,
    revision: str | None = None,
    source: Path = SOURCE,
    epoch: int = 0,
    base: Base | None = None,
) -> BuiltImage:
    """Build a variant and push it with its bill of materials to `registry`, such as localhost:5001; `cache` keeps the layers.

    The same source and installed distributions give the same digest. Without a `revision` the image is labelled by the hash of
    its source. With a `base`, which brings the interpreter, it runs in any container runtime. `epoch` is the image's time in
    seconds (SOURCE_DATE_EPOCH). Raises RegistryUnavailable, and PlatformError when a distribution is missing.
    """
    layers = webapp_layers(cache, source=source, epoch=epoch)
    revision = revision or f"src-{layers[1].digest.removeprefix('sha256:')[:12]}"
    repository = f"{registry}/{REPOSITORY}"
    digest = push_image(
        crane=crane,
        reference=f"{repository}:{variant.tag}",
        layers=layers,
        config=image_config(variant, revision=revision),
        epoch=epoch,
        base=base,
    )
    lock = (SOURCE / "requirements.lock").read_text()
    bill = webapp_bill(cache, layers, source=source, lock=lock, version=variant.tag, epoch=epoch)
    attach(crane=crane, subject=f"{repository}@{digest}", media_type=MEDIA_TYPE, content=bill)
    return BuiltImage(repository=repository, tag=variant.tag, digest=digest, reference=f"{repository}:{variant.tag}@{digest}")


def _text(value: float | str | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    # repr keeps every digit of a rate; a whole number is written as people write it.
    return value if isinstance(value, str) else str(int(value)) if value == int(value) else repr(value)
