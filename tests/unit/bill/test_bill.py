"""Bills of materials, and what counts as a known vulnerability: on answers as pip-audit 2.10.1 and govulncheck give them."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from harness.bill.__main__ import main
from harness.bill.judge import Finding, UnreadableReport, exemptions, govulncheck, pip_audit, problems
from harness.bill.model import Package, bill, go_packages, python_packages
from harness.platforms.local import binaries

ROOT = Path(__file__).parents[3]
TODAY = datetime.date(2026, 11, 25)

# Printed by the real pip-audit for a lock with jinja2==2.10, against a database with one entry.
AUDIT = (
    '{"dependencies": [{"name": "jinja2", "version": "2.10", "vulns": [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"], '
    '"aliases": ["CVE-2019-10906", "GHSA-462w-v97r-4m45"], "description": "sandbox escape"}]}, '
    '{"name": "click", "version": "8.3.0", "vulns": []}], "fixes": []}'
)
# Printed by it, with exit code 0 and "No known vulnerabilities found", where the index has no database behind it.
SKIPPED = (
    '{"dependencies": [{"name": "jinja2", '
    '"skip_reason": "Dependency not found on PyPI and could not be audited: jinja2 (2.10)"}, '
    '{"name": "click", "skip_reason": "Dependency not found on PyPI and could not be audited: click (8.3.0)"}], "fixes": []}'
)
GO = "\n".join(json.dumps(each, indent=2) for each in (
    {"config": {"protocol_version": "v1.0.0", "scanner_name": "govulncheck"}},
    {"osv": {"id": "GO-2021-0113", "aliases": ["CVE-2021-38561"]}},
    {"finding": {"osv": "GO-2021-0113", "fixed_version": "v0.3.7",
                 "trace": [{"module": "golang.org/x/text", "version": "v0.3.5"}]}},
))  # fmt: skip
BAD = Finding(package="jinja2", version="2.10", id="PYSEC-2019-217",
              aliases=("CVE-2019-10906", "GHSA-462w-v97r-4m45"), fixed="2.10.1")  # fmt: skip
LET_BE: dict[str, Any] = {"id": "CVE-2019-10906", "package": "jinja2", "reason": "no template of strangers", "until": TODAY}


def test_what_the_scanners_found_is_read() -> None:
    assert pip_audit(AUDIT) == (BAD,)
    assert [(each.package, each.id, each.fixed) for each in govulncheck(GO)] == [("golang.org/x/text", "GO-2021-0113", "v0.3.7")]


def test_a_scanner_that_looked_at_nothing_has_not_found_nothing() -> None:
    with pytest.raises(UnreadableReport, match="has not looked at 2 distributions"):
        pip_audit(SKIPPED)
    with pytest.raises(UnreadableReport, match="has not looked at anything"):
        govulncheck("")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"dependencies": [{}]}', '{"dependencies": [{"vulns": [{}]}]}', "{"])
def test_no_answer_of_pip_audit_is_taken_for_a_clean_one(text: str) -> None:
    try:
        found = pip_audit(text)
    except UnreadableReport:
        return
    assert text == '{"dependencies": [{}]}', found


def test_a_finding_fails_until_it_is_let_be_and_again_when_that_has_expired() -> None:
    found = pip_audit(AUDIT)
    assert problems(found, (), TODAY) == [
        "jinja2 2.10: PYSEC-2019-217, CVE-2019-10906, GHSA-462w-v97r-4m45; fixed in 2.10.1"
    ]
    assert problems(found, exemptions([LET_BE]), TODAY) == []
    (line,) = problems(found, exemptions([LET_BE]), TODAY + datetime.timedelta(days=1))
    assert "was let be until 2026-11-25: look again" in line
    assert problems(found, exemptions([{**LET_BE, "package": "flask"}]), TODAY)[0].startswith("jinja2 2.10")


def test_an_exception_that_fits_nothing_is_told_where_everything_was_looked_at() -> None:
    assert "remove it" in problems((), exemptions([LET_BE]), TODAY)[0]
    assert problems((), exemptions([LET_BE]), TODAY, partial=True) == []


@pytest.mark.parametrize("change", [{"reason": " "}, {"until": "soon"}, {"more": 1}])
def test_an_exception_says_why_and_until_when(change: dict[str, Any]) -> None:
    with pytest.raises(UnreadableReport):
        exemptions([{**LET_BE, **change}])


def test_our_own_list_can_be_read() -> None:
    exemptions(yaml.safe_load((ROOT / ".ci" / "vulnerabilities.yaml").read_text()))


def test_the_bills_are_valid_and_hold_every_line_of_the_lock_files(tmp_path: Path) -> None:
    assert main(["sbom", str(tmp_path)]) == 0
    bills = {path.name: json.loads(path.read_text()) for path in tmp_path.glob("*.cdx.json")}
    modules = ("argocd", "controlplane", "services")
    assert set(bills) == {"python.cdx.json", *(f"go-{name}.cdx.json" for name in modules)}
    for path in tmp_path.glob("*.cdx.json"):
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None, path
    lock = re.findall(r"^([a-z0-9._-]+)==([^\s\\;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    python = {(each["name"], each["version"]) for each in bills["python.cdx.json"]["components"]}
    assert python == set(lock)
    assert all(each["hashes"] for each in bills["python.cdx.json"]["components"])
    go = {each["purl"] for each in bills["go-controlplane.cdx.json"]["components"]}
    assert any(each.startswith("pkg:golang/github.com/argoproj/argo-rollouts@v1.10") for each in go)
    assert any(each.startswith("pkg:golang/k8s.io/kubernetes@v1.37") for each in go)


def test_a_module_that_is_replaced_is_billed_as_what_replaces_it() -> None:
    mod = "module m\n\ngo 1.27\n\nrequire a.example/b v1.0.0\n\nreplace (\n\ta.example/b v1.0.0 => a.example/b v0.9.0\n)\n"
    assert go_packages(mod, "a.example/b v0.9.0 h1:x=\n") == (
        Package(type="golang", name="a.example/b", version="v0.9.0", sums=("h1:x=",)),
    )


def test_the_same_packages_give_the_same_bill() -> None:
    packages = python_packages("b==1 \\\n    --hash=sha256:" + "a" * 64 + "\na==2\n")
    assert [each.name for each in packages] == ["a", "b"]
    assert bill("x", packages) == bill("x", packages) != bill("y", packages)


def built(cache: Path) -> None:
    """A cache in which every program is there: what is inside is the scanner's business."""
    folder = binaries.Binaries(folder=cache / "toolchain" / binaries.cached().folder.name)
    for path in (*(folder[name] for name in binaries.PROGRAMS), *(folder.manifest(name) for name in binaries.MANIFESTS)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)


def scan(tmp_path: Path, programs: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """.ci/scan with these scanners (shell scripts) and no others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    env = {"PATH": f"{folder}:/usr/bin:/bin", "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "HOME": os.environ["HOME"]}
    argv = [ROOT / ".ci" / "scan", *arguments, tmp_path / "bill"]
    env |= {"GATEPROOF_CACHE_DIR": str(tmp_path / "cache")}
    if "govulncheck" in programs:
        built(tmp_path / "cache")
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)


WRITES = 'while [ $# -gt 1 ]; do [ "$1" = --output ] && out=$2; shift; done; cat > "$out" <<END\n%s\nEND\nexit 1'


def test_without_scanners_it_says_so_and_only_must_makes_that_a_failure(tmp_path: Path) -> None:
    done = scan(tmp_path, {})
    assert done.returncode == 0, done.stderr
    assert "pip-audit is not installed" in done.stderr
    assert "govulncheck is not installed" in done.stderr
    assert "nothing was scanned" in done.stdout
    (tmp_path / "again").mkdir()
    assert scan(tmp_path / "again", {}, "--must").returncode == 1


def test_a_known_bad_pin_fails_and_a_scanner_without_its_database_is_no_clean_scan(tmp_path: Path) -> None:
    for name in ("bad", "skipped", "go"):
        (tmp_path / name).mkdir()
    bad = scan(tmp_path / "bad", {"pip-audit": WRITES % AUDIT})
    assert bad.returncode == 1, bad.stderr
    assert "jinja2 2.10: PYSEC-2019-217" in bad.stdout
    skipped = scan(tmp_path / "skipped", {"pip-audit": WRITES % SKIPPED, "govulncheck": "echo no route >&2; exit 1"})
    assert skipped.returncode == 0, skipped.stderr
    assert "has not looked at 2 distributions" in skipped.stderr
    assert "no route" in skipped.stderr
    go = scan(tmp_path / "go", {"govulncheck": f"cat <<'END'\n{GO}\nEND"})
    assert go.returncode == 1, go.stderr
    assert "golang.org/x/text v0.3.5: GO-2021-0113, CVE-2021-38561; fixed in v0.3.7" in go.stdout
