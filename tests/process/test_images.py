"""Images through a real registry: what is built is what a node finds, unpacks and runs."""

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from harness.errors import PlatformError, UsageError
from harness.images import ImageConfig, ImageNotFound, ImageStore, InvalidImageName, RegistryUnavailable, process_spec
from harness.images.base import pulled
from harness.images.build import attach, push_image
from harness.images.layers import write_layer
from harness.images.spec import INTERPRETER_LABEL
from harness.supervisor.ports import free_port
from harness.variants import BuiltImage, Faults, Variant, build, image_config

DEADLINE_SECONDS = 20.0
CONFIG = "version: 0.1\nstorage:\n  filesystem: {}\n"
HEALTHY, BAD = Variant(tag="v1.0"), Variant(tag="v1.1", faults=Faults(error_rate=100))


@dataclass(frozen=True, kw_only=True)
class Registry:
    process: subprocess.Popen[bytes]
    host: str
    crane: Path
    cache: Path

    def build(self, variant: Variant) -> BuiltImage:
        return build(variant, registry=self.host, crane=self.crane, cache=self.cache)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(DEADLINE_SECONDS)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} in {DEADLINE_SECONDS:g} s"
        time.sleep(0.01)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=DEADLINE_SECONDS).status_code == 200
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def registry(bin_dir: Path, cache: Path, tmp_path: Path) -> Iterator[Registry]:
    config, port = tmp_path / "registry.yml", free_port()
    config.write_text(CONFIG)
    env = {
        **os.environ,
        "REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}",
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(tmp_path / "blobs"),
        "OTEL_TRACES_EXPORTER": "none",
    }
    argv = [str(bin_dir / "registry"), "serve", str(config)]
    with (
        (tmp_path / "registry.log").open("wb") as log,
        subprocess.Popen(argv, env=env, stdout=log, stderr=log) as process,
    ):
        try:
            wait_for(lambda: answers(f"http://localhost:{port}/v2/"), "registry")
            yield Registry(process=process, host=f"localhost:{port}", crane=bin_dir / "crane", cache=cache)
        finally:
            process.terminate()
            process.wait(DEADLINE_SECONDS)


@pytest.fixture
def store(registry: Registry, tmp_path: Path) -> ImageStore:
    return ImageStore(registry.crane, tmp_path / "store")


def manifest(registry: Registry, tag: str) -> dict[str, Any]:
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    answer = requests.get(f"http://{registry.host}/v2/webapp/manifests/{tag}", headers=accept, timeout=DEADLINE_SECONDS)
    return dict(answer.json())


def test_a_build_is_reproducible_and_variants_share_their_layers(registry: Registry, tmp_path: Path) -> None:
    first, bad = registry.build(HEALTHY), registry.build(BAD)
    elsewhere = build(HEALTHY, registry=registry.host, crane=registry.crane, cache=tmp_path / "another cache")
    assert elsewhere == first
    assert re.fullmatch(rf"{registry.host}/webapp:v1\.0@sha256:[0-9a-f]{{64}}", first.reference)
    assert first.digest != bad.digest
    assert manifest(registry, "v1.0")["layers"] == manifest(registry, "v1.1")["layers"]


def referrers(registry: Registry, digest: str) -> list[dict[str, str]]:
    """What refers to an image: as the registry itself tells, or else by the tag that the specification sets aside."""
    headers = {"Accept": "application/vnd.oci.image.index.v1+json"}
    for path in (f"referrers/{digest}", f"manifests/{digest.replace(':', '-')}"):
        answer = requests.get(f"http://{registry.host}/v2/webapp/{path}", headers=headers, timeout=DEADLINE_SECONDS)
        if answer.status_code == 200:
            return list(answer.json()["manifests"])
    return []


def test_the_bill_of_materials_comes_back_from_the_registry(registry: Registry) -> None:
    image, again, bad = registry.build(HEALTHY), registry.build(HEALTHY), registry.build(BAD)
    assert again == image
    (found,) = referrers(registry, image.digest)  # once, though it was built twice
    assert found["artifactType"] == "application/vnd.cyclonedx+json"
    artifact = manifest(registry, found["digest"])
    assert artifact["subject"]["digest"] == image.digest
    (blob,) = artifact["layers"]
    text = crane_says(registry, "blob", f"{image.repository}@{blob['digest']}")
    assert text == crane_says(registry, "export", f"{image.repository}@{found['digest']}", "-")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    app = json.loads(text)["metadata"]["component"]
    assert (app["name"], app["version"]) == ("webapp", "v1.0")
    with tarfile.open(fileobj=io.BytesIO(crane_bytes(registry, "export", image.reference, "-"))) as archive:
        source = {one.name: archive.extractfile(one) for one in archive if one.isreg() and one.name.startswith("app/webapp/")}
        content = {name: file.read() for name, file in source.items() if file}
    billed = {one["name"]: one["hashes"][0]["content"] for one in app["components"]}
    assert billed == {name: hashlib.sha256(each).hexdigest() for name, each in content.items()}, "what is billed is in the image"
    assert [one["digest"] for one in referrers(registry, bad.digest)] != [found["digest"]]


def test_nothing_is_attached_to_an_image_that_is_not_there(registry: Registry) -> None:
    with pytest.raises(ImageNotFound, match="MANIFEST_UNKNOWN"):
        attach(crane=registry.crane, subject=f"{registry.host}/webapp@sha256:{'0' * 64}", media_type="text/plain", content=b"x")


def crane_bytes(registry: Registry, *args: str) -> bytes:
    return subprocess.run([registry.crane, *args], capture_output=True, check=True, timeout=DEADLINE_SECONDS).stdout


def crane_says(registry: Registry, *args: str) -> str:
    return crane_bytes(registry, *args).decode()


def test_a_tag_and_a_digest_resolve_to_the_same_image(registry: Registry, store: ImageStore) -> None:
    image = registry.build(HEALTHY)
    expected = f"{image.repository}@{image.digest}"
    assert [store.resolve(ref) for ref in (f"{image.repository}:v1.0", image.reference, expected)] == [expected] * 3


def test_what_was_built_is_what_is_unpacked(registry: Registry, store: ImageStore) -> None:
    image, bad = store.unpack(registry.build(HEALTHY).reference), store.unpack(registry.build(BAD).reference)
    revision = image.config.env["APP_REVISION"]
    assert image.config == image_config(HEALTHY, revision=revision)
    assert bad.config == image_config(BAD, revision=revision)
    assert image.root == bad.root, "variants share one unpacked tree"
    source = Path(__file__).resolve().parents[2] / "webapp" / "faults.py"
    assert (image.root / "app/webapp/faults.py").read_bytes() == source.read_bytes()
    assert list((image.root / "app/webapp/__pycache__").glob("faults.*.pyc")), "compiled for the first pod"


def test_an_image_that_is_here_needs_no_registry(registry: Registry, store: ImageStore) -> None:
    image = registry.build(HEALTHY)
    before = store.unpack(image.reference)
    registry.stop()
    assert store.unpack(image.reference) == before
    with pytest.raises(RegistryUnavailable, match="is it running"):
        store.unpack(f"{image.repository}:v1.0")


def test_what_is_not_there_is_said_in_the_registrys_words(registry: Registry, store: ImageStore) -> None:
    image = registry.build(HEALTHY)
    for ref in (f"{image.repository}:v9", f"{registry.host}/nothing:v1", f"{image.repository}@sha256:{'0' * 64}"):
        with pytest.raises(ImageNotFound, match=f"^image {ref} is not in its registry: .*MANIFEST_UNKNOWN"):
            store.unpack(ref)
    with pytest.raises(InvalidImageName):
        store.unpack("webapp:v1.0")


def test_an_image_for_another_python_is_refused(registry: Registry, store: ImageStore, tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "layer.tar", [("app/x.py", b"")])
    config = replace(ImageConfig(cmd=("x",)), labels={INTERPRETER_LABEL: "python2.7"})
    reference = f"{registry.host}/old:v1"
    push_image(crane=registry.crane, reference=reference, layers=[layer], config=config)
    with pytest.raises(PlatformError, match=r"made for python2\.7"):
        store.unpack(reference)


def test_processes_may_unpack_the_same_image_at_once(registry: Registry, tmp_path: Path) -> None:
    image, folder = registry.build(HEALTHY), tmp_path / "store"
    program = (
        "import sys; from pathlib import Path; from harness.images import ImageStore\n"
        "print(ImageStore(Path(sys.argv[1]), Path(sys.argv[2])).unpack(sys.argv[3]).root)"
    )
    argv = [sys.executable, "-c", program, str(registry.crane), str(folder), image.reference]
    root = Path(__file__).resolve().parents[2]
    processes = [subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    roots = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert [str(path) for path in (folder / "rootfs").iterdir()] == list(roots), "one tree, and nothing half done"


@pytest.mark.parametrize(("variant", "code"), [(HEALTHY, 200), (BAD, 500)])
def test_an_unpacked_image_serves_with_its_own_packages(
    registry: Registry, store: ImageStore, variant: Variant, code: int
) -> None:
    image = store.unpack(registry.build(variant).reference)
    port = free_port()
    argv, env, cwd = process_spec(image.config, image.root, None, None, {"BIND_ADDRESS": "127.0.0.1", "PORT": str(port)})
    with subprocess.Popen(argv, env=env, cwd=cwd) as process:
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "readiness")
            answer = requests.get(f"http://127.0.0.1:{port}/", timeout=DEADLINE_SECONDS)
            assert (answer.status_code, answer.headers["X-App-Version"]) == (code, variant.tag)
            loaded = Path(f"/proc/{process.pid}/maps").read_text()
            assert str(image.root / "app/site-packages") in loaded, "an extension module of the image is in memory"
        finally:
            process.terminate()
            process.wait(DEADLINE_SECONDS)


def test_a_layer_that_the_registry_lost_is_named_as_the_cause(registry: Registry, store: ImageStore, tmp_path: Path) -> None:
    image = registry.build(HEALTHY)
    for layer in manifest(registry, "v1.0")["layers"]:
        digest = layer["digest"].removeprefix("sha256:")
        (tmp_path / "blobs/docker/registry/v2/blobs/sha256" / digest[:2] / digest / "data").unlink()
    with pytest.raises(ImageNotFound, match="BLOB_UNKNOWN"):
        store.unpack(image.reference)
    assert not list((tmp_path / "store/rootfs").iterdir()), "nothing half done is left"


def test_a_working_folder_outside_the_image_is_refused(registry: Registry, store: ImageStore, tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "layer.tar", [("app/x.py", b"")])
    reference = f"{registry.host}/outside:v1"
    push_image(crane=registry.crane, reference=reference, layers=[layer], config=ImageConfig(working_dir="/../../outside"))
    with pytest.raises(PlatformError, match="leads out of it"):
        store.unpack(reference)
    assert not (tmp_path / "store" / "outside").exists()


def base_image(registry: Registry, folder: Path, *, python: str) -> str:
    """What stands for an image of Python's own, in Docker's format and not OCI's, as many are."""
    layer = write_layer(folder / "base.tar", [("usr/local/bin/python3", b"#!/bin/true\n"), ("app/webapp/app.py", b"hidden")])
    reference = f"{registry.host}/python:{python}"
    crane_says(registry, "append", "--new_layer", str(layer.path), "--new_tag", reference)
    crane_says(registry, "mutate", "--env", f"PYTHON_VERSION={python}", "--env", "LANG=C.UTF-8", "--tag", reference, reference)
    return reference


def test_an_image_on_a_base_is_the_base_with_ours_on_top(registry: Registry, store: ImageStore, tmp_path: Path) -> None:
    reference = base_image(registry, tmp_path, python="{}.{}.4".format(*sys.version_info))
    assert "docker" in json.loads(crane_says(registry, "manifest", reference))["layers"][0]["mediaType"]
    base = pulled(reference, crane=registry.crane, cache=registry.cache)
    image = build(HEALTHY, registry=registry.host, crane=registry.crane, cache=registry.cache, base=base)
    told = manifest(registry, "v1.0")
    assert [each["mediaType"].partition(".layer.")[0] for each in told["layers"]] == 3 * ["application/vnd.oci.image"]
    document = json.loads(crane_says(registry, "config", image.reference))
    assert len(document["rootfs"]["diff_ids"]) == len([each for each in document["history"] if not each.get("empty_layer")]) == 3
    assert {"LANG=C.UTF-8", "APP_VERSION=v1.0"} <= set(document["config"]["Env"])
    assert document["config"]["Labels"]["org.opencontainers.image.base.digest"] == base.digest
    root = store.unpack(image.reference).root
    assert (root / "usr/local/bin/python3").is_file()
    assert "create_app" in (root / "app/webapp/app.py").read_text(), "ours lies above"
    # (crane's own check of layers knows compressed ones only.)
    layers = [crane_bytes(registry, "blob", f"{image.repository}@{each['digest']}") for each in told["layers"]]
    plain = [gzip.decompress(each) if each.startswith(b"\x1f\x8b") else each for each in layers]
    assert document["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in plain]
    crane_says(registry, "validate", "--fast", "--remote", image.reference)
    again = build(HEALTHY, registry=registry.host, crane=registry.crane, cache=registry.cache, base=base)
    assert again == image


def test_a_base_is_pulled_once(registry: Registry, tmp_path: Path) -> None:
    reference = base_image(registry, tmp_path, python="{}.{}.5".format(*sys.version_info))
    first = pulled(reference, crane=registry.crane, cache=tmp_path)
    times = [path.stat().st_mtime_ns for path in first.layer_files()]
    assert pulled(reference, crane=registry.crane, cache=tmp_path) == first
    assert [path.stat().st_mtime_ns for path in first.layer_files()] == times


def test_a_base_with_another_python_or_none_at_all_is_refused(registry: Registry, tmp_path: Path) -> None:
    reference = base_image(registry, tmp_path, python="3.2.1")
    with pytest.raises(UsageError, match=r"has Python 3\.2\.1, and the web app's packages here are for"):
        pulled(reference, crane=registry.crane, cache=tmp_path)
    with pytest.raises(ImageNotFound):
        pulled(f"{registry.host}/nothing:v1", crane=registry.crane, cache=tmp_path)
