"""The lint's way in: files, folders, standard input and charts.

Everything that can be read is; what cannot is told, one line each.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.files import read_bytes, standard_input
from harness.lint.source import Document, Unreadable, documents

_SUFFIXES = {".yaml", ".yml", ".json"}
_STANDARD_INPUT = "-"


@dataclass(kw_only=True)
class Input:
    """What was read, what could not be, and what was left out on purpose."""

    documents: list[Document] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, label: str, data: bytes) -> None:
        """Take the objects of one file."""
        try:
            self.documents += documents(label, data.decode("utf-8-sig"))
        except UnicodeDecodeError:
            self.unreadable.append(f"{label}: it is not text in UTF-8")
        except Unreadable as error:
            hint = " (a Helm template? render it: helm template … | harness lint -)" if b"{{" in data else ""
            self.unreadable.append(f"{label}: it is not YAML: {error}{hint}")


def read(names: Iterable[str]) -> Input:
    """The objects of files, of folders with all below them, and of standard input (`-`).

    Raises:
        UsageError: a name is neither.

    """
    found = Input()
    for name in dict.fromkeys(names):
        if name == _STANDARD_INPUT:
            found.add("<stdin>", standard_input(told="standard input"))
            continue
        path = Path(name)
        if path.is_dir():
            for file in _below(path, found):
                _add(found, file)
        elif path.exists():
            _add(found, path)
        else:
            raise UsageError(f"there is no file or folder {name}")
    return found


def _add(found: Input, file: Path) -> None:
    try:
        found.add(str(file), read_bytes(file, told=str(file)))
    except UsageError as error:
        found.unreadable.append(str(error))


def _below(folder: Path, found: Input) -> list[Path]:
    """The YAML and JSON files of a folder; the templates of a chart are no YAML yet."""
    files: list[Path] = []
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        if "Chart.yaml" in names and "templates" in folders:
            folders.remove("templates")
            found.notes.append(f"{here / 'templates'} is left out: it has to be rendered first (--chart {here})")
        files += [here / name for name in sorted(names) if Path(name).suffix in _SUFFIXES]
    return files


def render_chart(
    found: Input, chart: Path, values: Sequence[Path], settings: Mapping[str, Any], *, command: str = "lint"
) -> None:
    """Take the objects of a chart, rendered for a command by the pinned helm without a cluster.

    Raises:
        UsageError: helm is not built yet, or the chart refuses the values.

    """
    from harness.chart import Helm  # noqa: PLC0415 -- files need no helm
    from harness.platforms.local import binaries  # noqa: PLC0415

    programs = binaries.find()
    if programs is None:
        piped = f"pipe `helm template` into `harness {command} -`"
        raise UsageError(f"--chart needs the pinned helm: run ./run.sh setup once, or {piped}")
    with tempfile.TemporaryDirectory(prefix="gateproof-lint-") as home:
        helm = Helm(binary=programs["helm"], kubeconfig=Path(os.devnull), home=Path(home))
        text = helm.render(command, "default", chart, values_files=values, set_values=settings)
    found.add(f"{chart} (rendered)", text.encode())
