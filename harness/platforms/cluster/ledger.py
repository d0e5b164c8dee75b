"""What was made in a cluster and is not removed yet, on the disk: whatever kills a run, `down` finds it there."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A namespace that a run uses. `mark` is written on one that the run made, so that no other of its name is removed."""

    server: str
    namespace: str
    made: bool
    mark: str = ""


class Ledger:
    """The claims of a run's folder. Thread-safe."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def claims(self) -> list[Claim]:
        """Everything that is not removed yet. Raises UsageError when the file is damaged."""
        try:
            return [Claim(**each) for each in json.loads(self._file.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise UsageError(
                f"{self._file} cannot be read ({error}): look in the cluster for what runs left, then remove the file"
            ) from None

    def add(self, claim: Claim) -> None:
        """Write a claim down; it is on the disk before anything is made."""
        with self._lock:
            self._write([*self.claims(), claim])

    def remove(self, claim: Claim) -> None:
        """What was claimed is gone."""
        with self._lock:
            self._write([each for each in self.claims() if each != claim])

    def _write(self, claims: list[Claim]) -> None:
        if not claims:
            self._file.unlink(missing_ok=True)
            return
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps([asdict(each) for each in claims], indent=2) + "\n", encoding="utf-8")
        os.replace(beside, self._file)  # noqa: PTH105 -- atomic, and says so
