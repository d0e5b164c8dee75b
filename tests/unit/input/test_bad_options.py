"""Every option of every command with values that nobody can mean: one line, exit code 2, and nothing was made."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_options import CONTRADICTIONS, Bad, commands, table
from input_world import make_world, nothing_starts, run

MOST_SHOWN = 2000
OPTIONS = [(name, parameter) for name, command in commands() for parameter in command.params]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("input")
    paths = make_world(folder)
    with nothing_starts(folder):
        yield folder, paths


def problem(world: tuple[Path, dict[str, str]], bad: Bad) -> str | None:
    """What is wrong with how a command line was refused."""
    folder, paths = world
    argv = [re.sub(r"\{(\w+)\}", lambda found: paths[found[1]], part) for part in bad.argv]
    ran = run(folder, argv)
    lines = ran.err.splitlines()
    last = argv[-1] if argv else ""
    value = last.partition("=")[2] if last.startswith("--") else last
    named = [word.lower() for word in (*bad.told, value.strip()[:60]) if word]
    wrong = {
        f"exit code {ran.code}": ran.code != 2,
        # A file may have several things wrong with it; an option has one.
        "not one line": len(lines) != 1 and (bad.command != "matrix" or not lines),
        "not every line is an error": not all(line.startswith("error: ") for line in lines),
        "not to be shown on a terminal": any(len(line) > MOST_SHOWN or not line.isprintable() for line in lines),
        "it printed something": bool(ran.out),
        f"it made {ran.made}": bool(ran.made),
        f"it names none of {named}": bool(named) and not any(word in ran.err.lower() for word in named),
    }
    found = [what for what, is_so in wrong.items() if is_so]
    return f"{'; '.join(found)}: {ran.err[:400]!r}" if found else None


@pytest.mark.parametrize(("name", "parameter"), OPTIONS, ids=[f"{name} {each.opts[0]}" for name, each in OPTIONS])
def test_a_bad_value_is_one_line_and_nothing_is_made(world: tuple[Path, dict[str, str]], name: str, parameter: object) -> None:
    wrong = {str(bad): found for bad in table(name, parameter) if (found := problem(world, bad))}  # type: ignore[arg-type]
    assert not wrong, "\n".join(f"{bad}\n    {found}" for bad, found in wrong.items())


@pytest.mark.parametrize(("line", "told"), CONTRADICTIONS, ids=[line for line, _ in CONTRADICTIONS])
def test_what_contradicts_itself_is_one_line_and_nothing_is_made(
    world: tuple[Path, dict[str, str]], line: str, told: str
) -> None:
    argv = tuple(shlex.split(line))
    found = problem(world, Bad(command=argv[0] if argv else "", argv=argv, told=(told,)))
    assert found is None, found
