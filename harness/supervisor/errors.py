"""What can go wrong with a plan and with the programs it starts; each is a failure of the platform."""

from __future__ import annotations

import signal

from harness.errors import PlatformError


class PlanError(PlatformError):
    """The plan cannot be started as written; ``problems`` holds every reason, one line each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"the plan has {count}, nothing was started:" + _indented(problems))


class PortTaken(PlatformError):
    """Ports that components want are held by others; ``lines`` holds one clear line for each."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        self.lines = lines
        super().__init__(lines[0] if len(lines) == 1 else f"{len(lines)} ports are taken:" + _indented(lines))


class ComponentError(PlatformError):
    """A component failed; ``name`` says which, ``log_tail`` holds the last lines that it wrote."""

    def __init__(self, name: str, what: str, *, log: str = "", log_tail: tuple[str, ...] = ()) -> None:
        self.name = name
        self.log_tail = log_tail
        said = f"; the last lines of {log}:" + _indented(log_tail) if log_tail else "; it wrote nothing to its log"
        super().__init__(f"component {name} {what}{said if log else ''}")


class ComponentNotStarted(ComponentError):
    """The operating system refused to run the program."""


class ComponentNotReady(ComponentError):
    """A component was still running at the end of its start time-out, but its probe had not succeeded."""


class ComponentExited(ComponentError):
    """A component ended by itself: a service at any time, a task with a code other than 0.

    ``code`` is None if a signal ended it, and ``signal_name`` is None if none did. (``exit_code`` is the harness' own.)
    """

    def __init__(self, name: str, returncode: int, when: str, *, log: str, log_tail: tuple[str, ...]) -> None:
        self.code = returncode if returncode >= 0 else None
        self.signal_name = signal_name(-returncode) if returncode < 0 else None
        how = f"exited with code {self.code}" if self.signal_name is None else f"was killed by {self.signal_name}"
        super().__init__(name, f"{how} {when}", log=log, log_tail=log_tail)


def signal_name(number: int) -> str:
    """``SIGTERM`` for 15; numbers without a name (real-time signals) as ``signal 40``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _indented(lines: tuple[str, ...]) -> str:
    return "".join(f"\n  {line}" for line in lines)
