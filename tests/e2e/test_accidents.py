"""What goes wrong around a run: one clear line, the right exit code, and nothing left running."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest
from e2e_support import Place, canary_answers, new_place, ours, run, start, wait_until

from harness.supervisor.spawn import adopt_orphans

SHORT = ("--window", "30", "--rps", "50", "--output", "json")


def state(place: Place) -> dict[str, object]:
    """What the platform's owner last said."""
    try:
        found: dict[str, object] = json.loads((place.run_dir / "state.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found


def component(place: Place, name: str) -> int | None:
    """The process id of a component that is ready."""
    listed = state(place).get("components", [])
    assert isinstance(listed, list)
    return next((each["pid"] for each in listed if each["name"] == name and each["state"] == "ready"), None)


def test_prometheus_killed_during_the_analysis_is_inconclusive(place: Place) -> None:
    process = start("failure", "--error-rate", "5", *SHORT, place=place)
    wait_until(lambda: canary_answers(place), what="traffic on the canary", timeout=120)
    pid = component(place, "prometheus")
    assert pid
    os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "prometheus" in err.splitlines()[-1]
    assert "rolled back" not in err
    assert ours(place) == []


def test_a_component_that_dies_in_the_middle_is_the_platforms_failure(place: Place) -> None:
    process = start("success", *SHORT, place=place)
    wait_until(lambda: canary_answers(place), what="traffic on the canary", timeout=120)
    pid = component(place, "istiod")
    assert pid
    os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert "istiod" in err.splitlines()[-1]
    assert "SIGKILL" in err.splitlines()[-1]
    assert ours(place) == []


@pytest.mark.parametrize("when", ["starting", "ready", "analysing"])
def test_ctrl_c_at_any_moment_leaves_nothing_running(place: Place, when: str) -> None:
    process = start("success", *SHORT, place=place)
    moments = {
        "starting": lambda: component(place, "etcd"),
        "ready": lambda: state(place).get("phase") == "ready",
        "analysing": lambda: canary_answers(place),
    }
    wait_until(moments[when], what=when, timeout=120)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert [line for line in err.splitlines() if line.startswith("error:")] == [
        "error: interrupted by SIGINT: stopping everything that was started"
    ]
    assert "Traceback" not in err
    assert ours(place) == []


def test_a_killed_harness_takes_everything_along(place: Place) -> None:
    process = start("success", *SHORT, place=place)
    wait_until(lambda: canary_answers(place), what="traffic on the canary", timeout=120)
    process.kill()
    process.communicate()
    wait_until(lambda: ours(place) == [], what="everything gone", timeout=60)


def test_a_killed_platform_owner_takes_everything_along(place: Place) -> None:
    assert run("up", place=place).code == 0
    owner = state(place)["pid"]
    assert isinstance(owner, int)
    os.kill(owner, signal.SIGKILL)
    wait_until(lambda: ours(place) == [], what="everything gone", timeout=30)
    status = run("status", place=place)
    assert status.code == 4
    assert "no platform is up" in status.out


def test_two_runs_in_one_folder_and_a_taken_port(place: Place, tmp_path: Path) -> None:
    first = start("success", *SHORT, place=place)
    wait_until(lambda: component(place, "etcd"), what="the first run", timeout=60)
    second = run("success", *SHORT, place=place)
    assert second.code == 2
    assert "--run-dir" in second.error
    other = Place(run_dir=tmp_path / "other", gateway_port=new_place(tmp_path).gateway_port, registry_port=place.registry_port)
    third = run("up", place=other)
    assert third.code == 4
    assert f"127.0.0.1:{place.registry_port}" in third.error
    assert "is taken by" in third.error
    assert ours(other) == []
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert first.returncode == 130


def test_folders_that_cannot_be_used(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file" / "run", Path("/proc/run")):
        ended = run("up", place=Place(run_dir=bad, gateway_port=place.gateway_port, registry_port=place.registry_port))
        assert ended.code == 2
        assert "--run-dir" in ended.error


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
@pytest.mark.parametrize(("options", "code", "words"), [("size=64m", 4, "make room"), ("size=1g,ro", 2, "Read-only")])
def test_a_full_and_a_read_only_disk(place: Place, tmp_path: Path, options: str, code: int, words: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)
    try:
        at = Place(run_dir=disk / "run", gateway_port=place.gateway_port, registry_port=place.registry_port)
        for command in ("up", "success"):
            ended = run(command, place=at)
            assert ended.code == code
            assert words in ended.error
            assert "--run-dir" in ended.error
        assert ours(at) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_nothing_listens_beyond_loopback_and_other_users_are_shut_out(platform: Place) -> None:
    owner = state(platform)["pid"]
    assert isinstance(owner, int)
    family = {owner, *(child.pid for child in psutil.Process(owner).children(recursive=True))}
    listening = [c for c in psutil.net_connections("tcp") if c.pid in family and c.status == psutil.CONN_LISTEN]
    assert len(listening) > 8
    assert {c.laddr.ip.split(".")[0] for c in listening} == {"127"}
    for path in (platform.run_dir, *platform.run_dir.glob("pki/*")):
        assert path.stat().st_mode & 0o077 == 0, path
    with socket.socket() as plain:  # etcd speaks to nobody without the API server's certificate
        ports = state(platform)["ports"]
        assert isinstance(ports, dict)
        plain.connect(("127.0.0.1", ports["etcd"]))
        plain.sendall(b"GET /version HTTP/1.0\r\n\r\n")
        assert b"200 OK" not in plain.recv(1000)


def test_a_platform_whose_end_nobody_reaps_is_down_all_the_same(place: Place) -> None:
    # As in a container whose first process reaps nothing: the owner becomes a zombie of this process.
    adopt_orphans()
    assert run("up", place=place).code == 0
    owner = state(place)["pid"]
    assert isinstance(owner, int)
    down = run("down", place=place, timeout=30)
    assert down.code == 0, down.err
    assert psutil.Process(owner).status() == psutil.STATUS_ZOMBIE
    os.waitpid(owner, 0)
