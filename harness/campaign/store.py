"""A campaign's folder: what was asked for, and every finished trial as a line. An interrupted campaign goes on from there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.campaign.trial import Trial, as_json, from_json
from harness.errors import UsageError
from harness.files import MIB, read_text, refuse_unwritable
from harness.platforms.local.paths import make_private

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Store:
    """The folder of one campaign."""

    folder: Path

    @property
    def _spec(self) -> Path:
        return self.folder / "campaign.json"

    @property
    def _trials(self) -> Path:
        return self.folder / "trials.jsonl"

    def look(self, spec: Mapping[str, Any]) -> list[Trial]:
        """The finished trials of the campaign of this specification; nothing is made or changed.

        Raises UsageError when the folder holds another campaign, or something else: its trials would be of another gate.
        """
        refuse_unwritable(self.folder, option="--campaign", folder=True)
        wanted = {"format": FORMAT, **spec}
        if not self._spec.exists():
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise UsageError(f"--campaign {self.folder} holds things that are no campaign: choose a new or an empty folder")
            return []
        try:
            found = json.loads(read_text(self._spec, told=f"--campaign {self.folder}: {self._spec}", most=MIB))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise UsageError(f"{self._spec} cannot be read: choose another folder with --campaign")
        if found != wanted:
            keys = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
            raise UsageError(
                f"--campaign {self.folder} holds a campaign with another {', '.join(keys)}: repeat its options, or choose another"
            )
        return list(self._read())

    def begin(self, spec: Mapping[str, Any]) -> None:
        """Make the folder, or ready one that was looked at for further trials."""
        make_private(self.folder, option="--campaign")
        if not self._spec.exists():
            self._write_spec({"format": FORMAT, **spec})
        elif self._trials.exists():
            # A last line without its end was being written when the campaign was interrupted: that trial is run again.
            whole, _, rest = self._trials.read_text(encoding="utf-8").rpartition("\n")
            if rest:
                self._trials.write_text(whole + "\n" if whole else "", encoding="utf-8")

    def add(self, trial: Trial) -> None:
        """Keep a finished trial; it is on the disk when this returns."""
        with self._trials.open("a", encoding="utf-8") as file:
            file.write(json.dumps(as_json(trial)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _write_spec(self, spec: Mapping[str, Any]) -> None:
        temporary = self._spec.with_suffix(".tmp")
        temporary.write_text(json.dumps(spec, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        temporary.rename(self._spec)

    def _read(self) -> Iterator[Trial]:
        if not self._trials.exists():
            return
        whole, _, _ = read_text(self._trials, told=f"--campaign {self.folder}: {self._trials}").rpartition("\n")
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                yield from_json(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                raise UsageError(f"{self._trials}, line {number}: no trial: choose another folder with --campaign") from None
