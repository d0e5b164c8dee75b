"""Both images, built and run by a real Docker engine, and held against the daemonless builder's.

Skipped where no engine answers, unless GATEPROOF_DOCKER_TEST=1 asks for one of the test's own.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests
from docker_support import ROOT, CannotTest, Docker, base_image, engine, pip_index
from docs_support import shell_blocks
from scipy.stats import binom

from harness.images import ImageConfig, process_spec
from harness.images.spec import INTERPRETER_LABEL, node_interpreter
from harness.images.store import extract
from harness.supervisor.ports import free_port
from harness.variants import Faults, Variant, image_config, webapp_layers

pytestmark = pytest.mark.timeout(900)  # with a base made by debootstrap on a busy machine
REQUESTS = 2000
GRACE_SECONDS = 25
DEADLINE_SECONDS = 30.0
HEALTHY, BAD = Variant(tag="v1.0"), Variant(tag="v1.1", faults=Faults(error_rate=5, seed=7))


@dataclass(frozen=True, kw_only=True)
class Built:
    docker: Docker
    healthy: str
    again: str
    bad: str


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    try:
        with engine() as docker:
            docker.base = base_image(docker)
            yield docker
            docker.clear()
    except CannotTest as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def built(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """v1.0 twice, from two folders whose files have other times and rights, and v1.1."""
    private = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "webapp", private / "webapp")
    (private / "webapp" / "tests").mkdir()  # what is no program has no business in the image
    (private / "webapp" / "notes.txt").write_text("no")
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copy(ROOT / name, private)
    for path in private.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1_500_000_000, 1_500_000_000))
    argument = {"VERSION": HEALTHY.tag, "REVISION": "r"}
    names = [f"gateproof-test-webapp:{name}" for name in ("v1.0", "again", "v1.1")]
    docker.build(names[0], ROOT, **argument)
    docker.build(names[1], private, cache=False, **argument)
    docker.build(names[2], ROOT, VERSION=BAD.tag, REVISION="r", **BAD.faults.env())
    return Built(docker=docker, healthy=names[0], again=names[1], bad=names[2])


def test_two_builds_give_the_same_layers(built: Built) -> None:
    one, two = (built.docker.inspect(image) for image in (built.healthy, built.again))
    assert one["RootFS"] == two["RootFS"]
    # "Image" is the step before, as the classic builder counts them: an image with a time, and so another one each time.
    assert one["Config"] | {"Image": ""} == two["Config"] | {"Image": ""}
    if one["Created"].startswith("1970-01-01T00:00:00"):  # a builder that sets the image's own time, too
        assert one["Id"] == two["Id"]


def test_variants_share_every_layer(built: Built) -> None:
    assert built.docker.inspect(built.healthy)["RootFS"] == built.docker.inspect(built.bad)["RootFS"]


@pytest.mark.parametrize("variant", [HEALTHY, BAD], ids=lambda variant: variant.tag)
def test_the_configuration_is_the_daemonless_builders(built: Built, variant: Variant) -> None:
    base = built.docker.inspect(built.docker.base)["Config"]
    found = built.docker.inspect(built.healthy if variant is HEALTHY else built.bad)["Config"]
    inherited = dict(pair.split("=", 1) for pair in base["Env"] or ())
    ours = image_config(variant, revision="r")
    env = {name: value for name, value in ours.env.items() if name != "PATH"}
    labels = {name: value for name, value in ours.labels.items() if name != INTERPRETER_LABEL}
    labels |= {**(base["Labels"] or {}), "org.opencontainers.image.base.name": built.docker.base}
    built_env = dict(pair.split("=", 1) for pair in found["Env"])
    assert ImageConfig(
        entrypoint=tuple(found["Entrypoint"]),
        cmd=tuple(found["Cmd"] or ()),
        env={name: value for name, value in built_env.items() if inherited.get(name) != value and name != "PATH"},
        working_dir=found["WorkingDir"],
        user=found["User"],
        exposed_ports=tuple(found["ExposedPorts"]),
        labels=found["Labels"],
    ) == replace(ours, env=env, labels=labels)
    assert not found.get("Healthcheck")
    assert found.get("StopSignal") in {None, "", "SIGTERM"}


def test_the_files_are_the_daemonless_builders(built: Built, tmp_path: Path) -> None:
    layers = built.docker.layers(built.healthy)
    version = built.docker("run", "--rm", "--network=none", "--entrypoint=python3", built.healthy, "-c", PRINT_VERSION).strip()
    assert len(layers) == 2
    for layer, ours in zip(layers, webapp_layers(tmp_path), strict=True):
        members, expected = read(io.BytesIO(layer)), read(io.BytesIO(ours.path.read_bytes()))
        assert {(one.uid, one.gid, one.mtime) for one, _ in members.values()} == {(0, 0, 0)}
        assert {one.mode & 0o7777 for one, _ in members.values() if one.isdir()} == {0o755}
        assert {one.mode & 0o7777 for one, _ in members.values() if not one.isdir()} == {0o644}
        assert all(one.isdir() or one.isreg() for one, _ in members.values())
        sources = {name for name, (one, _) in members.items() if name.endswith(".py")}
        compiled = {name for name in members if name.endswith(".pyc")}
        assert {name.replace("/__pycache__/", "/").partition(".cpython-")[0] + ".py" for name in compiled} == sources
        plain = {name: content for name, (one, content) in members.items() if one.isreg() and name not in compiled}
        if version == node_interpreter():  # for another Python, other distributions and extensions are the right ones
            assert plain.keys() == {name for name, (one, _) in expected.items() if one.isreg()}
            assert plain == {name: content for name, (one, content) in expected.items() if one.isreg()}
        assert not [name for name in members if {"tests", "pip", "setuptools", "bin"} & set(Path(name).parts)]


PRINT_VERSION = "import sys; print('python%d.%d' % sys.version_info[:2])"


def read(stream: io.BytesIO) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=stream) as archive:
        return {one.name: (one, (archive.extractfile(one) or io.BytesIO()).read() if one.isreg() else b"") for one in archive}


def test_the_healthy_one_serves_as_nobody_from_a_read_only_root(built: Built) -> None:
    with container(built.docker, built.healthy) as (name, url):
        assert requests.get(f"{url}/healthz", timeout=DEADLINE_SECONDS).status_code == 200
        answers = statuses(url, 200, version="v1.0")
        assert set(answers) == {200}
        program = (
            "import os, pathlib\n"
            "for path in ('/app/x', '/x', '/etc/x', '/var/x'):\n"
            "    try: pathlib.Path(path).write_text('x')\n"
            "    except OSError: continue\n"
            "    print('written', path)\n"
            "status = pathlib.Path('/proc/1/status').read_text()\n"
            "print(os.getuid(), os.getgid(), *(l.split()[1] for l in status.splitlines() if l.startswith(('Uid', 'CapEff'))))"
        )
        assert built.docker("exec", name, "python3", "-c", program).split() == ["65532", "65532", "65532", "0" * 16]
        assert ended(built.docker, name) == 0


def test_the_bad_one_fails_exactly_as_the_daemonless_image_does(built: Built, tmp_path: Path) -> None:
    with container(built.docker, built.bad) as (name, url):
        found = statuses(url, REQUESTS, version="v1.1")
        assert requests.get(f"{url}/healthz", timeout=DEADLINE_SECONDS).status_code == 200
        assert ended(built.docker, name) == 0
    assert set(found) == {200, 500}
    low, high = binom.interval(0.999, REQUESTS, 0.05)
    assert low <= found.count(500) <= high
    with daemonless(BAD, tmp_path) as url:
        assert statuses(url, REQUESTS, version="v1.1") == found, "one seed, one sequence of faults"


def test_a_bad_value_stops_the_start_with_one_line(built: Built) -> None:
    argv = ["docker", "run", "--rm", "--network=none", "--env", "FAULT_ERROR_RATE=101", built.healthy]
    done = subprocess.run(
        argv,
        env=built.docker.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("webapp: cannot start: FAULT_ERROR_RATE='101'")
    assert done.stderr.count("\n") == 1


@contextmanager
def container(docker: Docker, image: str) -> Iterator[tuple[str, str]]:
    """A running container without any rights, as (name, address); it can be reached on the loopback interface only."""
    name, port = f"gateproof-test-{os.getpid()}-{free_port()}", free_port()
    network = (
        ("--publish", f"127.0.0.1:{port}:8080")
        if docker.can_publish()
        else ("--network=host", "--env", "BIND_ADDRESS=127.0.0.1", "--env", f"PORT={port}")
    )
    docker(
        "run", "--detach", "--name", name, "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--tmpfs", "/tmp", "--user", "65532:65532", *network, image,
    )  # fmt: skip
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz"), lambda: docker("logs", name))
        yield name, f"http://127.0.0.1:{port}"
    finally:
        docker("rm", "--force", name)


def ended(docker: Docker, name: str) -> int:
    """Ask the container to end; its exit code. Fails when it does not end within the grace time."""
    docker("kill", "--signal", "TERM", name)
    return int(docker("wait", name, seconds=GRACE_SECONDS))


@contextmanager
def daemonless(variant: Variant, folder: Path) -> Iterator[str]:
    """The daemonless builder's image, unpacked and run as the local platform's node does it."""
    root, port = folder / "root", free_port()
    root.mkdir()
    for layer in webapp_layers(folder):
        with layer.path.open("rb") as stream:
            extract(stream, root)
    own = {"BIND_ADDRESS": "127.0.0.1", "PORT": str(port)}
    argv, env, cwd = process_spec(image_config(variant, revision="r"), root, None, None, own)
    with subprocess.Popen(argv, env=env, cwd=cwd, stdout=sys.stderr) as process:
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz"), lambda: f"exit code {process.poll()}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(GRACE_SECONDS)


def statuses(url: str, count: int, *, version: str) -> list[int]:
    """The status codes of `count` requests, one after the other, each of which must name the version."""
    with requests.Session() as session:
        session.trust_env = False
        found = [session.get(url, timeout=DEADLINE_SECONDS) for _ in range(count)]
    assert {answer.headers["X-App-Version"] for answer in found} == {version}
    return [answer.status_code for answer in found]


def wait_for(condition: Callable[[], bool], evidence: Callable[[], str]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, evidence()
        time.sleep(0.02)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=DEADLINE_SECONDS).status_code == 200
    except requests.ConnectionError:
        return False


def test_the_documents_commands_work(docker: Docker) -> None:
    blocks = [block for block in shell_blocks("images.md") if block.startswith("# needs Docker")]
    assert len(blocks) == 2
    if not docker.can_publish():
        blocks = [block for block in blocks if "bridge network" not in block.splitlines()[0]]
    # As they stand, but for this machine's base and network, and without taking a name that may be the user's.
    given = " ".join(f"--build-arg {name}={value}" for name, value in {"PYTHON_IMAGE": docker.base, **pip_index()}.items())
    prelude = (
        'docker() { local args=("${@//webapp:v/gateproof-test-docs:v}")\n'
        f'if [[ $1 == build ]]; then command docker build --network=host {given} "${{args[@]:1}}"\n'
        'else command docker "${args[@]}"; fi; }\nset -eu\n'
    )
    try:
        for block in blocks:
            done = subprocess.run(
                ["bash", "-c", prelude + block],
                cwd=ROOT,
                env=docker.env,
                capture_output=True,
                text=True,
                check=False,
                timeout=280,
            )
            assert done.returncode == 0, done.stderr
            docker.built(done.stdout)
            if "docker run" in block:
                assert '"version":"v1.1"' in done.stdout
    finally:
        docker.tags += ["gateproof-test-docs:v1.0", "gateproof-test-docs:v1.1"]
