"""The bill of materials: valid, complete, and a function of the image's contents alone."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from docs_support import shell_blocks

from harness.images.layers import WEBAPP_REQUIREMENTS, closure, webapp_files
from harness.images.lock import locked_hashes
from harness.images.sbom import webapp_sbom

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "webapp" / "requirements.lock").read_text()
FILES = {"app/webapp/a.py": b"a = 1\n", "app/webapp/b/c.py": b""}


def bill(files: dict[str, bytes] = FILES, *, version: str = "v1.0", lock: str = LOCK, epoch: int = 0) -> dict[str, Any]:
    return dict(json.loads(webapp_sbom(files, version=version, lock=lock, epoch=epoch)))


def test_it_is_valid_by_the_schema() -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    text = webapp_sbom(FILES, version="v1.0", lock=LOCK).decode()
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"SHA-256"', '"SHA-257"')) is not None


def test_it_names_every_distribution_of_the_image() -> None:
    components = {one["purl"]: one for one in bill()["components"]}
    installed = {(one.metadata["Name"], one.version) for one in closure(WEBAPP_REQUIREMENTS)}
    assert {(one["name"], one["version"]) for one in components.values()} == installed
    assert "pkg:pypi/opentelemetry-sdk" in {purl.partition("@")[0] for purl in components}
    assert "pkg:pypi/prometheus-client" in {purl.partition("@")[0] for purl in components}, "names as the index writes them"


def test_every_distribution_has_a_licence_and_the_hashes_of_the_lock() -> None:
    locked = locked_hashes(LOCK)
    for one in bill()["components"]:
        licences = [
            entry.get("expression") or entry["license"].get("id") or entry["license"]["name"] for entry in one["licenses"]
        ]
        assert licences, one["name"]
        (reference,) = one["externalReferences"]
        name = one["purl"].removeprefix("pkg:pypi/").partition("@")[0]
        assert {entry["content"] for entry in reference["hashes"]} == set(locked[name, one["version"]]) != set()


def test_it_names_every_file_of_the_app() -> None:
    app = bill()["metadata"]["component"]
    assert (app["name"], app["version"], app["licenses"]) == ("webapp", "v1.0", [{"license": {"id": "Apache-2.0"}}])
    files = {one["name"]: one["hashes"][0]["content"] for one in app["components"]}
    assert files == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def test_every_distribution_is_there_because_something_needs_it() -> None:
    document = bill()
    edges = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    reached: set[str] = set()
    queue = [document["metadata"]["component"]["bom-ref"]]
    while queue:
        reference = queue.pop()
        if reference not in reached:
            reached.add(reference)
            queue += edges[reference]
    libraries = {one["bom-ref"] for one in document["components"]}
    assert reached - {document["metadata"]["component"]["bom-ref"]} == libraries


def test_the_same_contents_give_the_same_bytes_and_others_another_serial_number() -> None:
    # In another process, so that no order of a set or of hashes can be the same by chance.
    argv = [sys.executable, "-m", "harness.images.sbom", "webapp", "v1.0"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True, env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"})
    assert done.stdout == webapp_sbom(webapp_files(ROOT / "webapp"), version="v1.0", lock=LOCK)
    one, other, later = bill(), bill({**FILES, "app/webapp/a.py": b"a = 2\n"}), bill(epoch=1_000_000_000)
    assert len({each["serialNumber"] for each in (one, other, later, bill(version="v1.1"))}) == 4
    assert (one["metadata"]["timestamp"], later["metadata"]["timestamp"]) == (
        "1970-01-01T00:00:00+00:00",
        "2001-09-09T01:46:40+00:00",
    )


def test_hashes_of_another_version_are_not_claimed() -> None:
    version = next(one.version for one in closure(["flask"]) if one.metadata["Name"] == "Flask")
    assert f"flask=={version}" in LOCK
    document = bill(lock=LOCK.replace(f"flask=={version}", "flask==0.1"))
    assert [one["name"] for one in document["components"] if "externalReferences" not in one] == ["Flask"]


def test_the_documents_command_writes_it(tmp_path: Path) -> None:
    (command,) = [block for block in shell_blocks("images.md") if not block.startswith("# needs Docker")]
    (tmp_path / "webapp").symlink_to(ROOT / "webapp")
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    subprocess.run(["bash", "-ec", command], cwd=tmp_path, env={"PATH": path, "PYTHONPATH": str(ROOT)}, check=True)
    written = (tmp_path / "webapp.cdx.json").read_bytes()
    assert written == webapp_sbom(webapp_files(ROOT / "webapp"), version="v1.0", lock=LOCK)


@pytest.mark.parametrize("arguments", [[], ["webapp"], ["webapp", "v1", "more"]])
def test_the_command_says_how_it_is_used(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.images.sbom", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("usage: ")
