"""Building the programs while run.sh still installs the Python packages: `python -m harness.platforms.local.early`.

It needs three of the packages only (run.sh names them), says nothing but progress, and ends with whoever started it. What fails
here is tried, and told, again by the command that needs the programs, which waits for the build while it lasts.
"""

from __future__ import annotations

import contextlib
import signal
import sys

from harness.errors import HarnessError
from harness.platforms.local import binaries
from harness.supervisor.spawn import set_parent_death_signal


def main() -> None:
    """Build them, if they are not there."""
    set_parent_death_signal(signal.SIGTERM)
    with contextlib.suppress(HarnessError, OSError):
        binaries.ensure(lambda line: print(line, file=sys.stderr, flush=True))


if __name__ == "__main__":
    main()
