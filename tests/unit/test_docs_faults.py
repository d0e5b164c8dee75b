"""The table of docs/faults.md says what harness/faults.py does."""

from __future__ import annotations

from docs_support import DOCS

from harness.faults import FAULTS


def test_the_table_of_faults_is_current() -> None:
    rows = [
        f"| `{fault.kind}` | {' '.join(f'{name}={value:g}' for name, value in fault.settings.items())} | {fault.source} "
        f"| {fault.due} | {fault.why} |"
        for fault in FAULTS.values()
    ]
    text = (DOCS / "faults.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("| `")] == rows
