"""The options of a cluster that is there already, and the platform that they describe. Nothing is asked of the cluster here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from harness.errors import UsageError
from harness.images.spec import node_interpreter
from harness.names import is_domain, is_image, is_label_key, is_label_value, is_registry
from harness.paths import PATH
from harness.platforms import Images

PLATFORM = "existing"
BASE = f"docker.io/library/{node_interpreter().replace('n3', 'n:3')}-slim"
NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of the command line: its name, and what click is told of it."""

    flag: str
    told: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The keyword by which click hands its value over."""
        return self.flag.removeprefix("--").replace("-", "_")


def _option(flag: str, text: str, **told: Any) -> Option:
    return Option(flag=flag, told={"help": f"({PLATFORM}) {text}", **told})


OPTIONS = (
    _option("--context", "The kube context to use; never the current one by itself.", metavar="NAME"),
    _option("--kubeconfig", "Where the context is (default: as kubectl has it).", type=PATH),
    _option("--namespace", "Where to run (default: one that is made); several for lanes.", multiple=True, metavar="NAME"),
    _option("--namespace-label", "Of namespaces that are made.", multiple=True, metavar="KEY=VALUE"),
    _option("--gateway-url", "The mesh's gateway, to which load is sent.", metavar="http://HOST:PORT"),
    _option("--gateway-service", "The same by a port-forward.", metavar="NAMESPACE/NAME:PORT"),
    _option("--gateway-domain", "Releases answer to <namespace>.DOMAIN (default: local).", metavar="DOMAIN"),
    _option("--prometheus-url", "Prometheus, as we reach it.", metavar="http://HOST:PORT"),
    _option("--prometheus-service", "The same by a port-forward.", metavar="NAMESPACE/NAME:PORT"),
    _option("--prometheus-address", "Prometheus, as the rollouts controller reaches it.", metavar="http://HOST:PORT"),
    _option("--registry", "Where the cluster pulls images from.", metavar="HOST[:PORT][/PATH]"),
    _option("--push-registry", "The same registry as we reach it, if by another name.", metavar="HOST[:PORT][/PATH]"),
    _option("--base-image", f"With a Python for ours (default: {BASE}); none: the nodes bring it.", metavar="IMAGE"),
    _option("--image-stable", "An image that is there already, for the stable version.", metavar="IMAGE:TAG"),
    _option("--image-canary", "The same for the canary; another tag.", metavar="IMAGE:TAG"),
    _option("--no-build", "Build and push nothing: the two images are there already.", is_flag=True),
)
LACKS = (
    f"--platform {PLATFORM} needs --gateway-url or --gateway-service, --prometheus-url or --prometheus-service, "
    "and --registry or --no-build with its two images"
)
WHERE = frozenset({"context", "kubeconfig", "namespace", "namespace_label", "gateway_domain"})
"""What says where, and nothing of how a release is run there."""
NAMES = frozenset(option.name for option in OPTIONS)


def existing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all of them, as keywords."""
    for option in reversed(OPTIONS):
        command = click.option(option.flag, **option.told)(command)
    return command


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a run needs beyond a context: the ways in, and images."""

    gateway: tuple[str, str]
    """The option and its value."""
    prometheus: tuple[str, str]
    prometheus_address: str | None
    images: Images


@dataclass(frozen=True, kw_only=True)
class ExistingOptions:
    """What the options say, each held against the others."""

    context: str
    kubeconfig: Path | None
    namespaces: tuple[str, ...]
    labels: Mapping[str, str]
    domain: str
    parts: Parts | None
    """None where not one of them was given: `down` and `status` do without."""


def read(given: Mapping[str, Any]) -> ExistingOptions:
    """The options that were given. Raises UsageError for the first that is missing, or contradicts another."""
    if not given.get("context"):
        raise UsageError(f"--platform {PLATFORM} needs --context NAME: the current context is never used by itself")
    if "gateway_domain" in given and not is_domain(str(given["gateway_domain"])):
        raise UsageError(f"--gateway-domain {given['gateway_domain']}: give a domain in lower case, such as apps.example.org")
    return ExistingOptions(
        context=str(given["context"]), kubeconfig=given.get("kubeconfig"), namespaces=tuple(given.get("namespace") or ()),
        labels=_labels(given.get("namespace_label") or ()), domain=str(given.get("gateway_domain") or "local"),
        parts=_parts(given) if given.keys() - WHERE else None,
    )  # fmt: skip


def _parts(given: Mapping[str, Any]) -> Parts:
    gateway, prometheus = (_one_of(given, f"--{part}-url", f"--{part}-service") for part in ("gateway", "prometheus"))
    address = given.get("prometheus_address")
    return Parts(gateway=gateway, prometheus=prometheus, prometheus_address=address, images=_images(given))


def _images(given: Mapping[str, Any]) -> Images:
    registry, push, base, stable, canary = (
        str(given.get(key) or "").rstrip("/")
        for key in ("registry", "push_registry", "base_image", "image_stable", "image_canary")
    )
    _refuse_names(given)
    there = bool(given.get("no_build"))
    if bool(stable) != bool(canary) or there != bool(stable):
        raise UsageError("--no-build, --image-stable and --image-canary belong together: give all three, or --registry")
    if there == bool(registry):
        raise UsageError("say where images come from: either --registry, or --no-build with --image-stable and --image-canary")
    if not there:
        return Images(registry=registry, push_registry=push, base="" if base == NONE else base or BASE)
    if stable == canary:
        raise UsageError("--image-stable and --image-canary are the same: by their tags the two versions are told apart")
    if push or base:
        raise UsageError("--push-registry and --base-image: with --no-build nothing is built or pushed")
    return Images(stable=stable, candidate=canary)


def _refuse_names(given: Mapping[str, Any]) -> None:
    """Raise UsageError for the first of the options about images that no image or registry can be called."""
    checks: tuple[tuple[str, Callable[[str], bool], str], ...] = (
        ("registry", is_registry, "HOST[:PORT][/PATH], such as registry.example:5000/team"),
        ("push_registry", is_registry, "HOST[:PORT][/PATH], such as registry.example:5000/team"),
        ("base_image", is_image, f"an image, such as {BASE}, or {NONE}"),
        ("image_stable", lambda text: is_image(text, tagged=True), "IMAGE:TAG, such as registry.example/webapp:v1.0"),
        ("image_canary", lambda text: is_image(text, tagged=True), "IMAGE:TAG, such as registry.example/webapp:v1.1"),
    )
    for key, usable, wanted in checks:
        if key in given and given[key] is not None and not usable(str(given[key]).rstrip("/")):
            raise UsageError(f"--{key.replace('_', '-')} {given[key]}: give {wanted}")


def _one_of(given: Mapping[str, Any], *flags: str) -> tuple[str, str]:
    values = {flag: given.get(flag.removeprefix("--").replace("-", "_")) for flag in flags}
    found = [(flag, str(value)) for flag, value in values.items() if value is not None]
    if len(found) != 1:
        raise UsageError(f"--platform {PLATFORM} needs {' or '.join(flags)}" + (", and not both" if found else ""))
    return found[0]


def _labels(pairs: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not is_label_key(key) or not is_label_value(value):
            raise UsageError(f"--namespace-label {pair}: give KEY=VALUE, such as istio-injection=enabled")
        labels[key] = value
    return labels
