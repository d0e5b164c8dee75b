"""Every failure the harness can end with, and its exit code.

The codes are part of the command-line interface: 0 the expected decision for the expected reason, 1 another decision,
2 wrong usage or configuration, 3 the experiment is inconclusive, 4 the platform failed, 130 interrupted.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_OTHER_DECISION = 1
EXIT_USAGE = 2
EXIT_INCONCLUSIVE = 3
EXIT_PLATFORM = 4
EXIT_INTERRUPTED = 130


MOST_TOLD = 600
"""Characters of an error's line: a value that somebody pasted by mistake is not repeated in full."""


def one_line(text: str) -> str:
    r"""A message as one line that any terminal can show, whatever a value in it holds.

    >>> print(one_line("--set a\nb: give\x1b[2J KEY=VALUE"))
    --set a\nb: give\x1b[2J KEY=VALUE
    """
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text.strip())
    if len(shown) <= MOST_TOLD:
        return shown
    # What is wrong stands at the beginning, what to do about it at the end.
    half = MOST_TOLD // 2
    return f"{shown[:half]} … {shown[-half:]}"


class HarnessError(Exception):
    """One clear line: what is wrong, where, and what to do about it."""

    exit_code = EXIT_PLATFORM


class UsageError(HarnessError):
    """An option, a file or an environment variable cannot be used as given."""

    exit_code = EXIT_USAGE


class Inconclusive(HarnessError):
    """The experiment itself broke, so the gate's decision proves nothing either way."""

    exit_code = EXIT_INCONCLUSIVE


class PlatformError(HarnessError):
    """A part of the platform could not be built, started, reached or kept alive."""

    exit_code = EXIT_PLATFORM


class Interrupted(HarnessError):
    """The user asked to stop (Ctrl-C or SIGTERM)."""

    exit_code = EXIT_INTERRUPTED
