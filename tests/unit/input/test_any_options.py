"""Any text and any number for any option: never a fault of the harness itself, whatever comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from bad_options import ON_PLATFORMS, commands, name_of, whole
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from input_world import make_world, nothing_starts, run

from harness.errors import EXIT_INCONCLUSIVE, EXIT_OK, EXIT_OTHER_DECISION, EXIT_PLATFORM, EXIT_USAGE, PlatformError
from harness.platforms.existing.options import OPTIONS
from harness.platforms.existing.platform import ExistingPlatform
from harness.platforms.kind.platform import KindPlatform
from harness.platforms.local.platform import LocalPlatform

ENDINGS = {EXIT_OK, EXIT_OTHER_DECISION, EXIT_USAGE, EXIT_INCONCLUSIVE, EXIT_PLATFORM}
DRY = "this is as far as a test goes"
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NUMBERS = (st.integers() | st.floats()).map(str)
PATHS = st.sampled_from(["{file}", "{folder}", "{absent}", "{binary}", "{loop}", "{gate}", "{kubeconfig}", "{points}"])
PAIRS = st.tuples(WORDS, WORDS | NUMBERS).map("=".join)
VALUES = WORDS | NUMBERS | PATHS | PAIRS
# A number of simulated releases, or of requests, that is right may take its time.
TAKES_ITS_TIME = {"--simulate", "--compare", "--rps", "--window", "--scrape-interval", "--points", "--bad", "--weights"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("any")
    paths = make_world(folder)

    def stop(*_: object, **__: object) -> None:
        raise PlatformError(DRY)

    with nothing_starts(folder) as patch:
        for platform in (LocalPlatform, ExistingPlatform, KindPlatform):
            for method in ("setup", "session", "up", "down", "status", "healthy", "describe", "dashboards", "plan"):
                patch.setattr(platform, method, stop)
        for program in ("chart.Helm.render", "replay.evaluate.evaluate", "gitops.repository.Repository._run"):
            patch.setattr(f"harness.{program}", stop)
        yield folder, paths


@pytest.mark.parametrize("name", [name for name, _ in commands()])
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_ends_as_it_should(world: tuple[Path, dict[str, str]], name: str, data: st.DataObject) -> None:
    folder, paths = world
    options = [each for each in dict(commands())[name].params if isinstance(each, click.Option) and not each.is_flag]
    chosen = data.draw(st.lists(st.sampled_from(options), min_size=1, max_size=3, unique=True))
    flags = [name_of(name, each).rpartition(" ")[2] for each in chosen]
    existing = name in ON_PLATFORMS and any(flag in {each.flag for each in OPTIONS} for flag in flags)
    argv = [part.format(**paths) if part.startswith("{") else part for part in whole(name, flags[0], existing=existing)]
    for flag in flags:
        value = data.draw(WORDS if flag in TAKES_ITS_TIME else VALUES, label=flag)
        argv.append(f"{flag}={paths.get(value[1:-1], value) if value.startswith('{') else value}")
    ran = run(folder, argv)
    assert ran.code in ENDINGS, ran
    assert "fault of the harness itself" not in ran.err, ran
    assert "Traceback" not in ran.err, ran
    if ran.code == EXIT_USAGE:
        assert ran.made == [], ran
