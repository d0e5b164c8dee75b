"""Parts of the real platform killed in the middle of a release: the same decision, or exit 3, and what users saw meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e_support import Ended, Place, canary_answers, end_started, new_place, ours, outcome, run, start, wait_until

SHORT = ("--window", "8", "--rps", "90", "--output", "json")
BAD = ("failure", "--error-rate", "20")


def disturbed(platform: Place, *command: str, by: tuple[str, ...]) -> Ended:
    """One release with these disturbances; each must have been carried out, and nothing may have died or been doubled."""
    ended = run(*command, *(f"--disturb={each}" for each in by), *SHORT, place=platform)
    assert run("status", place=platform).code == 0, "a part of the platform has not come back"
    return ended


def carried_out(ended: Ended) -> list[tuple[str, int]]:
    """What was killed and came back, and at which weight."""
    found: list[dict[str, Any]] = ended.report["disturbances"]
    assert all(each["up_seconds"] > each["down_seconds"] and not each["problem"] for each in found), found
    told = {event["what"] for event in ended.report["timeline"]}
    assert all({f"{each['kind']} killed", f"{each['kind']} back"} <= told for each in found)
    return [(each["kind"], each["at_weight"]) for each in found]


def failures(ended: Ended) -> set[str]:
    """The checks that did not pass."""
    return {check["name"] for check in ended.report["checks"] if check["passed"] is not True}


def assert_never_another_decision(ended: Ended, decision: str) -> None:
    """The decision that is right; or no verdict, as may be on a machine that takes long to bring the part back (Due.EITHER)."""
    assert ended.code in {0, 3}, outcome(ended)
    if ended.code == 0:
        assert ended.report["decision"] == decision


def test_the_controller_killed_at_every_step_goes_on_where_it_was(platform: Place) -> None:
    ended = disturbed(platform, "success", by=("argo-rollouts@each",))
    assert ended.code == 0, outcome(ended)
    assert carried_out(ended) == [("argo-rollouts", 10), ("argo-rollouts", 30), ("argo-rollouts", 60)]
    assert ended.report["decision"] == "promoted"


def test_the_control_plane_killed_part_by_part_changes_nothing(platform: Place) -> None:
    ended = disturbed(platform, "success", by=("etcd@10:1", "kube-apiserver@30:1", "kube-controller-manager@60:1"))
    assert_never_another_decision(ended, "promoted")
    assert carried_out(ended) == [("etcd", 10), ("kube-apiserver", 30), ("kube-controller-manager", 60)]


def test_a_bad_release_is_rolled_back_though_api_and_controller_are_killed(platform: Place) -> None:
    ended = disturbed(platform, *BAD, by=("kube-apiserver@10:2", "argo-rollouts@10"))
    assert_never_another_decision(ended, "rolled_back")
    assert carried_out(ended) == [("kube-apiserver", 10), ("argo-rollouts", 10)]


def test_weights_that_the_gateway_never_heard_of_are_no_evidence(platform: Place) -> None:
    ended = disturbed(platform, "success", by=("istiod@10:20",))
    assert ended.code == 3, outcome(ended)
    assert "client share at 30 %" in failures(ended)


def test_users_who_are_still_sent_to_an_aborted_version_are_no_wrong_decision(platform: Place) -> None:
    ended = disturbed(platform, *BAD, by=("istiod@10:20",))
    assert ended.code == 3, outcome(ended)
    assert "time to safe" in failures(ended), outcome(ended)
    assert ended.report["decision"] == "rolled_back"
    assert ended.report["times"]["safe_seconds"] > 5


def test_users_whom_nobody_answered_meanwhile_are_counted(platform: Place) -> None:
    ended = disturbed(platform, "success", by=("gateway@30",))
    assert_never_another_decision(ended, "promoted")
    assert carried_out(ended) == [("gateway", 30)]
    assert "0 for other reasons" in ended.check("user requests")["actual"]


def test_pods_that_died_with_the_node_agent_are_replaced_and_not_doubled(platform: Place) -> None:
    ended = disturbed(platform, "success", by=("node-agent@10",))
    assert ended.code in {0, 3}, outcome(ended)
    assert carried_out(ended) == [("node-agent", 10)]
    assert served_by_one_process_each(platform)


def served_by_one_process_each(platform: Place) -> bool:
    """Whether no container has two processes that were started for it."""
    keys: list[str] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            parent = process.parent()
            key = process.environ().get("GATEPROOF_CONTAINER")
            inner = parent is not None and parent.environ().get("GATEPROOF_CONTAINER") == key
            if key and not inner and str(platform.run_dir) in " ".join(process.environ().values()):
                keys.append(key)
    return len(keys) == len(set(keys))


@pytest.mark.parametrize("by", ["prometheus-empty@10:3"])
def test_a_gate_that_lost_its_measurements_decides_nothing(platform: Place, by: str) -> None:
    ended = disturbed(platform, "success", by=(by,))
    assert ended.code == 3, outcome(ended)
    assert failures(ended) & {"prometheus", "analysis sound", "measured traffic"}


def test_without_users_there_is_no_verdict(platform: Place) -> None:
    ended = disturbed(platform, "success", by=("load@10",))
    assert ended.code == 3, outcome(ended)
    assert "the load was ended by signal SIGKILL" in ended.error


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(folder)], check=True)
    yield folder
    end_started()  # as long as a command runs there, the disk cannot be unmounted
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_disk_that_fills_up_during_the_analysis(disk: Path, place: Place) -> None:
    at = Place(run_dir=disk / "run", gateway_port=place.gateway_port, registry_port=new_place(disk).registry_port)
    process = start("success", "--window", "20", "--rps", "60", "--output", "json", place=at)
    wait_until(lambda: canary_answers(at), what="traffic on the canary", timeout=150)
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(1 << 20)):
            pass
    out, err = process.communicate(timeout=120)
    ended = Ended(code=process.returncode, out=out, err=err)
    assert ended.code == 4, err
    assert re.search(r"the disk of \S+ is full: make room", ended.error), err
    assert ours(at) == []
