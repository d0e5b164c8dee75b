"""What this project is made of: the Python distributions of its lock, and the Go modules of its pinned programs. PURE: no I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

_REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_MODULE = re.compile(r"^\s*(?:require\s+)?(?P<path>[^\s()]+\.[^\s()]+)\s+(?P<version>v\S+)\s*(?://.*)?$", re.MULTILINE)
_REPLACED = re.compile(
    r"^\s*(?:replace\s+)?(?P<path>\S+)(?:\s+v\S+)?\s+=>\s+(?P<new>\S+)\s+(?P<version>v\S+)\s*(?://.*)?$", re.MULTILINE
)
_SUM = re.compile(r"^(?P<path>\S+) (?P<version>v\S+) (?P<sum>h1:\S+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, order=True)
class Package:
    """One thing that was pinned: `type` is that of a package URL, `sums` are SHA-256 of its files or Go's own h1: sums."""

    type: str
    name: str
    version: str
    sums: tuple[str, ...] = ()

    @property
    def purl(self) -> PackageURL:
        """Its package URL."""
        space, _, name = self.name.rpartition("/")
        return PackageURL(self.type, space or None, name, self.version)


def python_packages(lock: str) -> tuple[Package, ...]:
    """The distributions of a lock file with hashes."""
    found = []
    for entry in re.split(r"\n(?=\S)", lock):
        if match := _REQUIREMENT.match(entry):
            name, sums = str(canonicalize_name(match["name"])), tuple(sorted(_HASH.findall(entry)))
            found.append(Package(type="pypi", name=name, version=match["version"], sums=sums))
    return tuple(sorted(set(found)))


def go_packages(mod: str, sums: str) -> tuple[Package, ...]:
    r"""The modules that a go.mod selects, replacements carried out, with what its go.sum says of each.

    >>> text = "module x\nrequire (\n\ta.example/b v1.0.0 // indirect\n)\nreplace a.example/b => c.example/d v1.2.0\n"
    >>> [(each.name, each.version) for each in go_packages(text, "")]
    [('c.example/d', 'v1.2.0')]
    """
    known = {(match["path"], match["version"]): match["sum"] for match in _SUM.finditer(sums)}
    replaced = {match["path"]: (match["new"], match["version"]) for match in _REPLACED.finditer(mod)}
    required = ((match["path"], match["version"]) for match in _MODULE.finditer(mod))
    chosen = {replaced.get(path, (path, version)) for path, version in required}
    return tuple(sorted(
        Package(type="golang", name=name, version=version, sums=(known[name, version],) if (name, version) in known else ())
        for name, version in chosen
    ))  # fmt: skip


def bill(name: str, packages: Iterable[Package]) -> str:
    """A CycloneDX bill of materials, the same for the same packages on any day."""
    subject = Component(type=ComponentType.APPLICATION, name=name, bom_ref=name)
    parts = [_component(each) for each in packages]
    bom = Bom(metadata=BomMetaData(component=subject, timestamp=datetime.fromtimestamp(0, UTC)), components=parts)
    bom.register_dependency(subject, parts)
    return stamped(bom)


def _component(package: Package) -> Component:
    go = package.type == "golang"
    return Component(
        type=ComponentType.LIBRARY, name=package.name, version=package.version, bom_ref=package.purl.to_string(),
        purl=package.purl,
        # Go's sum is one over a module's file tree and not over a file, so it is no hash in the schema's sense.
        properties=[Property(name="go:sum", value=each) for each in package.sums] if go else [],
        hashes=[] if go else [HashType(alg=HashAlgorithm.SHA_256, content=each) for each in package.sums],
    )


def stamped(bom: Bom) -> str:
    """A bill as JSON, with a serial number that follows from all the rest: the same bill has the same on any day."""
    bom.serial_number = uuid5(NAMESPACE_URL, "")
    bom.serial_number = uuid5(NAMESPACE_URL, _rendered(bom))
    return _rendered(bom)


def _rendered(bom: Bom) -> str:
    # Through a dictionary, because the library does not promise the order of its keys.
    return json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), indent=1, sort_keys=True) + "\n"
