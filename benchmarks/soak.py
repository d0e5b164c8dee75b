"""Many releases on one platform: does anything grow that should not? Good and bad ones by turns, side by side.

    .venv/bin/python benchmarks/soak.py --releases 200 --output docs/evidence/soak.json

The platform is looked at between batches, when no release is under way: memory, open files, threads and processes of each of
its parts, its folder on disk, the objects in its API, and the seconds that the batch took. Exit 1 when one of them, over the
second half of the batches, grows by more than its bound (BOUNDS). The first half warms up: caches fill, the heaps of Go settle.
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
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
PLACE = ("--gateway-port", "18982", "--registry-port", "15982")
SHAPES = (("--error-rate", "20"), ())
"""Options of the batches, by turns: one that the gate rolls back, one that it promotes."""
BOUNDS = {
    "memory_mib": 0.5, "disk_mib": 1.0, "processes": 0.0, "threads": 0.05, "open_files": 0.05, "objects": 0.1, "seconds": 0.02,
}  # fmt: skip
"""Growth per release that is borne. Disk: logs, records and etcd's history; `seconds` are seconds per release, per release."""


SUMMED = ("memory_mib", "open_files", "threads", "processes")


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


def kubectl(folder: Path, *arguments: str) -> list[str]:
    """The words that kubectl prints, asked as the platform's administrator."""
    asked = [str(program("kubectl")), "--kubeconfig", str(folder / "run" / "kubeconfig"), *arguments]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()


def objects(folder: Path) -> dict[str, int]:
    """How many objects of each kind the API has, events and leases left out: they end by themselves."""
    kinds = kubectl(folder, "api-resources", "--verbs=list", "--output=name")
    wanted = [kind for kind in kinds if not kind.startswith(("events", "leases", "componentstatuses"))]
    listed = kubectl(folder, "get", ",".join(wanted), "--all-namespaces", "--output=name")
    return dict(Counter(name.partition("/")[0] for name in listed))


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
    counted = objects(folder)
    disk = {each.name: round(bytes_of(each) / 2**20, 1) for each in (folder / "run").iterdir() if each.is_dir()}
    summed = {key: round(sum(part[key] for part in parts.values()), 1) for key in SUMMED}
    return {
        "parts": parts, "disk": disk, "kinds": counted, **summed, "disk_mib": round(sum(disk.values()), 1),
        "objects": sum(counted.values()),
    }  # fmt: skip


def program(name: str) -> Path:
    from harness.platforms.local import binaries  # noqa: PLC0415 -- after the platform is up, so they are there

    found = binaries.find()
    assert found is not None
    return found[name]


def settled(folder: Path, before: set[str], limit: float = 60) -> None:
    """Wait until the namespaces of the batch's lanes are gone."""
    deadline = time.monotonic() + limit
    while not (now := set(kubectl(folder, "get", "namespaces", "--output=name"))) <= before:
        if time.monotonic() > deadline:
            sys.exit(f"namespaces are still there {limit:g} s after their batch: {sorted(now - before)}")
        time.sleep(0.5)


def slope(points: list[tuple[int, float]]) -> float:
    """Growth per release: the median of the slopes between all pairs (Theil and Sen), which one odd point does not move."""
    slopes = [(y2 - y1) / (x2 - x1) for n, (x1, y1) in enumerate(points) for x2, y2 in points[n + 1 :]]
    return statistics.median(slopes) if slopes else 0.0


def batch(number: int, count: int, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One batch, and what it came to."""
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
    return {
        "fault": " ".join(fault) or "none", "seconds": round(seconds / count, 2), "valid": summary["rollback"]["trials"],
        "rolled_back": summary["rollback"]["successes"], "load_average": os.getloadavg()[0],
    }  # fmt: skip


def growth(batches: list[dict[str, Any]]) -> dict[str, float]:
    """Per release and key of BOUNDS, over the second half."""
    half = batches[len(batches) // 2 :]
    found = {key: slope([(each["releases"], each[key]) for each in half]) for key in BOUNDS if key != "seconds"}
    # Good releases take longer than bad ones: each is held against its own kind, over all batches but the first of each.
    kinds = {each["fault"] for each in batches}
    found["seconds"] = max(slope([(b["releases"], b["seconds"]) for b in batches[2:] if b["fault"] == kind]) for kind in kinds)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=200)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--lanes", type=int, default=4)
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--rps", type=float, default=40.0)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    told: dict[str, Any] = {"options": {k: v for k, v in vars(given).items() if k != "output"}, "bounds": BOUNDS, "batches": []}
    with tempfile.TemporaryDirectory(prefix="gateproof-soak-") as root:
        folder = Path(root)
        up = harness("up", folder=folder)
        if up.returncode:
            sys.exit(up.stderr)
        try:
            before = set(kubectl(folder, "get", "namespaces", "--output=name"))
            told["start"] = look(folder)
            for done in range(0, given.releases, given.batch):
                count = min(given.batch, given.releases - done)
                made = batch(len(told["batches"]), count, given, folder)
                settled(folder, before)
                told["batches"].append({"releases": done + count, **made, **look(folder)})
                last = told["batches"][-1]
                keys = ("releases", "fault", "valid", "rolled_back", *BOUNDS)
                print("  ".join(f"{key} {last[key]}" for key in keys), flush=True)
        finally:
            down = harness("down", folder=folder)
    grown = growth(told["batches"])
    told |= {"growth_per_release": {key: round(value, 4) for key, value in grown.items()}, "down": down.returncode}
    if given.output:
        given.output.write_text(json.dumps(told, indent=1) + "\n")
    bad = [key for key, value in grown.items() if value > BOUNDS[key]]
    for key, value in grown.items():
        print(f"{key:<12} {value:+.4f} per release (bound {BOUNDS[key]}){'  TOO MUCH' if key in bad else ''}")
    return 1 if bad or down.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
