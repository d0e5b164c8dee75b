"""`python -m harness.bill sbom FOLDER` writes the bills; `programs` and `judge` serve the scan (.ci/scan)."""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

import yaml

from harness.bill import judge
from harness.bill.model import bill, go_packages, python_packages
from harness.platforms.local import binaries, gitops_programs
from harness.platforms.local.golang import TOOLCHAIN

ROOT = Path(__file__).parents[2]


def write_bills(folder: Path) -> list[Path]:
    """One bill for the Python lock, and one for each Go module of the toolchain."""
    folder.mkdir(parents=True, exist_ok=True)
    bills = {"python": bill("gateproof-python", python_packages((ROOT / "requirements.lock").read_text()))}
    for mod in sorted(TOOLCHAIN.glob("*/go.mod")):
        packages = go_packages(mod.read_text(), mod.with_name("go.sum").read_text())
        bills[f"go-{mod.parent.name}"] = bill(f"gateproof-{mod.parent.name}", packages)
    written = []
    for name, text in bills.items():
        written.append(folder / f"{name}.cdx.json")
        written[-1].write_text(text)
    return written


def programs() -> list[Path]:
    """The Go programs that are built: what is linked into them is what runs."""
    built, argocd = binaries.find(), gitops_programs.find()
    found = sorted(each for each in built.folder.iterdir() if each.is_file()) if built else []
    return [*found, *([argocd.argocd] if argocd else [])]


def judged(arguments: argparse.Namespace) -> int:
    """Exit code 1 with a line for each problem, 2 for a report that cannot be read, else 0."""
    try:
        found = [each for path in arguments.pip_audit for each in judge.pip_audit(path.read_text())]
        found += [each for path in arguments.govulncheck for each in judge.govulncheck(path.read_text())]
        allowed = judge.exemptions(yaml.safe_load(arguments.exceptions.read_text()))
    except (judge.UnreadableReport, OSError, yaml.YAMLError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 2
    today = datetime.datetime.now(datetime.UTC).date()
    wrong = judge.problems(found, allowed, today, partial=arguments.partial)
    looked = len(arguments.pip_audit) + len(arguments.govulncheck)
    well = f"{looked} scans: no known vulnerability but {len(allowed)} that are let be\n" if looked else "nothing was scanned\n"
    sys.stdout.write("".join(f"{line}\n" for line in wrong) or well)
    return 1 if wrong else 0


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m harness.bill")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("programs")
    commands.add_parser("sbom").add_argument("folder", type=Path)
    judging = commands.add_parser("judge")
    judging.add_argument("--exceptions", type=Path, required=True)
    judging.add_argument("--pip-audit", type=Path, action="append", default=[])
    judging.add_argument("--govulncheck", type=Path, action="append", default=[])
    judging.add_argument("--partial", action="store_true", help="Not everything could be scanned.")
    arguments = parser.parse_args(argv)
    if arguments.command == "judge":
        return judged(arguments)
    for path in programs() if arguments.command == "programs" else write_bills(arguments.folder):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
