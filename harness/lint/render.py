"""PURE: findings as text, JSON, SARIF and GitHub's annotations; the table of rules."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from harness.lint.model import Finding, Rule, Severity

FORMATS = ("text", "json", "github", "sarif")
_GITHUB = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def render(kind: str, findings: Sequence[Finding], rules: Sequence[Rule]) -> str:
    """Findings in one of FORMATS, without a line break at the end."""
    if kind == "json":
        return json.dumps([_plain(each) for each in findings], indent=2)
    if kind == "sarif":
        return json.dumps(_sarif(findings, rules), indent=2)
    return "\n".join(_annotation(each) if kind == "github" else _line(each) for each in findings)


def summary(findings: Sequence[Finding], objects: int) -> str:
    """One line that says how many of each severity there are."""
    counts = Counter(each.severity for each in findings)
    told = [f"{counts[each]} {each.word}{'' if counts[each] == 1 else 's'}" for each in reversed(Severity) if counts[each]]
    return f"{objects} object{'' if objects == 1 else 's'} looked at: {', '.join(told) or 'nothing found'}"


def table(rules: Sequence[Rule]) -> str:
    """The rules as a Markdown table."""
    lines = ["| rule | severity | what it finds | why it matters | what to do | see |", "| --- | --- | --- | --- | --- | --- |"]
    for rule in rules:
        cells = (f"{rule.id} `{rule.name}`", rule.severity.word, rule.title, rule.why, rule.fix, rule.see or "-")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def listing(rules: Sequence[Rule]) -> str:
    """The rules for a terminal."""
    lines = []
    for rule in rules:
        seen = f"  [{rule.see}]" if rule.see else ""
        lines += [f"{rule.id} {rule.name} ({rule.severity.word}): {rule.title}", f"    {rule.why}", f"    → {rule.fix}{seen}"]
    return "\n".join(lines)


def _line(finding: Finding) -> str:
    rule = finding.rule
    return f"{finding.file}:{finding.line}: {finding.severity.word} {rule.id} {finding.subject}: {finding.message} — {rule.fix}"


def _plain(finding: Finding) -> dict[str, object]:
    rule = finding.rule
    return {
        "file": finding.file, "line": finding.line, "severity": finding.severity.word, "rule": rule.id, "name": rule.name,
        "subject": finding.subject, "message": finding.message, "why": rule.why, "fix": rule.fix, "see": rule.see,
    }  # fmt: skip


def _annotation(finding: Finding) -> str:
    # GitHub's own escapes: a percent sign, line breaks, and in properties also colons and commas.
    def escaped(text: str, more: str = "") -> str:
        for char in "%\r\n" + more:
            text = text.replace(char, f"%{ord(char):02X}")
        return text

    title = escaped(f"{finding.rule.id} {finding.rule.title}", ":,")
    place = f"file={escaped(finding.file, ':,')},line={finding.line},title={title}"
    return f"::{_GITHUB[finding.severity]} {place}::{escaped(f'{finding.subject}: {finding.message} — {finding.rule.fix}')}"


def _sarif(findings: Sequence[Finding], rules: Sequence[Rule]) -> dict[str, object]:
    described = [
        {
            "id": rule.id, "name": rule.name, "shortDescription": {"text": rule.title}, "fullDescription": {"text": rule.why},
            "help": {"text": rule.fix}, "defaultConfiguration": {"level": rule.severity.word},
        }
        for rule in rules
    ]  # fmt: skip
    results = [
        {
            "ruleId": each.rule.id, "level": each.severity.word, "message": {"text": f"{each.subject}: {each.message}"},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": each.file}, "region": {"startLine": each.line}}}],
        }
        for each in findings
    ]  # fmt: skip
    driver = {"name": "gateproof", "rules": described}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return {"$schema": schema, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
