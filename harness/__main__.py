"""`python -m harness`."""

from __future__ import annotations

import gc
import sys

from harness.errors import EXIT_INTERRUPTED, EXIT_USAGE
from harness.signals import raise_on_signal, settle


def main() -> int:
    """Run the command line; an interrupt and a missing package are one line too, from the first import on."""
    raise_on_signal()
    try:
        from harness.cli import main as run  # noqa: PLC0415 -- what it imports takes a while, and may not be there

        return run()
    except KeyboardInterrupt as stop:
        settle()
        print(f"error: {stop or 'interrupted'}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "harness":
            raise
        print(
            f"error: the package {error.name} is not installed for {sys.executable}: run ./run.sh setup",
            file=sys.stderr,
        )
        return EXIT_USAGE
    finally:
        # An interrupt that something swallowed is not to come again while Python takes itself down.
        settle()
        # Nothing of what is still there needs to be collected any more: that would take Python 0.4 s.
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
