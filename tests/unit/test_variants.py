import io
import json
import re
import subprocess
import sys
import tarfile
from dataclasses import fields, replace
from pathlib import Path

import dockerfile_support
import pytest

from harness.errors import PlatformError
from harness.images.build import config_document
from harness.images.crane import InvalidImageName, split_reference
from harness.images.layers import WEBAPP_REQUIREMENTS, Layer, closure, dependencies_layer, webapp_layer, write_layer
from harness.images.lock import webapp_lock
from harness.images.spec import INTERPRETER_LABEL, ImageConfig, NoCommand, parse_config, process_spec
from harness.images.store import extract
from harness.variants import Faults, Variant, image_config, webapp_layers
from webapp.fault_schema import PLAN_KEYS, variable
from webapp.settings import from_environ

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (REPOSITORY_ROOT / "Dockerfile").read_text()
HEALTHY, BAD = Variant(tag="v1.0"), Variant(tag="v1.1", faults=Faults(error_rate=5, latency_ms=12.5, seed=7))


# --- variants ---


def test_variants_differ_in_version_and_faults_only() -> None:
    good, bad = image_config(HEALTHY, revision="r"), image_config(BAD, revision="r")
    assert set(bad.env.items()) - set(good.env.items()) == {
        ("APP_VERSION", "v1.1"),
        ("FAULT_ERROR_RATE", "5"),
        ("FAULT_LATENCY_MS", "12.5"),
        ("FAULT_SEED", "7"),
    }
    assert dict(bad.labels) | {"org.opencontainers.image.version": "v1.0"} == good.labels
    for name in ("entrypoint", "cmd", "working_dir", "user", "exposed_ports"):
        assert getattr(good, name) == getattr(bad, name)


def test_each_fault_is_one_variable() -> None:
    faults = Faults(
        latency_p50_ms=1, latency_p90_ms=2.5, latency_p99_ms=1e3, hang_rate=0.1, crash_after_requests=40,
        routes=("/", "/status/{code}"), header="X-Tester: yes", rules='[{"error_rate":5}]',
    )  # fmt: skip
    assert faults.env() == {
        "FAULT_LATENCY_P50_MS": "1",
        "FAULT_LATENCY_P90_MS": "2.5",
        "FAULT_LATENCY_P99_MS": "1000",
        "FAULT_HANG_RATE": "0.1",
        "FAULT_CRASH_AFTER_REQUESTS": "40",
        "FAULT_ROUTES": "/,/status/{code}",
        "FAULT_HEADER": "X-Tester: yes",
        "FAULT_RULES": '[{"error_rate":5}]',
    }
    assert Faults().env() == {}


@pytest.mark.parametrize("rate", [0, 0.1, 1 / 3, 5, 99.999, 100])
def test_the_web_app_reads_back_the_rate_that_the_variant_asked_for(rate: float) -> None:
    config = image_config(Variant(tag="v2", faults=Faults(error_rate=rate, status_code=503, seed=0)), revision="r")
    settings = from_environ(config.env)
    assert (settings.faults.error_rate, settings.faults.status_code, settings.faults.seed) == (rate, 503, 0)
    assert (settings.version, settings.revision) == ("v2", "r")


def test_the_configuration_survives_the_image() -> None:
    config = image_config(BAD, revision="r")
    assert parse_config(json.dumps(config_document(config, []))) == config


EVERYTHING = Faults(
    error_rate=0.1, status_code=503, latency_ms=12.5, latency_jitter_ms=2, latency_p50_ms=1, latency_p90_ms=2, latency_p99_ms=3,
    hang_rate=1, reset_rate=2, slow_start_seconds=3, crash_after_requests=4, crash_after_seconds=5, memory_kib_per_request=6,
    memory_cap_mib=7, readiness_flap_seconds=8, clock_behind_seconds=9, routes=("/", "/status/{code}"), header="X-Tester: yes",
    rules='[{"header": "X-Who: $HOME it\'s \\"me\\"", "error_rate": 5}]', seed=0,
)  # fmt: skip


@pytest.mark.parametrize("variant", [HEALTHY, BAD, Variant(tag="v2", faults=EVERYTHING)], ids=["healthy", "bad", "everything"])
def test_the_dockerfile_says_the_same(variant: Variant) -> None:
    faults = variant.faults.env()
    built = dockerfile_support.image_config(DOCKERFILE, VERSION=variant.tag, REVISION="r", PYTHON_IMAGE="base:1", **faults)
    ours = image_config(variant, revision="r")
    # The base brings PATH and is named; an image without a base names the interpreter that it needs instead.
    env, labels = dict(ours.env), dict(ours.labels)
    del env["PATH"], labels[INTERPRETER_LABEL]
    labels["org.opencontainers.image.base.name"] = "base:1"
    assert built == replace(ours, env=env, labels=labels)
    assert list(built.env) == list(env), "in another order, it would have another digest"


def test_the_dockerfile_does_nothing_that_the_configuration_does_not_show() -> None:
    stage = dockerfile_support.last_stage(DOCKERFILE)
    # In particular no RUN (its files would have the time of the build) and neither HEALTHCHECK nor STOPSIGNAL (docs/images.md).
    assert {name for name, _ in stage} == {"FROM", "COPY", "WORKDIR", "USER", "EXPOSE", "ENV", "ENTRYPOINT", "ARG", "LABEL"}
    assert [rest for name, rest in stage if name == "COPY"] == ["--from=build /dependencies /", "--from=build /source /"]


def test_every_fault_can_be_baked_in() -> None:
    assert all(getattr(EVERYTHING, each.name) != each.default for each in fields(Faults)), "set them all to compare them all"
    declared = {rest.partition("=")[0] for name, rest in dockerfile_support.last_stage(DOCKERFILE) if name == "ARG"}
    assert declared == {"PYTHON_IMAGE", "VERSION", "REVISION", *EVERYTHING.env()}
    # The web app itself says what it reads. Whether faults may be changed (FAULT_ADMIN) is for the one who runs it to say.
    assert {variable(key) for key in PLAN_KEYS} == set(EVERYTHING.env())


def test_the_web_app_is_made_of_what_the_images_take() -> None:
    found = {
        path.name for path in (REPOSITORY_ROOT / "webapp").rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert found == {"requirements.lock"}, "neither builder would put it into the image"


def test_the_web_apps_lock_is_its_part_of_the_repositorys() -> None:
    lock = (REPOSITORY_ROOT / "webapp" / "requirements.lock").read_text()
    assert lock == webapp_lock((REPOSITORY_ROOT / "requirements.lock").read_text()), "run python -m harness.images.lock"
    names = {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower() for one in closure(WEBAPP_REQUIREMENTS)}
    assert set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)) == names
    assert lock.count("--hash=sha256:") >= len(names)


# --- layers ---


def source(folder: Path) -> Path:
    (folder / "inner" / "__pycache__").mkdir(parents=True)
    (folder / "b.py").write_text("b = 1\n")
    (folder / "inner" / "a.py").write_text("a = 1\n")
    (folder / "inner" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (folder / "notes.txt").write_text("no")
    return folder


def test_the_same_source_gives_the_same_layer_anywhere(tmp_path: Path) -> None:
    one = webapp_layer(tmp_path / "c1", source(tmp_path / "one"))
    two = webapp_layer(tmp_path / "c2", source(tmp_path / "two"))
    assert one.digest == two.digest
    with tarfile.open(one.path) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == [
        "app",
        "app/webapp",
        "app/webapp/b.py",
        "app/webapp/inner",
        "app/webapp/inner/a.py",
    ]
    assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in members} == {(0, 0, 0, "", "")}
    (tmp_path / "two" / "b.py").write_text("b = 2\n")
    assert webapp_layer(tmp_path / "c2", tmp_path / "two").digest != one.digest


def test_the_epoch_is_the_time_of_every_file(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "x.tar", [("app/f", b"1")], epoch=1_000_000_000)
    with tarfile.open(layer.path) as archive:
        assert {member.mtime for member in archive} == {1_000_000_000}


def test_the_dependencies_are_reproducible_complete_and_clean(tmp_path: Path) -> None:
    layer = dependencies_layer(tmp_path / "one")
    assert dependencies_layer(tmp_path / "two").digest == layer.digest
    with tarfile.open(layer.path) as archive:
        names = archive.getnames()
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", "/RECORD")) or ".." in name]
    with layer.path.open("rb") as stream:
        (tmp_path / "root").mkdir()
        extract(stream, tmp_path / "root")
    # Neither this environment's packages nor anything else: only the layer, the source, and Python itself.
    program = (
        f"import sys; sys.path[:0] = [{str(tmp_path / 'root/app/site-packages')!r}, {str(REPOSITORY_ROOT)!r}]\n"
        "import webapp.app, gunicorn.app.wsgiapp, gunicorn.workers.gthread\n"
        "import opentelemetry.exporter.otlp.proto.http.trace_exporter\n"
        "webapp.app.create_app({}); print(sys.modules['flask'].__file__)"
    )
    done = subprocess.run([sys.executable, "-B", "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "root"))


def test_variants_share_their_layers(tmp_path: Path) -> None:
    first = webapp_layers(tmp_path)
    written = {layer.path: layer.path.stat().st_ino for layer in first}
    assert webapp_layers(tmp_path) == first
    assert {layer.path: layer.path.stat().st_ino for layer in first} == written, "a cached layer was written again"
    documents = [config_document(image_config(one, revision="r"), first) for one in (HEALTHY, BAD)]
    assert documents[0]["rootfs"] == documents[1]["rootfs"]


def test_a_missing_distribution_is_named() -> None:
    with pytest.raises(PlatformError, match="gateproof-has-no-such-thing"):
        closure(["gateproof-has-no-such-thing"])


# --- references ---


@pytest.mark.parametrize(
    "reference",
    [
        "webapp",
        "webapp:v1",
        "library/webapp:v1",
        "localhost:5001/Webapp",
        "localhost:5001/",
        "",
        "a b",
        "localhost:5001/w@sha256:12",
        "http://localhost/w",
    ],
)
def test_bad_references(reference: str) -> None:
    with pytest.raises(InvalidImageName, match=re.escape(repr(reference))):
        split_reference(reference)


def test_references_split() -> None:
    digest = "sha256:" + "a" * 64
    assert split_reference(f"localhost:5001/webapp:v1.1@{digest}") == ("localhost:5001/webapp", "v1.1", digest)
    assert split_reference("127.0.0.1:5001/team/web-app") == ("127.0.0.1:5001/team/web-app", "", "")


# --- from image to process ---

IMAGE = ImageConfig(
    entrypoint=("/app/bin/serve", "--port"),
    cmd=("80",),
    env={"PATH": "/app/bin:/usr/bin", "LIB": "/app/lib:/elsewhere", "MODE": "image", "URL": "http://app/lib"},
    working_dir="/app",
)
ROOT = Path("/store/abc")
THERE = {ROOT / "app", ROOT / "app/bin", ROOT / "app/lib", ROOT / "app/bin/serve"}
NODE = Path("/opt/node/bin")


def spec(
    command: list[str] | None = None, args: list[str] | None = None, image: ImageConfig = IMAGE, **env: str
) -> tuple[list[str], dict[str, str], Path]:
    return process_spec(image, ROOT, command, args, env, interpreter_dir=NODE, exists=THERE.__contains__)


@pytest.mark.parametrize(
    ("command", "args", "argv"),
    [
        (None, None, ["/store/abc/app/bin/serve", "--port", "80"]),
        (None, ["90"], ["/store/abc/app/bin/serve", "--port", "90"]),
        (["sh", "-c"], None, ["sh", "-c"]),
        (["sh", "-c"], ["ls /app"], ["sh", "-c", "ls /app"]),
        ([], [], ["/store/abc/app/bin/serve", "--port", "80"]),
        (["cat", "/app/lib", "/etc/passwd"], None, ["cat", "/store/abc/app/lib", "/etc/passwd"]),
        (["echo", "$(MODE)", "$$(MODE)", "$(NONE)", "$5"], None, ["echo", "pod", "$(MODE)", "$(NONE)", "$5"]),
    ],
)
def test_command_and_args(command: list[str] | None, args: list[str] | None, argv: list[str]) -> None:
    assert spec(command, args, MODE="pod")[0] == argv


def test_the_pods_variables_win_and_are_left_alone() -> None:
    _, env, cwd = spec(MODE="pod", DATA="/app/lib")
    assert env == {
        "PATH": "/store/abc/app/bin:/opt/node/bin:/usr/bin",
        "LIB": "/store/abc/app/lib:/elsewhere",
        "MODE": "pod",
        "URL": "http://app/lib",
        "DATA": "/app/lib",
        "HOME": "/",
    }
    assert cwd == ROOT / "app"


def test_an_image_without_a_path_still_finds_python() -> None:
    assert spec(["x"], image=ImageConfig())[1]["PATH"] == str(NODE)
    assert spec(["x"], image=ImageConfig())[2] == ROOT


def test_nothing_to_run_is_an_error() -> None:
    with pytest.raises(NoCommand):
        spec(image=ImageConfig(cmd=()))


# --- unpacking what others made ---


def tar(*members: tuple[str, bytes, str]) -> io.BytesIO:
    """Members as (name, type, link name or content)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size, member.mode = len(text), 0o4755
            else:
                member.linkname = text
            archive.addfile(member, io.BytesIO(text.encode()))
    stream.seek(0)
    return stream


@pytest.mark.parametrize(
    "members",
    [
        [("../evil", tarfile.REGTYPE, "x")],
        [("a/../../evil", tarfile.REGTYPE, "x")],
        [("link", tarfile.SYMTYPE, "../.."), ("link/evil", tarfile.REGTYPE, "x")],
        [("link", tarfile.SYMTYPE, "/../../..")],
        [("link", tarfile.SYMTYPE, "a"), ("a", tarfile.SYMTYPE, "../..")],
        [("hard", tarfile.LNKTYPE, "../../secret")],
    ],
)
def test_nothing_gets_out_of_the_root(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    root = tmp_path / "a" / "root"
    root.mkdir(parents=True)
    (tmp_path / "secret").write_text("s")
    with pytest.raises(PlatformError, match="leads out of it"):
        extract(tar(*members), root)
    assert sorted(path.name for path in tmp_path.rglob("*") if not path.is_relative_to(root)) == ["a", "secret"]


def test_ordinary_things_are_unpacked(tmp_path: Path) -> None:
    members = [
        ("./bin/tool", tarfile.REGTYPE, "x"),
        ("/etc/alias", tarfile.SYMTYPE, "/bin/tool"),
        ("hard", tarfile.LNKTYPE, "./bin/tool"),
        ("dev/null", tarfile.CHRTYPE, ""),
        ("twice", tarfile.REGTYPE, "1"),
        ("twice", tarfile.REGTYPE, "2"),
    ]
    extract(tar(*members), tmp_path)
    assert (tmp_path / "bin/tool").stat().st_mode & 0o7777 == 0o755
    assert [(tmp_path / name).read_text() for name in ("etc/alias", "hard", "twice")] == ["x", "x", "2"]
    assert not (tmp_path / "dev/null").exists()


def test_a_damaged_archive_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="damaged"):
        extract(io.BytesIO(b"not a tar file" * 100), tmp_path)


def test_a_layer_knows_its_digest_and_size(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "x.tar", [("f", b"1")])
    assert layer == Layer(path=tmp_path / "x.tar", digest=layer.digest, size=layer.path.stat().st_size)
    assert re.fullmatch("sha256:[0-9a-f]{64}", layer.digest)
