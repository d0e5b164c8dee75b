"""The folder into which a run's reports go: what an earlier run left in it is taken for nobody's."""

from __future__ import annotations

import shutil
from pathlib import Path

REPORTS = ("report.json", "report.txt", "report.html", "report.xml", "report.md")
"""What is written into the report folder, beside the records."""
RECORDS = ("load", "replay")
"""The folders in it for the load's own records and for what a replay needs."""


def forget_report(folder: Path) -> None:
    """Remove an earlier run's verdict before anything can fail: whoever reads the folder must not take it for this run's."""
    for name in REPORTS:
        (folder / name).unlink(missing_ok=True)


def clear_report(folder: Path) -> None:
    """Remove everything else of an earlier run, once the platform is this run's own and nobody can be writing there."""
    forget_report(folder)
    for name in RECORDS:
        shutil.rmtree(folder / name, ignore_errors=True)


def not_written(path: Path, error: Exception) -> str:
    """The line for a file of a report that was not written."""
    told = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"{path} was not written ({told}); the verdict stands, and the exit code is its"
