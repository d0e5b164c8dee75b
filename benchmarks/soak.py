"""Many releases on one platform: does anything grow that should not? Good and bad ones by turns, side by side.

    .venv/bin/python benchmarks/soak.py --releases 200 --output docs/evidence/soak.json

The platform is looked at between batches, when no release is under way: memory, open files, threads and processes of each of its
parts, its folder on disk, the objects in its API, and the seconds that the batch took. Exit 1 when one of them, over the second half
of the batches, grows by more than its bound (BOUNDS). The first half warms up: caches fill, the heaps of Go settle.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
PLACE = ("--gateway-port", "18982", "--registry-port", "15982")
SHAPES = (("--error-rate", "20"), ())
"""Options of the batches, by turns: one that the gate rolls back, one that it promotes."""
BOUNDS = {"memory_mib": 0.5, "disk_mib": 1.0, "processes": 0.0, "threads": 0.05, "open_files": 0.05, "objects": 0.1, "seconds": 0.02}
"""Growth per release that is borne. Disk: logs, records and etcd's history; `seconds` are seconds per release, per release."""


def harness(*arguments: str, folder: Path, limit: float = 3000) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments, "--run-dir", str(folder / "run"), *PLACE], cwd=ROOT, capture_output=True,
        text=True, check=False, stdin=subprocess.DEVNULL, timeout=limit,
    )  # fmt: skip


def family(owner: int) -> list[psutil.Process]:
    process = psutil.Process(owner)
    return [process, *process.children(recursive=True)]


def bytes_of(folder: Path) -> int:
    """What a folder takes on disk; files that go in between count as nothing."""
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(at) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def objects(kubectl: list[str]) -> dict[str, int]:
    """How many objects of each kind the API has, events and leases left out: they end by themselves."""
    kinds = subprocess.run([*kubectl, "api-resources", "--verbs=list", "--output=name"], capture_output=True, text=True, check=True)
    wanted = [kind for kind in kinds.stdout.split() if not kind.startswith(("events", "leases", "componentstatuses"))]
    listed = subprocess.run(
        [*kubectl, "get", ",".join(wanted), "--all-namespaces", "--output=name"], capture_output=True, text=True, check=True
    )
    counted: dict[str, int] = {}
    for line in listed.stdout.split():
        kind = line.partition("/")[0]
        counted[kind] = counted.get(kind, 0) + 1
    return counted


def look(folder: Path) -> dict[str, Any]:
    """The platform at rest."""
    status = json.loads(harness("status", "--output", "json", folder=folder).stdout)
    if status["phase"] != "ready" or status["died"]:
        sys.exit(f"the platform is {status['phase']}: {status['died']}")
    members = family(status["pid"])
    named = {each["pid"]: each["name"] for each in status["components"]} | {status["pid"]: "owner"}
    parts: dict[str, dict[str, float]] = {}
    for each in members:
        with each.oneshot():
            name = named.get(each.pid) or f"child of {named.get(each.ppid(), 'a component')}"
            part = parts.setdefault(name, {"memory_mib": 0.0, "open_files": 0, "threads": 0, "processes": 0})
            part["memory_mib"] += each.memory_info().rss / 2**20
            part["open_files"] += each.num_fds()
            part["threads"] += each.num_threads()
            part["processes"] += 1
    counted = objects([str(tools()["kubectl"]), "--kubeconfig", str(folder / "run" / "kubeconfig")])
    disk = {each.name: round(bytes_of(each) / 2**20, 1) for each in (folder / "run").iterdir() if each.is_dir()}
    return {
        "parts": parts, "disk": disk, "kinds": counted,
        **{key: round(sum(part[key] for part in parts.values()), 1) for key in ("memory_mib", "open_files", "threads", "processes")},
        "disk_mib": round(sum(disk.values()), 1), "objects": sum(counted.values()),
    }  # fmt: skip


def tools() -> dict[str, Path]:
    from harness.platforms.local import binaries  # noqa: PLC0415 -- only where it is asked

    found = binaries.find()
    assert found is not None
    return {"kubectl": found["kubectl"]}


def settled(folder: Path, before: set[str], limit: float = 60) -> None:
    """Wait until the namespaces of the batch's lanes are gone."""
    kubectl = [str(tools()["kubectl"]), "--kubeconfig", str(folder / "run" / "kubeconfig")]
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        names = subprocess.run([*kubectl, "get", "namespaces", "--output=name"], capture_output=True, text=True, check=True).stdout
        if set(names.split()) <= before:
            return
        time.sleep(0.5)
    sys.exit(f"namespaces are still there {limit:g} s after their batch: {sorted(set(names.split()) - before)}")


def slope(points: list[tuple[int, float]]) -> float:
    """Growth per release: the median of the slopes between all pairs (Theil and Sen), which one odd point does not move."""
    return statistics.median(
        (y2 - y1) / (x2 - x1) for n, (x1, y1) in enumerate(points) for x2, y2 in points[n + 1 :]
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=200)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--lanes", type=int, default=4)
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--rps", type=float, default=40.0)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    told: dict[str, Any] = {
        "options": {key: value for key, value in vars(given).items() if key != "output"}, "bounds": BOUNDS, "batches": [],
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="gateproof-soak-") as root:
        folder = Path(root)
        up = harness("up", folder=folder)
        if up.returncode:
            sys.exit(up.stderr)
        try:
            before = {f"namespace/{name}" for name in ("default", "kube-system", "kube-public", "kube-node-lease")}
            kubectl = [str(tools()["kubectl"]), "--kubeconfig", str(folder / "run" / "kubeconfig")]
            before |= set(subprocess.run([*kubectl, "get", "ns", "-oname"], capture_output=True, text=True, check=True).stdout.split())
            told["start"] = look(folder)
            done = 0
            while done < given.releases:
                count = min(given.batch, given.releases - done)
                number = len(told["batches"])
                fault = SHAPES[number % len(SHAPES)]
                started = time.monotonic()
                ended = harness(
                    "trials", "-n", str(count), "--lanes", str(given.lanes), "--campaign", str(folder / f"batch-{number}"), *fault,
                    "--window", str(given.window), "--rps", str(given.rps), "--output", "json", folder=folder,
                )  # fmt: skip
                seconds = time.monotonic() - started
                # 3: too many of them proved nothing, as on a machine that is busy with other things. They were releases all the same.
                if ended.returncode not in {0, 3}:
                    sys.exit(f"batch {number} ended with {ended.returncode}: {ended.stderr[-2000:]}")
                summary = json.loads(ended.stdout)
                settled(folder, before)
                done += count
                told["batches"].append({
                    "releases": done, "fault": " ".join(fault) or "none", "seconds": round(seconds / count, 2),
                    "valid": summary["rollback"]["trials"], "rolled_back": summary["rollback"]["successes"],
                    "load_average": os.getloadavg()[0], **look(folder),
                })  # fmt: skip
                last = told["batches"][-1]
                keys = ("releases", "fault", "valid", "rolled_back", *BOUNDS)
                print("  ".join(f"{key} {last[key]}" for key in keys), flush=True)
                if given.output:
                    given.output.write_text(json.dumps(told, indent=1) + "\n")
        finally:
            down = harness("down", folder=folder)
        told["down"] = {"exit_code": down.returncode}
    half = told["batches"][len(told["batches"]) // 2 :]
    growth: dict[str, float] = {}
    for key in BOUNDS:
        if key == "seconds":
            # Good releases take longer than bad ones: each is held against its own kind.
            kinds = [[(b["releases"], b[key]) for b in told["batches"][2:] if b["fault"] == kind] for kind in {b["fault"] for b in half}]
            growth[key] = max((slope(points) for points in kinds if len(points) > 1), default=0.0)
        else:
            growth[key] = slope([(b["releases"], b[key]) for b in half]) if len(half) > 1 else 0.0
    told["growth_per_release"] = {key: round(value, 4) for key, value in growth.items()}
    if given.output:
        given.output.write_text(json.dumps(told, indent=1) + "\n")
    bad = [key for key, value in growth.items() if value > BOUNDS[key]]
    for key, value in growth.items():
        print(f"{key:<12} {value:+.4f} per release (bound {BOUNDS[key]}){'  TOO MUCH' if key in bad else ''}")
    return 1 if bad or down.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
