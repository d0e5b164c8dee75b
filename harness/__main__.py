"""`python -m harness`."""

from __future__ import annotations

import sys

try:
    from harness.cli import main
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] == "harness":
        raise
    sys.exit(f"error: the package {error.name} is not installed for {sys.executable}: run ./run.sh setup, then .venv/bin/python")

if __name__ == "__main__":
    sys.exit(main())
