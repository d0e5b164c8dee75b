"""An earlier run's verdict is gone before anything of a new one can fail."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.errors import PlatformError
from harness.platforms import Platform
from harness.report_folder import REPORTS
from harness.run import Options, run
from harness.scenario import success


def test_a_run_that_dies_before_its_platform_is_up_leaves_no_old_verdict(tmp_path: Path) -> None:
    for name in REPORTS:
        (tmp_path / name).write_text('{"exit_code": 0}')
    (tmp_path / "load").mkdir()

    def fail(*_: Any) -> None:
        raise PlatformError("no room")

    options = Options(chart=tmp_path, report_dir=tmp_path, cache=tmp_path)
    platform = cast("Platform", SimpleNamespace(setup=fail))
    with pytest.raises(PlatformError):
        run(success(), options, platform, say=fail, show=fail, tell=fail)
    assert [each.name for each in tmp_path.iterdir()] == ["load"], "what another run may be writing stays"
