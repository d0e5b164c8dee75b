"""How the Go programs are built, with a small script in the place of `go`."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import PlatformError
from harness.platforms.local import golang
from harness.platforms.local.golang import Module, build_modules

GO = """#!/bin/sh
# Writes down what it is called for. The build of the first module ends only when the second one's code is being downloaded.
name="$(basename "$PWD")"
echo "$1 $name" >>"{folder}/log"
if [ "$1" = list ]; then
  echo "# get something"
  echo example.org/package
  [ "$name" != broken ] || {{ echo "no such module" >&2; exit 1; }}
else
  tries=0
  while [ "$name" = first ] && ! grep -q "^list $(cat "{folder}/next")" "{folder}/log"; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || exit 1
    sleep 0.1
  done
  for last; do case "$before" in -o) output="$last" ;; esac; before="$last"; done
  printf '#!/bin/sh\\n' >"$output/cmd-$name" && chmod +x "$output/cmd-$name"
fi
"""


@pytest.fixture
def toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules, and that program."""
    program = tmp_path / "go"
    program.write_text(GO.format(folder=tmp_path))
    program.chmod(0o755)
    for name in ("first", "second", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "next").write_text("second")
    monkeypatch.setattr(golang, "TOOLCHAIN", tmp_path)
    monkeypatch.setattr(golang, "go_program", lambda: program)
    monkeypatch.setenv("GATEPROOF_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def modules(*names: str) -> list[Module]:
    return [Module(name=name, programs=(name,), rename={f"cmd-{name}": name}) for name in names]


def test_the_next_modules_code_is_downloaded_while_this_one_compiles(toolchain: Path) -> None:
    target, said = toolchain / "target", list[str]()
    target.mkdir()
    (target / ".first.1").mkdir()  # left by a build that was killed
    build_modules(modules("first", "second"), target, said.append)
    assert sorted(each.name for each in target.iterdir()) == ["first", "second"]
    log = (toolchain / "log").read_text().splitlines()
    assert log[0] == "list first"
    assert log[-2:] == ["list second", "build second"]
    assert sorted(log[1:-2]) == ["build first", "list second"]
    assert said == ["[1/2 first] downloading modules", "[2/2 second] downloading modules"]


def test_what_fails_beside_the_compiler_is_told_when_it_is_its_turn(toolchain: Path) -> None:
    target = toolchain / "target"
    target.mkdir()
    (toolchain / "next").write_text("broken")
    with pytest.raises(PlatformError, match=r"\[2/2 broken\] go list failed: .*no such module") as caught:
        build_modules(modules("first", "broken"), target, lambda line: None)
    assert "\n" not in str(caught.value)
    assert [each.name for each in target.iterdir()] == ["first"]


def test_what_would_change_the_programs_is_ours_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOFLAGS", "GOGC", "GOMEMLIMIT", "GOARCH", "CGO_ENABLED", "GOEXPERIMENT"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("GOPROXY", "https://proxy.example.org")
    environment = golang.environment()
    assert "theirs" not in environment.values()
    assert environment["GOPROXY"] == "https://proxy.example.org"
    assert environment["GOFLAGS"].split() == list(golang.FLAGS)
    assert int(environment["GOMEMLIMIT"]) >= golang.GIB


def test_other_flags_are_another_cache_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    before = golang.cache_key(modules_of_ours())
    assert golang.cache_key(modules_of_ours()) == before
    monkeypatch.setattr(golang, "FLAGS", (*golang.FLAGS, "-race"))
    assert golang.cache_key(modules_of_ours()) != before


def modules_of_ours() -> tuple[Module, ...]:
    return (Module(name="controlplane", programs=("etcd",)),)
