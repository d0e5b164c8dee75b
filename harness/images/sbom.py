"""The software bill of materials of the web app's image, as CycloneDX JSON.

`python -m harness.images.sbom webapp v1.0 > sbom.cdx.json` writes it for the source in the folder webapp and the version v1.0.
It says what the image adds to its base: the app with the SHA-256 of each file, and the Python distributions with their versions,
package URLs, licences and the hashes by which the lock lets them in. It is a function of just these, so that the same
image has the same bill on any day. The packages of a base image are the business of whoever publishes that.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from harness.bill.model import stamped
from harness.images.layers import WEBAPP_REQUIREMENTS, needs, webapp_files
from harness.images.lock import locked_hashes
from harness.images.spec import INTERPRETER_LABEL, node_interpreter

# What older metadata says in words, where the words leave no doubt; "BSD License" does, and stays as it is.
_SPDX = {"MIT License": "MIT", "3-Clause BSD License": "BSD-3-Clause"}


def webapp_sbom(files: Mapping[str, bytes], *, version: str, lock: str, epoch: int = 0) -> bytes:
    """The bill for the app made of `files` (path in the image, content), which calls itself `version`.

    `lock` is the text of the lock file; a distribution that it has in another version than is installed goes without hashes.
    `epoch`, in seconds, is its time. Raises PlatformError when a distribution is missing.
    """
    graph, hashes = needs(WEBAPP_REQUIREMENTS), locked_hashes(lock)
    app = Component(
        type=ComponentType.APPLICATION,
        name="webapp",
        version=version,
        bom_ref=f"pkg:generic/webapp@{version}",
        purl=PackageURL("generic", None, "webapp", version),
        licenses=[LicenseFactory().make_with_id("Apache-2.0")],
        components=[_file(name, content) for name, content in files.items()],
        properties=[Property(name=INTERPRETER_LABEL, value=node_interpreter())],
    )
    libraries = {
        name: _library(distribution, hashes.get((name, distribution.version), ())) for name, (distribution, _) in graph.items()
    }
    bom = Bom(metadata=BomMetaData(component=app, timestamp=datetime.fromtimestamp(epoch, UTC)), components=libraries.values())
    bom.register_dependency(app, [libraries[canonicalize_name(name)] for name in WEBAPP_REQUIREMENTS])
    for name, (_, needed) in graph.items():
        bom.register_dependency(libraries[name], [libraries[each] for each in needed])
    return stamped(bom).encode()


def _file(name: str, content: bytes) -> Component:
    digest = hashlib.sha256(content).hexdigest()
    return Component(type=ComponentType.FILE, name=name, bom_ref=f"file:{name}", hashes=[_sha256(digest)])


def _library(distribution: importlib.metadata.Distribution, hashes: tuple[str, ...]) -> Component:
    name, version = canonicalize_name(distribution.metadata["Name"]), distribution.version
    purl = PackageURL("pypi", None, name, version)
    # The lock names every file of a release, so the hashes are those of the release's files and not of the component.
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(purl.to_string()),
        comment="the release's files as the lock accepts them; one of them is installed",
        hashes=map(_sha256, hashes),
    )
    return Component(
        type=ComponentType.LIBRARY,
        name=distribution.metadata["Name"],
        version=version,
        bom_ref=purl.to_string(),
        purl=purl,
        description=distribution.metadata["Summary"],
        licenses=_licenses(distribution),
        external_references=[files] if hashes else [],
    )


def _licenses(distribution: importlib.metadata.Distribution) -> list[License]:
    """What the distribution says of itself: as an SPDX expression (PEP 639), else in its License field, else by classifiers."""
    metadata = distribution.metadata
    text = next((text for key in ("License-Expression", "License") for text in metadata.get_all(key, [])), "")
    classifiers = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier", []) if line.startswith("License ::")]
    # Some put the whole text of the licence into the field.
    said = [text] if text and not re.search(r"\n|.{80}", text) else classifiers
    return [LicenseFactory().make_from_string(_SPDX.get(each, each)) for each in said]


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m harness.images.sbom FOLDER-OF-THE-WEB-APP VERSION")
    _folder = Path(sys.argv[1])
    _lock = (_folder / "requirements.lock").read_text()
    sys.stdout.write(webapp_sbom(webapp_files(_folder), version=sys.argv[2], lock=_lock).decode())
