"""Who stops the platform at the end of a session, and when."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import EXIT_USAGE, UsageError
from harness.platforms.local import state
from harness.platforms.local.platform import LocalPlatform
from harness.signals import Stopped


class Recorded(LocalPlatform):
    """A platform of which only the beginning and the end are looked at."""

    def __init__(self, run_dir: Path, *, starts: bool) -> None:
        super().__init__(run_dir=run_dir)
        self.stops = 0
        self._starts = starts

    def up(self, say: Any, *, detach: bool = True) -> Any:
        if self._starts:
            self._owner = SimpleNamespace()  # type: ignore[assignment]
        return SimpleNamespace(ready_after=1.0)

    def down(self) -> bool:
        self.stops += 1
        return True

    def endpoints(self) -> Any:
        return "endpoints"


def interrupted(_: str) -> None:
    raise Stopped("interrupted by SIGINT")


def test_an_interrupt_as_it_gets_ready_stops_it(tmp_path: Path) -> None:
    made = Recorded(tmp_path, starts=True)
    with pytest.raises(Stopped), made.session(interrupted, keep=False):
        pytest.fail("it went on")
    assert made.stops == 1


@pytest.mark.parametrize(("starts", "keep", "stops"), [(True, False, 1), (True, True, 0), (False, False, 0)])
def test_what_a_session_started_it_stops_unless_it_is_kept(tmp_path: Path, starts: bool, keep: bool, stops: int) -> None:
    made = Recorded(tmp_path, starts=starts)
    with made.session(lambda _: None, keep=keep) as endpoints:
        assert endpoints == "endpoints"
        assert made.stops == 0
    assert made.stops == stops


def test_each_session_has_to_start_it_anew_to_stop_it(tmp_path: Path) -> None:
    made = Recorded(tmp_path, starts=True)
    with made.session(lambda _: None, keep=True):
        made._starts = False
    with made.session(lambda _: None, keep=False):
        pass
    assert made.stops == 0


def test_a_platform_that_somebody_else_brought_up_meanwhile_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = SimpleNamespace(phase="ready", pid=1, components=[], error="")
    monkeypatch.setattr(state, "read", lambda _: theirs)
    monkeypatch.setattr(state, "held", lambda _: True)
    ours = SimpleNamespace(pid=2, poll=lambda: EXIT_USAGE)
    with pytest.raises(UsageError, match="in use by another run"):
        LocalPlatform(run_dir=tmp_path)._wait_ready(ours, lambda _: None)  # type: ignore[arg-type]
