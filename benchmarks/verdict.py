"""What a verdict costs: time to bring the platform up, its memory, and the wall time of a release beyond its analysis.

    python benchmarks/verdict.py [--window 60] [--runs 1] [--rps 50]

It starts a platform of its own in a temporary folder, on ports of its own, and stops it. Figures of one run on one machine
compare with each other; those of different machines do not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.supervisor.ports import free_port

ROOT = Path(__file__).parents[1]
STEPS = 3


def harness(*arguments: str, place: list[str]) -> tuple[int, str, float]:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments, *place], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    return done.returncode, done.stdout, time.monotonic() - started



def one_release(place: list[str], window: float, rps: float) -> dict[str, float]:
    code, out, wall = harness("success", "--window", f"{window:g}", "--rps", f"{rps:g}", "--output", "json", place=place)
    if code:
        raise SystemExit(f"success ended with exit code {code}")
    report = json.loads(out)
    analysis = STEPS * window
    release = float(report["times"]["decided_seconds"])
    return {
        "release (s)": release,
        "release beyond its windows (s)": release - analysis,
        "whole verdict on a platform that is up (s)": wall,
        "share of that which is not the analysis (%)": 100 * (wall - analysis) / wall,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--window", type=float, default=60.0, help="seconds of analysis at each of the three steps")
    parser.add_argument("--rps", type=float, default=50.0)
    parser.add_argument("--runs", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = ["--run-dir", f"{folder}/run", "--gateway-port", str(free_port()), "--registry-port", str(free_port())]
        code, _, _ = harness("setup", place=[])
        code, _, up = harness("up", place=place)
        if code:
            raise SystemExit(f"up ended with exit code {code}")
        try:
            rows = [one_release(place, args.window, args.rps) for _ in range(args.runs)]
            status = json.loads(harness("status", "--output", "json", place=place)[1])
        finally:
            _, _, down = harness("down", place=place)
    print(f"{'up from a warm cache (s)':<46}{up:8.1f}")
    print(f"{'down (s)':<46}{down:8.1f}")
    print(f"{'platform memory, pods included (MiB)':<46}{status['rss_bytes'] / 2**20:8.0f}")
    for component in sorted(status["components"], key=lambda each: -(each["rss"] or 0)):
        if component["rss"]:
            print(f"{'  ' + component['name']:<46}{component['rss'] / 2**20:8.0f}")
    for name in rows[0]:
        values = sorted(row[name] for row in rows)
        print(f"{name:<46}{values[len(values) // 2]:8.1f}   (of {len(values)}: {values[0]:.1f} to {values[-1]:.1f})")


if __name__ == "__main__":
    main()
