"""What side by side saves, and whether it changes anything: many trials in lanes against single runs, and against one lane.

    .venv/bin/python benchmarks/lanes.py --trials 40 --singles 2 --serial 10

All is measured in one run on this machine. The campaign must cost at most a quarter of as many single runs, and its share of
rollbacks must agree with that of trials one after another (Fisher's exact test at 1 %). Exit 1 when one of them does not hold.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scipy.stats import fisher_exact

ROOT = Path(__file__).resolve().parents[1]
MOST_COST = 0.25
LEVEL = 0.01


def harness(*arguments: str, folder: Path) -> tuple[float, str]:
    """Run one command in a run folder and on ports of its own; returns its seconds and its output."""
    place = ["--run-dir", str(folder / "run"), "--gateway-port", "18981", "--registry-port", "15981", "--output", "json"]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments, *place], cwd=ROOT, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=3000,
    )  # fmt: skip
    if done.returncode not in {0, 1, 3}:
        sys.exit(f"harness {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return time.monotonic() - started, done.stdout


def campaign(name: str, count: int, shape: list[str], *more: str, folder: Path) -> tuple[float, dict[str, Any]]:
    seconds, out = harness("trials", "-n", str(count), "--campaign", str(folder / name), *shape, *more, folder=folder)
    return seconds, json.loads(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--singles", type=int, default=2, help="single runs, each with a platform of its own")
    parser.add_argument("--serial", type=int, default=10, help="trials one after another on one platform; 0 for none")
    parser.add_argument("--window", type=int, default=8)
    parser.add_argument("--rps", type=float, default=40.0)
    parser.add_argument("--error-rate", type=float, default=3.0)
    given = parser.parse_args()
    shape = ["--error-rate", str(given.error_rate), "--window", str(given.window), "--rps", str(given.rps)]
    with tempfile.TemporaryDirectory(prefix="gateproof-lanes-") as root:
        folder = Path(root)
        singles = [harness("failure", *shape, "--seed", str(n), folder=folder)[0] for n in range(given.singles)]
        single = statistics.median(singles)
        print(f"single runs: {', '.join(f'{each:.1f} s' for each in singles)}; median {single:.1f} s")
        seconds, many = campaign("many", given.trials, shape, folder=folder)
        cost = seconds / (given.trials * single)
        print(f"{given.trials} trials side by side: {seconds:.1f} s, {seconds / given.trials:.1f} s each; {many['lanes']}")
        print(f"cost against single runs: {cost:.3f} (at most {MOST_COST})")
        agree = True
        if given.serial:
            seconds, serial = campaign("serial", given.serial, shape, "--lanes", "1", "--seed", "5000", folder=folder)
            backs = [each["rollback"] for each in (many, serial)]
            table = [[each["successes"], each["trials"] - each["successes"]] for each in backs]
            p_value = float(fisher_exact(table).pvalue)
            agree = p_value >= LEVEL
            print(f"{given.serial} trials one after another: {seconds:.1f} s, {seconds / given.serial:.1f} s each")
            print(f"rolled back, not: side by side {table[0]}, one after another {table[1]}; Fisher p = {p_value:.3f}")
            print(f"invalid: side by side {many['invalid']}, one after another {serial['invalid']}")
            for name in ("detect_seconds", "decided_seconds"):
                print(f"{name} (median, 90 %, most): side by side {many[name]}, one after another {serial[name]}")
    if cost > MOST_COST or not agree:
        print("BROKEN")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
